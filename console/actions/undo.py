"""Undo: what brings back what was there before an attempt. Pure, over what the journal kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from console.errors import UsageError
from console.model import Attempt, NodeState, Order, OutcomeState, Seen

_DRAINED = frozenset({NodeState.DRAINING.value, NodeState.DRAINED.value})
_BACK: Mapping[str, str] = MappingProxyType(
    {"hold": "release", "release": "hold", "suspend": "continue", "continue": "suspend", "power-down": "power-up"}
)
_VALUE: Mapping[str, str] = MappingProxyType({"timelimit": "time_limit_s", "priority": "priority", "move": "queue"})
_NEVER: Mapping[str, str] = MappingProxyType(
    {
        "cancel": "what was cancelled has ended: submit it again",
        "requeue": "what was requeued has begun anew",
        "reboot": "a node cannot be un-rebooted",
        "run": "what ran has run: run what takes it back",
        "power-up": "power it down again where that is meant",
    }
)


def can_be_undone(action: str) -> bool:
    """Whether an action of this kind can be taken back at all."""
    return action not in _NEVER


@dataclass(slots=True)
class Undoing:
    """What is asked for so that an attempt is undone."""

    orders: list[Order] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def undoing(attempt: Attempt, by: str) -> Undoing:
    """Return the orders that bring back what was before, for the targets for which the attempt did something.

    UsageError when nothing of it can be undone.
    """
    asked = {(order.cluster, name): order.action for order in attempt.plan.orders for name in order.names}
    for action in asked.values():
        if action in _NEVER:
            raise UsageError(f"a {action} cannot be undone", attempt.id, _NEVER[action])
    hit = _touched(attempt)
    found = Undoing()
    wanted: dict[tuple[str, str, str | None, str | None, str], list[str]] = {}
    for seen in attempt.plan.before:
        key = (seen.cluster, seen.name)
        if key not in hit:
            continue
        back = _back(asked[key], seen)
        if back is None:
            found.warnings.append(f"{seen.name}: what was before is not known")
            continue
        action, reason, value = back
        wanted.setdefault((seen.cluster, action, reason, value, seen.former), []).append(seen.name)
        if action == "cordon" and seen.reason_by and not seen.former:
            found.warnings.append(f"{seen.name}: the reason of {seen.reason_by} comes back under your name")
    if not wanted:
        raise UsageError("nothing was done that could be undone", attempt.id, "qd journal shows each attempt")
    for (cluster, action, reason, value, former), names in wanted.items():
        order = Order(
            action=action, cluster=cluster, names=tuple(names), reason=reason, value=value, by=by, former=former
        )
        found.orders.append(order)
    return found


def _touched(attempt: Attempt) -> set[tuple[str, str]]:
    """Return the targets for which something was done, or may have been: no step failed or was left out before one."""
    done = {(one.cluster, one.target) for one in attempt.outcomes if one.state is OutcomeState.DONE}
    steps = attempt.plan.steps
    doubt = {(steps[at].cluster, name) for at in attempt.in_doubt if at < len(steps) for name in steps[at].names}
    return done | doubt


def _back(action: str, seen: Seen) -> tuple[str, str | None, str | None] | None:
    """Return the action that brings back what was, with its reason and value."""
    if action in ("drain", "cordon", "resume"):
        if seen.state in _DRAINED:
            return "cordon", seen.reason or "as before", None
        return "resume", None, None
    if action in _BACK:
        return _BACK[action], None, None
    value = seen.values.get(_VALUE.get(action, ""))
    return None if value is None and not seen.former else (action, None, value)


def difference(old: Iterable[Seen], new: Iterable[Seen]) -> tuple[str, ...]:
    """Return in words how targets changed between two looks."""
    before = {(seen.cluster, seen.name): seen for seen in old}
    after = {(seen.cluster, seen.name): seen for seen in new}
    said = []
    for key, seen in before.items():
        now = after.get(key)
        if now is None:
            said.append(f"{seen.name} is not known any more")
        elif _words(now) != _words(seen):
            who = f" by {now.reason_by}" if now.reason_by and now.reason_by != seen.reason_by else ""
            said.append(f"{seen.name} was {_words(seen)} and is {_words(now)}{who}")
    return (*said, *(f"{key[1]} is new" for key in after if key not in before))


def _words(seen: Seen) -> str:
    values = [f"{key} {value}" for key, value in sorted(seen.values.items())]
    return ", ".join([seen.scheduler_state or seen.state, *([seen.reason] if seen.reason else []), *values])
