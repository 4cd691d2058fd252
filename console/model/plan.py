"""What somebody wants to change, what would be done for it, and how that went. Plain data: planning changes nothing."""

from __future__ import annotations

import enum

from console.model.base import Record


class Order(Record, frozen=True):
    """What somebody wants of one cluster."""

    action: str
    """One of `console.actions.ORDERS`: `drain`, `resume`, `cancel`, …"""
    cluster: str
    names: tuple[str, ...]
    """Nodes as this cluster names them, or its own ids of jobs."""
    reason: str | None = None
    value: str | None = None
    """What to change to: a time limit, a priority, a queue."""
    by: str = ""
    """Who asks, for backends that do not keep that themselves."""
    former: str = ""
    """Of an undo: what the backend noted of its targets before (`Draft.former`), to be brought back as it was."""


class Call(Record, frozen=True):
    """Exactly what runs: an argument vector, or a request to an API."""

    argv: tuple[str, ...] = ()
    method: str = ""
    path: str = ""
    body: str = ""


class Seen(Record, frozen=True):
    """A target as it was when somebody looked: a node or a job, in its scheduler's words and in ours."""

    cluster: str
    name: str
    state: str
    scheduler_state: str | None = None
    reason: str | None = None
    reason_by: str | None = None
    reason_at: float | None = None
    values: dict[str, str] = {}
    """Further values that actions change: `time_limit_s`, `priority`, `queue`."""
    former: str = ""
    """What else of it its backend needs to bring back what was (`Draft.former`)."""


class Step(Record, frozen=True):
    """One thing that is done, for one target or for several at once."""

    cluster: str
    names: tuple[str, ...]
    """The targets, one by one."""
    run: Call
    undo: Call | None = None
    """What would take it back; None: nothing can."""
    text: str = ""
    """The same for people: `stop new work`, `evict team-a/train-0`."""
    phase: int = 0
    """Steps of a phase run beside each other, after those of the phases before."""
    where: str = ""
    """Where it runs: a host, the address of an API."""
    timeout_s: float = 30.0


class Effect(enum.StrEnum):
    """What an action does to a job that it meets."""

    RUNS_ON = "runs on"
    """It keeps its nodes until it ends by itself."""
    EVICTED = "evicted"
    ENDED = "ended"
    REQUEUED = "requeued"
    STOPPED = "stopped"
    """It stands still until somebody lets it go on."""

    @property
    def hurts(self) -> bool:
        """Whether the job's work is stopped or lost."""
        return self is not Effect.RUNS_ON


class Interrupt(Record, frozen=True):
    """A job that an action meets."""

    cluster: str
    job: str
    effect: Effect
    name: str = ""
    user: str | None = None
    state: str | None = None
    nodes: str | None = None
    """Its nodes among the targets, folded."""
    nodes_hit: int = 0
    """How many these are."""
    node_count: int | None = None
    """Of all its nodes."""
    accelerators: int | None = None
    accelerator_hours: float | None = None
    """Worked since its start, which may be lost; None: unknown."""
    ends_at: float | None = None
    """When it ends by itself at the latest."""


class Draft(Record, frozen=True):
    """One backend's part of a plan."""

    steps: tuple[Step, ...] = ()
    effects: dict[str, Effect] = {}
    """Job id to what becomes of it, where that is not `runs on`."""
    blocked_by: tuple[str, ...] = ()
    """What stands against it; the plan does not run until it is gone."""
    warnings: tuple[str, ...] = ()
    unchanged: dict[str, str] = {}
    """Target to why nothing is to be done for it: `is drained already: Xid 79 (bob)`."""
    former: dict[str, str] = {}
    """Target to what an undo of this needs beside the record, in a form of the backend's own: see `Order.former`."""


class Plan(Record, frozen=True):
    """Everything that an action would do, and whom it meets."""

    id: str
    action: str
    made_at: float
    orders: tuple[Order, ...]
    steps: tuple[Step, ...] = ()
    before: tuple[Seen, ...] = ()
    """Every target as it was when the plan was made."""
    interrupts: tuple[Interrupt, ...] = ()
    blocked_by: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unchanged: dict[str, dict[str, str]] = {}
    """Cluster to its targets for which nothing is to be done, each with why."""
    free_at: float | None = None
    """When the last job that runs on has ended by itself, at the latest; None: not known, or none runs."""
    confirm: str | None = None
    """What must be typed before it runs; None: a plain yes."""
    undoes: str | None = None
    """The attempt that this plan takes back."""


class OutcomeState(enum.StrEnum):
    """How it went for one target."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class StepOutcome(Record, frozen=True):
    """How it went for one target of a plan."""

    cluster: str
    target: str
    state: OutcomeState
    detail: str = ""
    """In the backend's own words when it failed."""
    hint: str = ""
    denied: bool = False
    """It failed because somebody who may decide said no."""
