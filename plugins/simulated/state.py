"""What changes: nodes, jobs and faults while the simulation runs. Times are ticks; tick 0 is the start."""

from __future__ import annotations

import enum

import msgspec

from console.model import JobState
from plugins.simulated.cast import Profile
from plugins.simulated.layout import Place


class FaultKind(enum.Enum):
    """What can go wrong."""

    GPU_LOST = "gpu lost"
    ECC = "ecc"
    SLOW_GPU = "slow gpu"
    STUCK_RANK = "stuck rank"
    LINK_FLAP = "link flap"
    LINK_ERRORS = "link errors"
    LINK_DEGRADED = "link degraded"
    NFS_STALL = "nfs stall"
    NODE_DOWN = "node down"
    DRAIN = "drain"
    RESERVATION = "reservation"


class Fault(msgspec.Struct, gc=False, eq=False):
    """One thing that is wrong, from `start` until `end`."""

    number: int
    kind: FaultKind
    start: int
    end: int
    nodes: tuple[int, ...]
    part: int = 0
    """The GPU or InfiniBand port of it."""


class Drain(msgspec.Struct, frozen=True, gc=False):
    """Why a node takes no new work."""

    reason: str
    by: str
    tick: int


class SimJob(msgspec.Struct, gc=False, eq=False):
    """One job, or the waiting rest of an array. Nodes are indices and arrays numbers: no reference cycle."""

    number: int
    id: str
    name: str
    user: str
    account: str
    profile: Profile
    pool: int
    gpus: int
    """All of them."""
    node_count: int
    seconds: int
    """How long it will run."""
    limit_s: int
    weight: int
    """Priority at tick 0, as if it had always waited; orders the queue, since all age alike."""
    submit: int
    state: JobState = JobState.PENDING
    reason: str | None = "Priority"
    blocked: bool = False
    """Not considered by the scheduler before something happens."""
    start: int = 0
    end: int = 0
    nodes: tuple[int, ...] = ()
    place: int = -1
    """Where it stands in the list of what waits; -1 when it does not."""
    eligible: int | None = None
    dependency: str | None = None
    exit_code: int | None = None
    array: int | None = None
    """Number of the job that is the array."""
    tasks: int = 0
    """Of an array: how many in all; 0 for what is none."""
    waiting: int = 0
    """Of an array: how many have not started."""


class SimNode(msgspec.Struct, gc=False, eq=False):
    """One node."""

    at: Place
    slots: tuple[SimJob | None, ...]
    """Who holds which GPU. A tuple, which the garbage collector soon stops to look at."""
    free: int
    booted: int
    version: int = 0
    """Grows when its jobs or faults change."""
    down: bool = False
    drain: Drain | None = None
    reserved: str | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def schedulable(self) -> bool:
        """Whether new work may start here."""
        return not self.down and self.drain is None and self.reserved is None

    def jobs(self) -> list[SimJob]:
        """Return the jobs on it, each once."""
        return list({job.number: job for job in self.slots if job is not None}.values())


class Changes:
    """What became different since somebody asked last."""

    def __init__(self) -> None:
        self.nodes: dict[int, None] = {}
        self.jobs: dict[int, SimJob] = {}
        self.gone: dict[str, None] = {}
        self.reservations = False
