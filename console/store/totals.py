"""Sums over the fleet, kept up to date by what changes: reading them costs nothing at any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from console.model import Job, JobState, NodeState, SourceState, SourceStatus
from console.store.digest import NO_SHARE, Share
from console.store.view import JobKey, NodeView

_NodeEntry = tuple[NodeState, int, int, int]
"""State, GPUs, allocated GPUs, busy GPUs of one node as counted."""
_JobEntry = tuple[tuple[tuple[JobState, int], ...], int]
"""States with their counts, and GPUs wanted, of one job as counted."""
_NO_JOB: _JobEntry = ((), 0)

_WORST_FIRST = (
    SourceState.ERROR,
    SourceState.UNREACHABLE,
    SourceState.DENIED,
    SourceState.LATE,
    SourceState.CONNECTING,
    SourceState.OK,
    SourceState.UNSUPPORTED,
)


class Totals:
    """The sums. Only the store writes them.

    A node whose probe is neither live nor late adds nothing that was measured: its last values are not what is.
    """

    __slots__ = (
        "_jobs",
        "_nodes",
        "_shares",
        "_sums",
        "gpus",
        "gpus_allocated",
        "gpus_busy",
        "gpus_wanted",
        "job_states",
        "node_states",
        "source_states",
    )

    def __init__(self) -> None:
        self.node_states: Counter[NodeState] = Counter()
        self.job_states: Counter[JobState] = Counter()
        """Jobs; an array counts its running and pending tasks."""
        self.source_states: Counter[SourceState] = Counter()
        self.gpus = 0
        """As listed, else as seen."""
        self.gpus_allocated = 0
        """Held by jobs, where a scheduler says so."""
        self.gpus_busy = 0
        """Held by jobs as the scheduler says, else those that work."""
        self.gpus_wanted = 0
        """GPUs that waiting jobs ask for."""
        self._sums = NO_SHARE
        self._shares: dict[str, Share] = {}
        self._nodes: dict[str, _NodeEntry] = {}
        self._jobs: dict[JobKey, _JobEntry] = {}

    # ---- read

    @property
    def nodes(self) -> int:
        """All nodes."""
        return len(self._nodes)

    @property
    def nodes_usable(self) -> int:
        """Nodes that are up, busy, reserved or in use while they drain."""
        states = self.node_states
        return states[NodeState.UP] + states[NodeState.BUSY] + states[NodeState.RESERVED] + states[NodeState.DRAINING]

    @property
    def gpus_sick(self) -> int:
        """GPUs that are lost, broken or had uncorrected memory errors."""
        return self._sums.gpus_sick

    @property
    def gpus_measured(self) -> int:
        """GPUs of which the utilisation is known."""
        return self._sums.gpus_measured

    @property
    def utilization_percent(self) -> float | None:
        """Mean utilisation of all measured GPUs."""
        sums = self._sums
        return sums.utilization_sum / sums.gpus_measured / 100 if sums.gpus_measured else None

    @property
    def power_w(self) -> float | None:
        """Power of all GPUs and hosts that are measured."""
        return self._sums.power_mw / 1000 if self._sums.power_known else None

    @property
    def traffic(self) -> float | None:
        """Bytes per second over all measured links, both directions."""
        return float(self._sums.traffic_bytes_per_s) if self._sums.traffic_known else None

    @property
    def links_down(self) -> int:
        """Links that are down."""
        return self._sums.links_down

    @property
    def mounts_bad(self) -> int:
        """Mounts that are slow or hung."""
        return self._sums.mounts_bad

    @property
    def measured(self) -> int:
        """Nodes with a sample that counts."""
        return self._sums.measured

    @property
    def worst_source(self) -> SourceState | None:
        """The worst state of any source; None when there is none."""
        return next((state for state in _WORST_FIRST if self.source_states[state] > 0), None)

    # ---- write

    def set_source(self, old: SourceStatus | None, new: SourceStatus | None) -> None:
        """Take that a source's status changed."""
        if old is not None:
            self.source_states[old.state] -= 1
        if new is not None:
            self.source_states[new.state] += 1

    def set_share(self, key: str, share: Share) -> None:
        """Take what a node's sample adds now."""
        old = self._shares.get(key, NO_SHARE)
        if old == share:
            return
        self._sums = Share._make([total - was + now for total, was, now in zip(self._sums, old, share, strict=True)])
        if share is NO_SHARE:
            self._shares.pop(key, None)
        else:
            self._shares[key] = share

    def set_node(self, key: str, view: NodeView) -> None:
        """Take a node's state and its GPUs. After `set_share`."""
        total = allocated = None
        for node in view.facets.values():
            total = node.accelerators_total if total is None else total
            allocated = node.accelerators_allocated if allocated is None else allocated
        if total is None:
            total = 0 if view.sample is None else len(view.sample.accelerators)
        busy = self._shares.get(key, NO_SHARE).gpus_working if allocated is None else allocated
        self._count(key, (view.state, total, allocated or 0, busy))

    def drop_node(self, key: str) -> None:
        """Take that a node is gone."""
        self.set_share(key, NO_SHARE)
        self._count(key, None)

    def set_job(self, key: JobKey, job: Job | None) -> None:
        """Take what a job is now; None: it is gone."""
        counts, wanted = self._jobs.pop(key, _NO_JOB)
        for state, count in counts:
            self.job_states[state] -= count
        self.gpus_wanted -= wanted
        if job is None:
            return
        counts, wanted = entry = _job_entry(job)
        for state, count in counts:
            self.job_states[state] += count
        self.gpus_wanted += wanted
        self._jobs[key] = entry

    def _count(self, key: str, entry: _NodeEntry | None) -> None:
        old = self._nodes.get(key)
        if old == entry:
            return
        if old is not None:
            self.node_states[old[0]] -= 1
            self.gpus -= old[1]
            self.gpus_allocated -= old[2]
            self.gpus_busy -= old[3]
        if entry is None:
            self._nodes.pop(key, None)
            return
        self.node_states[entry[0]] += 1
        self.gpus += entry[1]
        self.gpus_allocated += entry[2]
        self.gpus_busy += entry[3]
        self._nodes[key] = entry


def _job_entry(job: Job) -> _JobEntry:
    array = job.array
    wanted = (job.accelerators or 0) if job.state is JobState.PENDING else 0
    if array is None:
        return _ONE_JOB[job.state] if not wanted else (((job.state, 1),), wanted)
    if array.running or array.pending:
        waits = JobState.HELD if job.state is JobState.HELD else JobState.PENDING
        return ((JobState.RUNNING, array.running), (waits, array.pending)), wanted
    return ((job.state, max(array.tasks, 1)),), wanted


_ONE_JOB: Mapping[JobState, _JobEntry] = {state: (((state, 1),), 0) for state in JobState}
"""What most jobs add, made once: a hundred thousand jobs share these."""
