"""Questions about one job that only its own backend can answer: why it waits, what it wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from console.errors import NoSuchJob, SourceError, Unsupported, UsageError
from console.model import Explanation, LogStream
from console.plugin import Backend, Explainer, LogReader, Logs

CAPABILITIES: Mapping[str, type] = MappingProxyType({"explain": Explainer, "log": Logs})

JobKey = tuple[str, str]
"""(cluster, the scheduler's own id)."""

_OTHERS = "ask its own commands; docs/plugins.md says what a backend may offer"


class JobDesk:
    """Sends each question to the backend of its cluster."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends: Mapping[str, Backend] = {backend.cluster: backend for backend in backends}
        self._able = {
            backend.cluster: frozenset(name for name, kind in CAPABILITIES.items() if isinstance(backend, kind))
            for backend in backends
        }
        self._said: dict[JobKey, Explanation] = {}
        """What looking for a job brought already; told once."""

    def able(self, cluster: str) -> frozenset[str]:
        """Return what the backend of a cluster can do: the names of CAPABILITIES."""
        return self._able.get(cluster, frozenset())

    async def explain(self, key: JobKey) -> Explanation:
        """Return why a job is where it is. Raises SourceError; Unsupported when its backend does not say."""
        backend = self._backends.get(key[0])
        if not isinstance(backend, Explainer):
            raise Unsupported("this cluster's backend does not say why jobs wait", key[0], _OTHERS)
        said = self._said.pop(key, None)
        return said if said is not None else await backend.explain(key[1])

    async def log_streams(self, key: JobKey) -> tuple[LogStream, ...]:
        """Return the outputs of a job. Raises SourceError; Unsupported when its backend does not read them."""
        return await self._logs(key[0]).log_streams(key[1])

    async def open_log(self, key: JobKey, stream: LogStream) -> LogReader:
        """Open one output of a job. Raises SourceError."""
        return await self._logs(key[0]).open_log(stream)

    def _logs(self, cluster: str) -> Logs:
        backend = self._backends.get(cluster)
        if not isinstance(backend, Logs):
            raise Unsupported("this cluster's backend does not read the output of jobs", cluster, _OTHERS)
        return backend

    async def find(self, name: str, listed: Sequence[JobKey], capability: type) -> JobKey:
        """Return the job that a person names: `8812`, `cluster/8812`, also one that is listed no longer.

        UsageError when several clusters have it, when none has, or when nobody can be asked; SourceError when the
        one backend that may know it does not answer.
        """
        cluster, slash, job_id = name.partition("/")
        if slash and cluster in self._backends:
            return cluster, job_id
        found = [key for key in listed if key[1] == name]
        if len(found) > 1:
            names = ", ".join("/".join(key) for key in found)
            raise UsageError(f"several clusters have a job {name}", hint=f"name one: {names}")
        if found:
            return found[0]
        able = [backend.cluster for backend in self._backends.values() if isinstance(backend, capability)]
        if not able:
            raise UsageError(
                "nothing that is connected here can say that of a job", name, "qd doctor says what is here"
            )
        return await self._ask_around(name, able)

    async def _ask_around(self, name: str, clusters: Sequence[str]) -> JobKey:
        """Return the job under the first cluster that knows it: arrays' tasks and ended jobs stand in no list.

        All are asked at once; one that is silent delays nobody who knows the job.
        """
        asking = [asyncio.ensure_future(self._knows(cluster, name)) for cluster in clusters]
        failure: SourceError | None = None
        try:
            for answer in asyncio.as_completed(asking):
                try:
                    return await answer
                except NoSuchJob:
                    continue
                except SourceError as error:
                    failure = error
        finally:
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
            for task in asking:
                task.cancelled() or task.exception()
        if failure is not None:
            raise failure
        raise UsageError(f"no job is called {name}", hint="qd jobs lists them; an ended one may be forgotten already")

    async def _knows(self, cluster: str, name: str) -> JobKey:
        """Return the job's key where its backend knows it, keeping what it said. Raises NoSuchJob, SourceError."""
        backend = self._backends[cluster]
        if isinstance(backend, Explainer):
            self._said[cluster, name] = await backend.explain(name)
        elif isinstance(backend, Logs):
            await backend.log_streams(name)
        return cluster, name
