"""Jobs of all sources, and which of them are on which node. What ended today stays when its scheduler forgets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from console.feed.finished import midnight
from console.model import Job, JobState, Records
from console.model.identity import Identity
from console.store.merged import Merged
from console.store.view import JobKey

SLICE = 128
"""Jobs between two steps."""

KEPT = ""
"""Stands for a source: what accounting told of today, and what was seen to end."""
MOST_KEPT = 5000
"""Ended jobs that are kept; the newest."""

ON_NODES = frozenset({JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED})
"""States in which a job holds its nodes."""


class JobTable:
    """All jobs by (cluster, id), and an index by node."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._merged: Merged[JobKey, Job] = Merged(_best)
        self.shown = self._merged.shown
        self._nodes_of: dict[JobKey, tuple[str, ...]] = {}
        self._jobs_on: dict[str, dict[JobKey, None]] = {}
        self._today = 0.0

    def on_node(self, key: str) -> tuple[JobKey, ...]:
        """Return the jobs that hold a node, the oldest known first."""
        return tuple(self._jobs_on.get(key, ()))

    def apply(self, source: str, cluster: str, records: Records, now: float) -> Iterator[tuple[set[JobKey], set[str]]]:
        """Take a listing in steps; each yields the jobs that changed and the nodes whose jobs did.

        `cluster` is the one of the jobs that are named as gone.
        """
        yield self._forget(now), set()
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
            if gone is not None and self._let_go(source, gone):
                changed.add(gone)
                self._index(gone, nodes)
            if count % SLICE == 0:
                yield changed, nodes
                changed, nodes = set(), set()
        for count, job in enumerate(records.ended_jobs, 1):
            key = (job.cluster, job.id)
            if self._keep(key, job):
                changed.add(key)
                self._index(key, nodes)
            if count % SLICE == 0:
                yield changed, nodes
                changed, nodes = set(), set()
        yield changed, nodes

    def _let_go(self, source: str, key: JobKey) -> bool:
        """Take that a source lists a job no longer; one that was seen to end stays."""
        old = self._merged.table(source).get(key)
        if old is not None and old.state.ended:
            self._keep(key, old)
        return self._merged.drop(source, key)

    def _keep(self, key: JobKey, job: Job) -> bool:
        if job.ends_at is None or job.ends_at < self._today:
            return False
        known = self._merged.table(KEPT).get(key)
        if known is not None and known.usage is not None and job.usage is None and known.ends_at == job.ends_at:
            return False  # the same end, and accounting knows more of it
        return self._merged.put(KEPT, key, job)

    def _forget(self, now: float) -> set[JobKey]:
        """Let go of what ended before today, and of the oldest of too many; return what is shown no longer."""
        kept = self._merged.table(KEPT)
        today = midnight(now) if now else 0.0
        over = len(kept) > MOST_KEPT + MOST_KEPT // 10
        if today == self._today and not over:
            return set()
        self._today = today
        newest = sorted(kept, key=lambda key: kept[key].ends_at or 0.0, reverse=True)[:MOST_KEPT]
        stay = {key for key in newest if (kept[key].ends_at or 0.0) >= today}
        return {key for key in list(kept) if key not in stay and self._merged.drop(KEPT, key)}

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


def _best(records: Sequence[Job]) -> Job:
    """Return the words that are shown of one job: of one that lives, else of who knows what it used."""
    living = next((job for job in records if not job.state.ended), None)
    return living or next((job for job in records if job.usage is not None), records[0])
