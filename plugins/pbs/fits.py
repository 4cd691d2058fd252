"""Which hosts could take one chunk of a job, by what they have, and why they do not take it now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.model import Cause, Fit, Node, NodeState
from plugins.pbs import values
from plugins.pbs.rows import Row

_OUT = {
    NodeState.DRAINED: "offline",
    NodeState.DRAINING: "offline, with work that still runs",
    NodeState.DOWN: "down",
    NodeState.UNREACHABLE: "unreachable",
    NodeState.UNKNOWN: "in no known state",
    NodeState.MAINTENANCE: "in maintenance",
    NodeState.RESERVED: "reserved",
}
FREE = "free: they have room for one chunk now"
FRAGMENTED = "fragmented: some GPUs free, but fewer than one chunk wants on one host"
BUSY = "busy"
_ORDER = (FREE, FRAGMENTED, BUSY, *_OUT.values())
_UNCHECKED = frozenset(("mpiprocs", "ompthreads", "place", "arch", "vmem", "walltime"))


@dataclass(slots=True, frozen=True)
class Chunk:
    """The largest chunk of a job."""

    count: int
    gpus: int
    cpus: int
    memory_bytes: int
    names: tuple[tuple[str, str], ...]
    """What is asked for by name: `ib_fabric`, `host`."""


def largest_chunk(row: Row, gpus: Sequence[str]) -> Chunk | None:
    """Return the chunk that is hardest to place; None when the job does not say what it wants."""
    found = [_chunk(number, asked, tuple(gpus)) for number, asked in values.chunks(row.resources().get("select"))]
    return max(found, key=lambda chunk: (chunk.gpus, chunk.cpus, chunk.memory_bytes), default=None)


def _chunk(number: int, asked: Mapping[str, str], gpus: tuple[str, ...]) -> Chunk:
    counted = {*gpus, "ncpus", "mem", *_UNCHECKED}
    return Chunk(
        count=number,
        gpus=values.total(asked, gpus) or 0,
        cpus=values.count(asked.get("ncpus")) or 0,
        memory_bytes=values.size_bytes(asked.get("mem")) or 0,
        names=tuple((name, value) for name, value in asked.items() if name not in counted),
    )


def fits(row: Row, nodes: Sequence[Node], gpus: Sequence[str]) -> tuple[Fit, ...]:
    """Return the hosts that have what one chunk wants, by why they do not take it now, the nearest first."""
    chunk = largest_chunk(row, gpus)
    if chunk is None:
        return ()
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        if _could(node, chunk):
            groups.setdefault(_why(node, chunk), []).append(node)
    return tuple(_fit(why, groups[why]) for why in _ORDER if why in groups)


def none_fits(row: Row, nodes: Sequence[Node], gpus: Sequence[str]) -> Cause | None:
    """Return that too few hosts are large enough for the chunks of a job, busy or not; None when enough are."""
    chunk = largest_chunk(row, gpus)
    if chunk is None or not nodes:
        return None
    able = [node for node in nodes if _could(node, chunk)]
    wanted = " and ".join(
        text for amount, text in ((chunk.gpus, f"{chunk.gpus} GPUs"), (chunk.cpus, f"{chunk.cpus} CPUs")) if amount
    )
    if not able:
        wanted = wanted or "what it asks for"
        text = f"no host here is large enough for one chunk: {wanted} on one host"
        return Cause(code="no host is large enough", text=text, next_step="ask for smaller chunks", nodes=0)
    room = sum(_times(node, chunk) for node in able)
    if room >= chunk.count:
        return None
    text = f"all hosts together have room for {room} chunks of {wanted or 'its size'}, and it wants {chunk.count}"
    return Cause(code="too few hosts", text=text, next_step="ask for fewer chunks", nodes=len(able))


def _could(node: Node, chunk: Chunk) -> bool:
    """Whether the host has it, used or not. What PBS does not tell of a host speaks for it."""
    return (
        (node.accelerators_total is None or node.accelerators_total >= chunk.gpus)
        and (node.cpus is None or node.cpus >= chunk.cpus)
        and (node.memory_total_bytes is None or node.memory_total_bytes >= chunk.memory_bytes)
        and all(_has(node, name, value) for name, value in chunk.names)
    )


def _has(node: Node, name: str, value: str) -> bool:
    if name in ("host", "vnode"):
        return node.name == value.partition("[")[0]
    if name == "Qlist":
        return not node.partitions or value in node.partitions
    known = any(feature == name or feature.startswith(f"{name}=") for feature in node.features)
    return not known or f"{name}={value}" in node.features or (name in node.features and values.yes(value) is True)


def _times(node: Node, chunk: Chunk) -> int:
    """Return how many such chunks the host has room for when it is empty."""
    parts = [(node.accelerators_total, chunk.gpus), (node.cpus, chunk.cpus)]
    return min((have // want for have, want in parts if have is not None and want), default=chunk.count)


def _why(node: Node, chunk: Chunk) -> str:
    if node.state in _OUT:
        return _OUT[node.state]
    free_gpus = _free(node.accelerators_total, node.accelerators_allocated)
    free_cpus = _free(node.cpus, node.cpus_allocated)
    free_memory = _free(node.memory_total_bytes, node.memory_allocated_bytes)
    room = free_cpus is None or free_cpus >= chunk.cpus
    room = room and (free_memory is None or free_memory >= chunk.memory_bytes)
    if free_gpus is not None and 0 < free_gpus < chunk.gpus:
        return FRAGMENTED
    exclusive = "job-exclusive" in (node.scheduler_state or "")
    return FREE if room and not exclusive and (free_gpus is None or free_gpus >= chunk.gpus) else BUSY


def _free(total: int | None, used: int | None) -> int | None:
    return None if total is None else max(total - (used or 0), 0)


def _fit(why: str, nodes: list[Node]) -> Fit:
    free = [_free(node.accelerators_total, node.accelerators_allocated) for node in nodes]
    known = [number for number in free if number is not None]
    return Fit(
        why=why,
        count=len(nodes),
        nodes=values.fold(tuple(node.name for node in nodes)),
        accelerators_free=sum(known) if known else None,
    )
