"""Why a job waits, or how it ended, in words."""

from __future__ import annotations

from console.model.base import Record
from console.model.job import JobState


class Cause(Record, frozen=True):
    """One thing that keeps a job from running, or that ended it."""

    code: str
    """As the scheduler says it: `QOSMaxGRESPerUser`, `Insufficient nvidia.com/gpu`. Unknown ones too."""
    text: str
    """The same in plain words."""
    next_step: str = ""
    """What would have to happen, or what to do; empty: nothing but waiting."""
    nodes: int | None = None
    """For how many nodes it holds, where the scheduler counts them."""


class PriorityPart(Record, frozen=True):
    """One summand of a job's priority."""

    name: str
    value: float
    """As it counts in the sum."""
    share: float | None = None
    """The factor behind it before its weight, 0-1."""
    note: str = ""
    """Where it comes from: `5 of 15 shares of account lab, which used 80 %`."""


class Limit(Record, frozen=True):
    """A quota or limit that the job meets. Amounts are in the resource's own unit."""

    scope: str
    """Whose: `QOS normal, user alice`, `namespace team-a, quota gpus`, `ClusterQueue research`."""
    resource: str
    """`gpu`, `cpu`, `jobs`."""
    used: float | None = None
    limit: float | None = None
    asked: float | None = None


class Fit(Record, frozen=True):
    """Nodes that would fit the job by what they have, and why they do not take it now."""

    why: str
    """`busy`, `drained`, `reserved for maint`, `fragmented: fewer GPUs free than it wants on one node`."""
    count: int
    nodes: str | None = None
    """Folded."""
    accelerators_free: int | None = None


class Dependency(Record, frozen=True):
    """A job that this one waits for."""

    id: str
    condition: str
    """`afterok`, `after`, `singleton`."""
    name: str | None = None
    state: JobState | None = None


class Event(Record, frozen=True):
    """One thing that happened to a job."""

    at: float | None
    text: str


class Explanation(Record, frozen=True):
    """What a backend knows about why a job is where it is."""

    cluster: str
    job: str
    state: JobState
    summary: str
    """One sentence that a person understands without the scheduler's manual."""
    causes: tuple[Cause, ...] = ()
    """The deciding one first."""
    expected_start_at: float | None = None
    estimate_source: str | None = None
    """Who says so and how far to trust it: `backfill, if nothing ends early and nobody more important comes`."""
    position: int | None = None
    """Place in its queue, from 1."""
    priority: tuple[PriorityPart, ...] = ()
    limits: tuple[Limit, ...] = ()
    fits: tuple[Fit, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    events: tuple[Event, ...] = ()
    """In the order in which they happened."""
    missing: dict[str, str] = {}
    """Field to the reason why this backend does not know it."""
