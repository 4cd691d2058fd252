"""Jobs of all sources, and which of them are on which node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from console.model import Job, JobState, Records
from console.model.identity import Identity
from console.store.merged import Merged
from console.store.view import JobKey

SLICE = 128
"""Jobs between two steps."""

ON_NODES = frozenset({JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED})
"""States in which a job holds its nodes."""


class JobTable:
    """All jobs by (cluster, id), and an index by node."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._merged: Merged[JobKey, Job] = Merged()
        self.shown = self._merged.shown
        self._nodes_of: dict[JobKey, tuple[str, ...]] = {}
        self._jobs_on: dict[str, dict[JobKey, None]] = {}

    def on_node(self, key: str) -> tuple[JobKey, ...]:
        """Return the jobs that hold a node, the oldest known first."""
        return tuple(self._jobs_on.get(key, ()))

    def apply(self, source: str, cluster: str, records: Records) -> Iterator[tuple[set[JobKey], set[str]]]:
        """Take a listing in steps; each yields the jobs that changed and the nodes whose jobs did.

        `cluster` is the one of the jobs that are named as gone.
        """
        changed: set[JobKey] = set()
        nodes: set[str] = set()
        table = self._merged.table(source)
        for count, job in enumerate(records.jobs, 1):
            key = (job.cluster, job.id)
            old = table.get(key)
            if (old is not job and old != job) and self._merged.put(source, key, job):
                changed.add(key)
                self._index(key, nodes)
            if count % SLICE == 0:
                yield changed, nodes
                changed, nodes = set(), set()
        for count, gone in enumerate(self._gone(table, cluster, records), 1):
            if gone is not None and self._merged.drop(source, gone):
                changed.add(gone)
                self._index(gone, nodes)
            if count % SLICE == 0:
                yield changed, nodes
                changed, nodes = set(), set()
        yield changed, nodes

    def _gone(self, table: Mapping[JobKey, Job], cluster: str, records: Records) -> Iterator[JobKey | None]:
        """Yield the jobs that are gone, and None for every other step of looking for them."""
        for job_id in records.gone_jobs:
            yield (cluster, job_id)
        if "jobs" not in records.complete:
            return
        # Ids, not keys: a hundred thousand new tuples would take longer to free than to compare.
        listed: dict[str, set[str]] = {}
        for job in records.jobs:
            listed.setdefault(job.cluster, set()).add(job.id)
            yield None
        if sum(map(len, listed.values())) == len(table):
            return
        for key in list(table):
            yield None if key[1] in listed.get(key[0], ()) else key

    def _index(self, key: JobKey, touched: set[str]) -> None:
        job = self.shown.get(key)
        names = job.node_names if job is not None and job.state in ON_NODES else ()
        cluster = key[0]
        new = tuple(dict.fromkeys([self._identity.key(cluster, name) for name in names])) if names else ()
        old = self._nodes_of.get(key, ())
        if new == old:
            return
        left, entered = set(old).difference(new), set(new).difference(old)
        touched |= left | entered
        for node in left:
            jobs = self._jobs_on[node]
            del jobs[key]
            if not jobs:
                del self._jobs_on[node]
        for node in entered:
            self._jobs_on.setdefault(node, {})[key] = None
        if new:
            self._nodes_of[key] = new
        else:
            self._nodes_of.pop(key, None)
