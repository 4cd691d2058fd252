"""What jobs hold and what they wait for: actors and placement groups, added up by job. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from console.text import clean
from plugins.ray import resources
from plugins.ray.resources import Resources
from plugins.ray.wire import ActorRow, GroupRow, TaskRow

_GROUP_WAITS = ("PENDING", "PREPARED", "RESCHEDULING")
_ACTOR_WAITS = ("PENDING_CREATION", "RESTARTING")
"""DEPENDENCIES_UNREADY waits for the job's own work, not for a place."""


@dataclass(slots=True, frozen=True)
class Want:
    """Something that has no place yet."""

    what: str
    """`placement group pg1`, `actor Trainer`, `task step`."""
    bundles: tuple[Resources, ...]
    """What it needs; each bundle on one node."""
    verdict: str | None = None
    """What Ray itself says of it: INFEASIBLE, NO_RESOURCES."""


@dataclass(slots=True)
class Holding:
    """One job, by its Ray job id."""

    held: Resources = field(default_factory=dict)
    nodes: set[str] = field(default_factory=set)
    """Ray node ids."""
    wants: list[Want] = field(default_factory=list)
    groups: Counter[str] = field(default_factory=Counter)
    """State to how many placement groups."""
    actors: Counter[str] = field(default_factory=Counter)
    restarts: int = 0


def add_up(groups: Iterable[GroupRow], actors: Iterable[ActorRow], tasks: Iterable[TaskRow]) -> dict[str, Holding]:
    """Return Ray job id to what that job holds. What runs inside of a placement group is counted with the group.

    `tasks`: those that run. Tasks of actors need nothing of their own.
    """
    found: dict[str, Holding] = {}
    for group in groups:
        if not group.creator_job_id or group.state == "REMOVED":
            continue
        holding = found.setdefault(group.creator_job_id, Holding())
        holding.groups[(group.state or "UNKNOWN").lower()] += 1
        _add_group(holding, group)
    for actor in actors:
        if not actor.job_id:
            continue
        holding = found.setdefault(actor.job_id, Holding())
        holding.actors[(actor.state or "UNKNOWN").lower()] += 1
        _add_actor(holding, actor)
    for task in tasks:
        if task.job_id and task.node_id:
            holding = found.setdefault(task.job_id, Holding())
            holding.nodes.add(task.node_id)
            if not task.placement_group_id:
                resources.add(holding.held, resources.plain(task.required_resources))
    return found


def _add_group(holding: Holding, group: GroupRow) -> None:
    bundles = [(resources.plain(bundle.unit_resources), bundle.node_id) for bundle in group.bundles or ()]
    for wanted, node in bundles:
        if group.state == "CREATED" and node:
            resources.add(holding.held, wanted)
            holding.nodes.add(node)
    if group.state in _GROUP_WAITS:
        without = tuple(wanted for wanted, node in bundles if not node) or tuple(wanted for wanted, _ in bundles)
        name = clean(group.name or (group.placement_group_id or "")[:8], limit=64)
        verdict = group.stats.scheduling_state if group.stats else None
        holding.wants.append(Want(f"placement group {name}", without, verdict))


def _add_actor(holding: Holding, actor: ActorRow) -> None:
    holding.restarts += actor.num_restarts or 0
    wanted = resources.plain(actor.required_resources)
    if actor.state == "ALIVE" and actor.node_id:
        holding.nodes.add(actor.node_id)
        if not actor.placement_group_id:
            resources.add(holding.held, wanted)
    elif actor.state in _ACTOR_WAITS:
        name = clean(actor.name or actor.class_name or "?", limit=64)
        holding.wants.append(Want(f"actor {name}", (wanted,)))


def task_wants(tasks: Iterable[TaskRow]) -> list[Want]:
    """Return what tasks that have no node yet want."""
    return [
        Want(
            f"task {clean(task.func_or_class_name or task.name or '?', limit=64)}",
            (resources.plain(task.required_resources),),
        )
        for task in tasks
    ]


def merged(wants: Iterable[Want]) -> list[tuple[Want, int]]:
    """Return equal wants once, with how many of them there are, in their order."""
    counts: dict[tuple[str, str, str | None], int] = {}
    first: dict[tuple[str, str, str | None], Want] = {}
    for want in wants:
        key = (want.what, resources.counted(want.bundles), want.verdict)
        counts[key] = counts.get(key, 0) + 1
        first.setdefault(key, want)
    return [(first[key], count) for key, count in counts.items()]


def sentence(counts: Counter[str]) -> str:
    """Return `12 alive, 3 pending creation`, the most first."""
    return ", ".join(f"{count} {clean(state.replace('_', ' '), limit=64)}" for state, count in counts.most_common())
