"""What the world must look like after an action: the promise of a plan, checked by what a fresh look gives. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from console.model import Job, JobState, Node, NodeState, Order, Seen

_OUT = frozenset({NodeState.DRAINING, NodeState.DRAINED, NodeState.MAINTENANCE})
_ENDED = frozenset(state for state in JobState if state.ended)
_STOPPED = frozenset({JobState.SUSPENDED, JobState.HELD})
"""To some schedulers a job that was suspended is one that is held."""

_NODES: Mapping[str, frozenset[NodeState]] = MappingProxyType(
    {"drain": _OUT, "cordon": _OUT, "resume": frozenset(NodeState) - _OUT - {NodeState.DOWN, NodeState.UNKNOWN}}
)
_JOBS: Mapping[str, frozenset[JobState]] = MappingProxyType(
    {
        "hold": frozenset({JobState.HELD}),
        "release": frozenset(JobState) - {JobState.HELD},
        "cancel": _ENDED | {JobState.COMPLETING},
        "requeue": frozenset(JobState) - _ENDED,
        "suspend": _STOPPED,
        "continue": frozenset(JobState) - _STOPPED,
    }
)


def seen_node(node: Node) -> Seen:
    """Return what of a node an action may change."""
    return Seen(
        cluster=node.cluster,
        name=node.name,
        state=node.state.value,
        scheduler_state=node.scheduler_state,
        reason=node.reason,
        reason_by=node.reason_by,
        reason_at=node.reason_at,
    )


def seen_job(job: Job) -> Seen:
    """Return what of a job an action may change."""
    values = {
        "time_limit_s": None if job.time_limit_s is None else f"{job.time_limit_s:.0f}",
        "priority": None if job.priority is None else str(job.priority),
        "queue": job.queue,
    }
    return Seen(
        cluster=job.cluster,
        name=job.id,
        state=job.state.value,
        scheduler_state=job.scheduler_state,
        reason=job.reason,
        values={key: value for key, value in values.items() if value is not None},
    )


def unmet(order: Order, before: Seen | None, now: Seen | None) -> str | None:
    """Return in words why the promise of an order does not hold for one target; None: it holds.

    `now` None: the scheduler knows the target no longer, which is what a cancelled job comes to.
    """
    if now is None:
        return None if order.action == "cancel" else "its scheduler does not know it any more"
    states: frozenset[str] | None = None
    if order.action in _NODES:
        states = frozenset(state.value for state in _NODES[order.action])
    elif order.action in _JOBS:
        states = frozenset(state.value for state in _JOBS[order.action])
    if states is not None and now.state not in states:
        return f"it is {now.scheduler_state or now.state} still"
    check = _VALUES.get(order.action)
    return check(order, before, now) if check is not None else None


def _changed(key: str, title: str) -> Callable[[Order, Seen | None, Seen], str | None]:
    def check(order: Order, before: Seen | None, now: Seen) -> str | None:
        value, old = now.values.get(key), before.values.get(key) if before is not None else None
        return f"its {title} is {old} still" if value == old and old is not None and old != order.value else None

    return check


_VALUES: Mapping[str, Callable[[Order, Seen | None, Seen], str | None]] = MappingProxyType(
    {
        "timelimit": _changed("time_limit_s", "time limit"),
        "priority": _changed("priority", "priority"),
        "move": _changed("queue", "queue"),
    }
)
