"""What the facts about a job come to, in words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from console.model import Cause, Event, Explanation, Fit, JobState
from console.text import clean
from plugins.ray import holdings, hosts, jobs, resources
from plugins.ray.holdings import Holding, Want
from plugins.ray.nodes import Machine
from plugins.ray.resources import Resources
from plugins.ray.wire import ActorRow, JobRow, TaskRow

_UNKNOWN = {
    "expected_start_at": "Ray estimates no start",
    "position": "Ray keeps no queue: who fits first is placed first",
    "priority": "Ray has no priorities",
    "limits": "Ray has no quotas",
}
_MOST = 12
"""Causes that are told one by one."""
_NOT_NEEDED = ("OUT_OF_SCOPE", "REF_DELETED", "RAY_KILL", "OWNER_DIED")
"""Reasons for which actors end in a job that is well."""


@dataclass(slots=True)
class Facts:
    """What was found out about one job."""

    row: JobRow
    holding: Holding = field(default_factory=Holding)
    machines: tuple[Machine, ...] | None = None
    """None: not known."""
    dead_actors: tuple[ActorRow, ...] = ()
    failed_tasks: tuple[TaskRow, ...] = ()
    tasks: dict[str, int] = field(default_factory=dict)
    autoscaler: tuple[str, ...] = ()
    """What it does about what is lacking."""
    missing: dict[str, str] = field(default_factory=dict)


def build(facts: Facts, cluster: str) -> Explanation:
    """Return what the facts come to."""
    row = facts.row
    state = jobs.STATES.get(row.status or "", JobState.UNKNOWN)
    merged = holdings.merged(facts.holding.wants)
    causes = [_want_cause(want, count, facts.machines) for want, count in merged]
    if causes:
        causes += [Cause(code="AUTOSCALER", text=said) for said in facts.autoscaler]
    if state is JobState.PENDING and not causes:
        causes = [Cause(code="PENDING", text=jobs.reason(row, None) or "Ray does not say why")]
    if state is JobState.FAILED:
        causes = [_end_cause(row)]
    # Actors of a job that came to its end are dead because it did.
    if state in (JobState.FAILED, JobState.RUNNING):
        causes += _trouble(facts)
    first = facts.holding.wants[0] if facts.holding.wants else None
    return Explanation(
        cluster=cluster,
        job=jobs.job_id(row) or "",
        state=state,
        summary=_summary(facts, state, causes),
        causes=tuple(causes[:_MOST]),
        fits=_fits(first, facts.machines) if first and facts.machines else (),
        events=_events(row),
        missing={**(_UNKNOWN if state in (JobState.PENDING, JobState.RUNNING) else {}), **facts.missing},
    )


def _summary(facts: Facts, state: JobState, causes: Sequence[Cause]) -> str:
    row, holding = facts.row, facts.holding
    match state:
        case JobState.PENDING:
            return f"It has not begun: {causes[0].text}"
        case JobState.RUNNING:
            held = {name: amount for name, amount in holding.held.items() if amount > 0}
            holds = f"It runs and holds {resources.words(held)}" if held else "It runs and holds nothing by itself"
            if not holding.wants:
                return f"{holds}; nothing of it waits for room." + _counted(facts)
            return f"{holds}; {len(holding.wants)} of its parts wait for room: {causes[0].text}.{_counted(facts)}"
        case JobState.FAILED:
            return f"It failed: {causes[0].text}"
        case JobState.CANCELLED:
            return "It was stopped on purpose."
        case JobState.COMPLETED:
            return "It ended well."
        case _:
            return f"Ray calls its state {clean(row.status or 'nothing', limit=64)}, which is not known here."


def _counted(facts: Facts) -> str:
    parts = [
        f"{what}: {holdings.sentence(Counter(counts))}"
        for what, counts in (
            ("placement groups", facts.holding.groups),
            ("actors", facts.holding.actors),
            ("tasks", {state.lower(): count for state, count in facts.tasks.items()}),
        )
        if counts
    ]
    return f" {'; '.join(parts)}." if parts else ""


def _want_cause(want: Want, count: int, machines: Sequence[Machine] | None) -> Cause:
    """Return why it has no place: it never can have one, it cannot now, or nothing that is seen here forbids it."""
    what = f"{f'{count} × ' if count > 1 else ''}{want.what} wants {resources.counted(want.bundles)}"
    code = want.verdict or "PENDING"
    if machines is None:
        return Cause(code=code, text=what)
    if not machines:
        return Cause(code="NO_NODES", text=f"{what}; no node is alive", next_step="start nodes: ray start --address …")
    if lack := _lack(want, machines):
        return Cause(
            code="INFEASIBLE",
            text=f"{what}; {lack}",
            next_step="it will wait for ever unless such nodes join: add some, or ask for less",
            nodes=len(machines),
        )
    able = [machine for machine in machines if _takes(machine.total, want)]
    if any(machine.free is None for machine in able):
        return Cause(code=code, text=what, nodes=len(able))
    room = [machine for machine in able if _takes(machine.free or {}, want)]
    if not room or not resources.fits(_sum(want.bundles), _sum(machine.free or {} for machine in able)):
        return Cause(
            code="NO_RESOURCES",
            text=f"{what}; {_nodes(len(able))} could hold it and {'is' if len(able) == 1 else 'are'} too full",
            next_step="it starts when enough of what runs there ends",
            nodes=len(able),
        )
    return Cause(
        code=code,
        text=f"{what}; there seems to be room on {_nodes(len(room))}",
        next_step="if it stays: its runtime environment may be set up still, or its placement strategy may forbid them",
        nodes=len(room),
    )


def _lack(want: Want, machines: Sequence[Machine]) -> str | None:
    """Return what no node, or all of them together, can ever give; None: nothing."""
    for bundle in want.bundles:
        if not any(resources.fits(bundle, machine.total) for machine in machines):
            return f"no node has {resources.words(bundle)}: the most that one has is {_best(bundle, machines)}"
    together, cluster = _sum(want.bundles), _sum(machine.total for machine in machines)
    return None if resources.fits(together, cluster) else f"the whole cluster has {_of(together, cluster)}"


def _takes(there: Resources, want: Want) -> bool:
    return any(resources.fits(bundle, there) for bundle in want.bundles)


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _sum(parts: Iterable[Resources]) -> Resources:
    total: Resources = {}
    for part in parts:
        resources.add(total, part)
    return total


def _best(bundle: Resources, machines: Sequence[Machine]) -> str:
    """Return what the machine has that comes nearest, of what is wanted."""
    nearest = max(
        machines, key=lambda machine: sum(min(machine.total.get(name, 0.0) / want, 1) for name, want in bundle.items())
    )
    return _of(bundle, nearest.total)


def _of(wanted: Resources, there: Resources) -> str:
    return resources.words({name: there.get(name, 0.0) for name in wanted})


def _fits(want: Want, machines: Sequence[Machine]) -> tuple[Fit, ...]:
    """Return the nodes that could hold the largest part of what is wanted, by why they do not now."""
    bundle = max(want.bundles, key=lambda each: (resources.accelerators(each), sum(each.values())), default={})
    groups: dict[str, list[Machine]] = {}
    for machine in machines:
        if machine.free is None or not resources.fits(bundle, machine.total):
            continue
        if resources.fits(bundle, machine.free):
            why = "free"
        elif 0 < resources.accelerators(machine.free) < resources.accelerators(bundle):
            why = "fragmented: fewer accelerators free than it wants on one node"
        else:
            why = "busy"
        groups.setdefault(why, []).append(machine)
    return tuple(
        Fit(
            why=why,
            count=len(found),
            nodes=hosts.fold(machine.name for machine in found),
            accelerators_free=int(sum(resources.accelerators(machine.free or {}) for machine in found)),
        )
        for why, found in groups.items()
    )


def _end_cause(row: JobRow) -> Cause:
    code = row.error_type or (f"exit code {row.driver_exit_code}" if row.driver_exit_code is not None else "FAILED")
    return Cause(
        code=clean(code, limit=128),
        text=jobs.reason(row, None) or "Ray does not say why",
        next_step="read its log: the end of its driver's output says more",
    )


def _trouble(facts: Facts) -> list[Cause]:
    """Return what died or failed inside of the job, equal things once."""
    deaths = Counter(_death(actor) for actor in facts.dead_actors)
    failures = Counter(
        (clean(task.func_or_class_name or task.name or "?", limit=64), clean(task.error_type or "FAILED", limit=64))
        for task in facts.failed_tasks
    )
    found = [
        Cause(code="ACTOR_DIED", text=f"{f'{count} × ' if count > 1 else ''}actor {name} died: {why}")
        for (name, why), count in deaths.most_common()
        if why
    ]
    found += [
        Cause(code=error, text=f"{count} of its tasks {name} failed: {error}")
        for (name, error), count in failures.most_common()
    ]
    return found


def _death(actor: ActorRow) -> tuple[str, str]:
    """Return which actor, and why it died; "" when it ended because it was not needed any more."""
    name = clean(actor.name or actor.class_name or "?", limit=64)
    for context in (actor.death_cause or {}).values():
        if not isinstance(context, dict):
            continue
        if context.get("reason") in _NOT_NEEDED:
            return name, ""
        said = context.get("error_message") or context.get("formatted_exception_string") or context.get("reason")
        if said:
            return name, clean(str(said).strip(), limit=300)
    return name, ""


def _events(row: JobRow) -> tuple[Event, ...]:
    found = []
    if row.start_time:
        found.append(Event(at=row.start_time / 1000, text="connected" if row.type == "DRIVER" else "submitted"))
    if row.end_time:
        how = clean(row.status or "", limit=64).lower()
        code = f", exit code {row.driver_exit_code}" if row.driver_exit_code is not None else ""
        found.append(Event(at=row.end_time / 1000, text=f"ended: {how}{code}"))
    return tuple(found)
