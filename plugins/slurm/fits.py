"""Which nodes would fit a waiting job by what they have, and why they do not take it now. Pure.

Judged by whole nodes' counts of GPUs, CPUs and memory, as the listing of nodes gives them: no request to slurmctld, and
no second scheduler. What only Slurm knows (sockets, switches, licences, limits) is not weighed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from console.model import Fit, Node, NodeState, Reservation
from plugins.slurm import hostlist
from plugins.slurm.details import Detail

_WORD = re.compile(r"[\w.:-]+", re.ASCII)
_AWAY: Mapping[NodeState, str] = {
    NodeState.DRAINED: "drained",
    NodeState.DRAINING: "draining",
    NodeState.DOWN: "down",
    NodeState.UNREACHABLE: "not responding",
    NodeState.MAINTENANCE: "in maintenance",
    NodeState.UNKNOWN: "in a state unknown here",
}
AWAY_WORDS = frozenset(_AWAY.values())
FREE = "free now"
BUSY = "busy"
FRAGMENTED = "fragmented: too few GPUs free on each"
NARROW = "GPUs free, but too few CPUs or memory"
SHARED = "partly free; it wants whole nodes"


@dataclass(slots=True, frozen=True)
class Need:
    """What a job wants of each node."""

    nodes: int
    gpus: int
    cpus: int
    memory_bytes: int
    model: str | None = None
    partitions: frozenset[str] = frozenset()
    features: tuple[frozenset[str], ...] = ()
    """Of each set a node has at least one."""
    only: frozenset[str] | None = None
    """The nodes that it names itself."""
    reservation: str | None = None
    whole: bool = False

    @property
    def words(self) -> str:
        """In words, for people."""
        model = f" {self.model}" if self.model else ""
        parts = [f"{self.gpus}{model} GPUs"] if self.gpus > 1 else [f"1{model} GPU"] if self.gpus else []
        parts += [f"{self.cpus} CPUs"] if self.cpus > 1 else ["1 CPU"] if self.cpus else []
        each = " with ".join([" and ".join(parts)] if parts else [])
        count = "1 node" if self.nodes == 1 else f"{self.nodes} nodes"
        return f"{count} with {each}" + (" each" if self.nodes > 1 else "") if each else count


def need(detail: Detail) -> Need | None:
    """Return what a job wants of each node; None when Slurm does not tell how many GPUs or nodes that is."""
    job = detail.job
    count = job.node_count
    if not count or job.accelerators is None:
        return None
    named = hostlist.expand(detail.fact("ReqNodes") or "")
    return Need(
        nodes=count,
        gpus=-(-job.accelerators // count),
        cpus=-(-(job.cpus or 0) // count),
        memory_bytes=(job.memory_bytes or 0) // count,
        model=job.accelerator_model,
        partitions=frozenset((job.queue or "").split(",")) - {""},
        features=_features(detail.fact("Feature") or ""),
        only=frozenset(named) if named else None,
        reservation=job.reservation,
        whole=detail.facts.get("OverSubscribe", "").upper() in ("NO", "EXCLUSIVE"),
    )


def _features(text: str) -> tuple[frozenset[str], ...]:
    """Return `a&b` as two sets of one, `a|b` as one of two; nothing where it is more than that."""
    words = tuple(_WORD.findall(text))
    signs = set(_WORD.sub("", text))
    if signs <= {"&", ","}:
        return tuple(frozenset((word,)) for word in words)
    return (frozenset(words),) if signs == {"|"} else ()


def fits(wanted: Need, nodes: Iterable[Node], reservations: Sequence[Reservation]) -> tuple[Fit, ...]:
    """Return the nodes that would do, by why they do not take the job, those nearest to it first."""
    held = _reserved(reservations, wanted.reservation)
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        if _suits(wanted, node):
            groups.setdefault(_why(wanted, node, held), []).append(node)
    order = (FREE, NARROW, FRAGMENTED, SHARED, BUSY)
    ranked = sorted(groups, key=lambda why: (order.index(why) if why in order else len(order), why))
    return tuple(_fit(why, groups[why]) for why in ranked)


def _suits(wanted: Need, node: Node) -> bool:
    """Whether the node could take a part of the job if it were up and empty."""
    if wanted.only is not None and node.name not in wanted.only:
        return False
    if wanted.partitions and not wanted.partitions & set(node.partitions):
        return False
    if wanted.model and wanted.gpus and wanted.model not in (node.accelerator_model or "").split("+"):
        return False
    if any(not some & set(node.features) for some in wanted.features):
        return False
    enough = ((node.accelerators_total, wanted.gpus), (node.cpus, wanted.cpus))
    if any((has or 0) < asked for has, asked in enough):
        return False
    return node.memory_total_bytes is None or node.memory_total_bytes >= wanted.memory_bytes


def _why(wanted: Need, node: Node, held: Mapping[str, str]) -> str:
    if (away := _AWAY.get(node.state)) is not None:
        return away
    if node.name in held:
        return f"reserved for {held[node.name]}"
    if node.state is NodeState.RESERVED and node.detail.get("reservation") != wanted.reservation:
        return f"reserved for {node.detail.get('reservation') or 'a reservation'}"
    used = (node.accelerators_allocated or 0, node.cpus_allocated or 0)
    if wanted.whole and any(used):
        return SHARED if _free_gpus(node) else BUSY
    if wanted.gpus and _free_gpus(node) < wanted.gpus:
        return FRAGMENTED if _free_gpus(node) else BUSY
    cpus_free = (node.cpus or 0) - (node.cpus_allocated or 0)
    short = cpus_free < wanted.cpus
    if node.memory_total_bytes is not None and node.memory_allocated_bytes is not None:
        short |= node.memory_total_bytes - node.memory_allocated_bytes < wanted.memory_bytes
    if not short:
        return FREE
    return NARROW if wanted.gpus else BUSY


def _free_gpus(node: Node) -> int:
    return max((node.accelerators_total or 0) - (node.accelerators_allocated or 0), 0)


def _reserved(reservations: Sequence[Reservation], own: str | None) -> dict[str, str]:
    """Return the nodes that are set aside now for somebody else, each with the reservation's name."""
    found: dict[str, str] = {}
    for reservation in reservations:
        if reservation.name != own and (reservation.state or "").upper() == "ACTIVE":
            for name in hostlist.expand(reservation.nodes or "") or ():
                found.setdefault(name, reservation.name)
    return found


def _fit(why: str, nodes: Sequence[Node]) -> Fit:
    totals = [node.accelerators_total for node in nodes]
    free = sum(_free_gpus(node) for node in nodes) if all(total is not None for total in totals) else None
    return Fit(why=why, count=len(nodes), nodes=hostlist.fold(node.name for node in nodes), accelerators_free=free)


def unavailable(reason: str | None) -> tuple[str, ...]:
    """Return the nodes that `ReqNodeNotAvail, UnavailableNodes:n[6-7]` names."""
    _, found, names = (reason or "").partition("UnavailableNodes:")
    return hostlist.expand(names.strip().strip("()")) or () if found else ()


def states(names: Iterable[str], nodes: Iterable[Node]) -> str:
    """Return in words what is with some nodes: `n6 is drained (bad dimm)`."""
    by_name = {node.name: node for node in nodes}
    said = []
    for name in names:
        node = by_name.get(name)
        if node is not None:
            state = _AWAY.get(node.state, str(node.state))
            said.append(f"{name} is {state}" + (f" ({node.reason})" if node.reason else ""))
    return "; ".join(said[:4]) + (f"; and {len(said) - 4} more" if len(said) > 4 else "")
