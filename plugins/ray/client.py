"""Asks the dashboard and says in its terms what a failure means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from console.errors import NoSuchFile, NoSuchJob, SourceError, TimedOut, Unreachable
from console.transport.http import Body, HttpClient, HttpFailure, NotThere
from plugins.ray import commands, wire
from plugins.ray.commands import Request

HEAD_HINT = "look on the head node: ray status; is the dashboard on (ray start --include-dashboard, ray[default])?"
_GCS_GONE = ("Failed to query data from GCS", "Failed to connect to GCS", "failed to connect to all addresses")


class Client:
    """One dashboard."""

    def __init__(self, http: HttpClient) -> None:
        self.http = http
        self.where = http.name
        self._requests = 0

    def take_requests(self) -> int:
        """Return how many requests were made since this was last asked."""
        requests, self._requests = self._requests, 0
        return requests

    async def ask(self, request: Request) -> bytes:
        """Return an answer. Raises SourceError of the truest kind that can be known."""
        self._requests += 1
        try:
            return await self.http.get(request.path, request.query, limit_bytes=request.limit_bytes)
        except SourceError as error:
            raise self._truth(error) from None

    async def stop(self, path: str, timeout_s: float) -> None:
        """Ask for a job to be stopped, once. Raises SourceError."""
        self._requests += 1
        try:
            await self.http.get(path, method="POST", timeout_s=timeout_s)
        except TimedOut as error:
            raise TimedOut(f"{error.what}: whether it happened is not known", self.where, error.hint) from None
        except SourceError as error:
            raise self._truth(error) from None

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[Body]:
        """Open a log. Raises SourceError; NoSuchFile."""
        self._requests += 1
        try:
            async with self.http.open(request.path, request.query) as body:
                yield body
        except SourceError as error:
            raise self._truth(error) from None

    async def job(self, job_id: str) -> wire.JobRow:
        """Return one job. Raises SourceError; NoSuchJob."""
        try:
            data = await self.ask(commands.job(job_id))
        except NotThere as error:
            if "does not exist" in error.words:
                raise NoSuchJob(f"Ray knows no job {job_id} (any more)", self.where, "see `ray job list`") from None
            raise
        return wire.one(data, wire.JobRow, "a job")

    async def nodes(self) -> wire.NodeListing:
        """Return all nodes."""
        return wire.nodes(await self.ask(commands.NODES))

    async def groups(self) -> wire.Rows[wire.GroupRow]:
        """Return placement groups."""
        return wire.state_rows(await self.ask(commands.groups()), wire.GroupRow, "placement groups")

    async def actors(self, *, state: str | None = None, job: str | None = None) -> wire.Rows[wire.ActorRow]:
        """Return actors in one state, or of one job."""
        return wire.state_rows(await self.ask(commands.actors(state=state, job=job)), wire.ActorRow, "actors")

    async def tasks(self, state: str, *, job: str | None = None) -> wire.Rows[wire.TaskRow]:
        """Return tasks in one state, of one job or of all."""
        return wire.state_rows(await self.ask(commands.tasks(state, job=job)), wire.TaskRow, "tasks")

    async def close(self) -> None:
        """Let go of the line."""
        await self.http.close()

    def _truth(self, error: SourceError) -> SourceError:
        """Return the error with what the dashboard meant."""
        if isinstance(error, HttpFailure):
            said = wire.message(error.words)
            if any(words in said for words in _GCS_GONE):
                return Unreachable(
                    "the dashboard is there, the head of the cluster (GCS) is not", self.where, HEAD_HINT
                )
            if "file is not found" in said or "Could not find" in said:
                return NoSuchFile(f"no such log: {said}", self.where)
            what = f"the dashboard failed ({error.status}): {said}"
            return HttpFailure(what, self.where, error.hint, status=error.status, words=said)
        if type(error) is Unreachable:
            return Unreachable(error.what, error.where, HEAD_HINT)
        return error
