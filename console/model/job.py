"""Jobs, whoever schedules them."""

from __future__ import annotations

import enum

from console.model.base import Record


class JobState(enum.StrEnum):
    """One vocabulary for every scheduler; the scheduler's own word stands in `Job.scheduler_state`."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETING = "completing"
    SUSPENDED = "suspended"
    HELD = "held"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    PREEMPTED = "preempted"
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self in _ENDED


_ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.TIMEOUT, JobState.PREEMPTED})


class ArrayPart(Record, frozen=True):
    """What one record stands for when an array is folded into it."""

    id: str
    """The array's own id."""
    tasks: int
    running: int = 0
    pending: int = 0


class JobUsage(Record, frozen=True):
    """What a job made of what it held, from the scheduler's accounting. None: not recorded."""

    cpu_percent: float | None = None
    """CPU time used of the CPU time held, 0-100."""
    memory_peak_bytes: int | None = None
    """Of the step that used most, summed over its tasks where the scheduler does."""
    accelerator_percent: float | None = None
    """Mean utilisation of one accelerator, 0-100."""
    accelerator_memory_peak_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    energy_j: float | None = None


class Job(Record, frozen=True):
    """One job, or one folded array. Its identity is (cluster, id)."""

    id: str
    """The scheduler's own id, as its commands take it: `8812`, `8812_[5-99]`, `8812+1`."""
    cluster: str
    name: str = ""
    user: str | None = None
    account: str | None = None
    state: JobState = JobState.UNKNOWN
    scheduler_state: str | None = None
    reason: str | None = None
    """Why it waits or ended, as the scheduler says it."""
    queue: str | None = None
    qos: str | None = None
    nodes: str | None = None
    """Where it runs, folded: `gpu[001-003]`."""
    node_names: tuple[str, ...] = ()
    """The same, one by one, as the node records of this cluster are named."""
    node_count: int | None = None
    cpus: int | None = None
    memory_bytes: int | None = None
    accelerators: int | None = None
    """Held when it runs, asked for when it waits."""
    accelerator_model: str | None = None
    submitted_at: float | None = None
    started_at: float | None = None
    """None while it waits."""
    expected_start_at: float | None = None
    """The scheduler's estimate while it waits."""
    ends_at: float | None = None
    """When it ended, or will at the latest."""
    time_limit_s: float | None = None
    priority: int | None = None
    array: ArrayPart | None = None
    comment: str | None = None
    reservation: str | None = None
    dependency: str | None = None
    work_dir: str | None = None
    exit_code: int | None = None
    usage: JobUsage | None = None
    detail: dict[str, str] = {}
    missing: dict[str, str] = {}
