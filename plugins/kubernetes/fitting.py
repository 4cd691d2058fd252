"""Which nodes would fit a pod by what they have, and why they do not take it now. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from console.model import Fit, NodeState
from console.nodeset import fold
from plugins.kubernetes.board import Board
from plugins.kubernetes.node import NodeFacts
from plugins.kubernetes.pods import Pod


def fits(board: Board, pod: Pod, names: Iterable[str]) -> tuple[Fit, ...]:
    """Return the nodes that have what a pod asks for, grouped by why they do not take it now."""
    wanted = {name: count for name, count in pod.resources if board.accelerators.is_one(name)}
    if not wanted:
        return ()
    groups: dict[str, list[tuple[str, int]]] = {}
    for name in names:
        facts = board.nodes.get(name)
        if facts is None or any(dict(facts.capacity).get(each, 0) < count for each, count in wanted.items()):
            continue
        free = _free(board, facts, wanted)
        why = _why_not(facts, free, wanted)
        groups.setdefault(why, []).append((name, sum(free.values())))
    return tuple(
        Fit(
            why=why,
            count=len(group),
            nodes=fold(name for name, _ in group),
            accelerators_free=sum(free for _, free in group),
        )
        for why, group in sorted(groups.items(), key=lambda item: -len(item[1]))
    )


def _free(board: Board, facts: NodeFacts, wanted: dict[str, int]) -> dict[str, int]:
    free = {name: dict(facts.allocatable).get(name, 0) for name in wanted}
    for pod in board.pods_on(facts.name):
        for name, count in pod.resources if pod.holds else ():
            if name in free:
                free[name] = max(free[name] - count, 0)
    return free


def _why_not(facts: NodeFacts, free: dict[str, int], wanted: dict[str, int]) -> str:
    if facts.state in (NodeState.DOWN, NodeState.UNREACHABLE, NodeState.UNKNOWN):
        return "out of order"
    if facts.state is NodeState.DRAINED:
        return "drained (cordoned)"
    if "taint " in facts.reason:
        return "tainted"
    if all(free[name] >= count for name, count in wanted.items()):
        return "free, ruled out by something else: another resource, a condition, a rule of the pod"
    if any(free.values()):
        return "fragmented: fewer free than it wants on one node"
    return "busy"
