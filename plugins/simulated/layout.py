"""The machines of the simulated cluster: names, racks, kinds of GPU, pools, partitions."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator

import msgspec

NODES_PER_RACK = 4
RACKS_PER_ROW = 20
CPUS = 192
CPUS_PER_GPU = 24
MEMORY_BYTES = 2 << 40
MEMORY_PER_GPU_BYTES = 240 << 30


class GpuKind(msgspec.Struct, frozen=True, gc=False):
    """A model of GPU."""

    feature: str
    model: str
    memory_bytes: int
    power_limit_w: float
    clock_max_mhz: int


H100 = GpuKind("h100", "NVIDIA H100 80GB HBM3", 81559 << 20, 700.0, 1980)
H200 = GpuKind("h200", "NVIDIA H200", 143771 << 20, 700.0, 1980)


class Place(msgspec.Struct, frozen=True, gc=False):
    """What never changes about one node."""

    index: int
    name: str
    number: int
    """The number in its name."""
    rack: str
    row: int
    kind: GpuKind
    pool: int
    ambient_c: float
    """Inlet temperature: the far end of a row is warmer."""
    salt: int
    """Where this node reads the tables of noise."""


class Pool(msgspec.Struct, frozen=True):
    """Nodes that serve the same partitions. Kinds of work go to pools by the partition they name."""

    index: int
    partitions: tuple[str, ...]
    nodes: range


_BUSES = ("1b", "29", "45", "4e", "9b", "ab", "bb", "cb", "db", "e4", "f1", "f8", "05", "0c", "12", "17")


def bus_id(gpu: int) -> str:
    """Return the PCI address of a GPU, the same on every node."""
    return f"00000000:{_BUSES[gpu % len(_BUSES)].upper()}:{gpu // len(_BUSES):02X}.0"


def uuids(place: Place, gpus: int) -> list[str]:
    """Return the identities of the GPUs of a node, as the driver writes them."""
    bits = random.Random(f"{place.name}:{place.salt}").getrandbits(128 * gpus).to_bytes(16 * gpus, "little")
    return [f"GPU-{uuid.UUID(bytes=bits[at : at + 16])}" for at in range(0, 16 * gpus, 16)]


def pools(nodes: int) -> tuple[Pool, ...]:
    """Return how the nodes are divided: three pools, or one where there are too few."""
    if nodes < 8:
        return (Pool(0, ("train", "h200", "shared", "inference", "interactive"), range(nodes)),)
    h200 = nodes - max(nodes // 4, 1)
    shared = h200 - max(nodes // 6, 2)
    return (
        Pool(0, ("train",), range(shared)),
        Pool(1, ("shared", "inference", "interactive"), range(shared, h200)),
        Pool(2, ("h200",), range(h200, nodes)),
    )


def places(nodes: int, seed: int, divided: tuple[Pool, ...]) -> Iterator[Place]:
    """Return the nodes one by one, in the order of their index."""
    rng = random.Random(f"places:{seed}")
    digits = max(3, len(str(nodes)))
    first_h200 = divided[-1].nodes.start if len(divided) > 1 else nodes
    row_letters = "abcdefghijklmnopqrstuvwxyz"
    for pool in divided:
        for index in pool.nodes:
            rack = index // NODES_PER_RACK
            row, column = divmod(rack, RACKS_PER_ROW)
            letters = (row_letters[row // 26 - 1] if row >= 26 else "") + row_letters[row % 26]
            late = index >= first_h200
            number = index - first_h200 + 1 if late else index + 1
            yield Place(
                index=index,
                name=f"{'hgx' if late else 'gpu'}{number:0{digits}d}",
                number=number,
                rack=f"{letters}{column + 1:02d}",
                row=row,
                kind=H200 if late else H100,
                pool=pool.index,
                ambient_c=22.0 + 6.0 * column / RACKS_PER_ROW + rng.random() * 2,
                salt=rng.randrange(1 << 16),
            )


def fold(machines: list[Place], indices: Iterable[int]) -> str:
    """Return the names of nodes folded as a scheduler writes them: `gpu[001-003,007],hgx012`."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1 and machines[index].kind is machines[runs[-1][1]].kind:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    prefixes: dict[str, list[str]] = {}
    for first, last in runs:
        name = machines[first].name
        digits = name.lstrip("abcdefghijklmnopqrstuvwxyz")
        end = machines[last].name[len(name) - len(digits) :]
        prefixes.setdefault(name[: -len(digits)], []).append(digits if first == last else f"{digits}-{end}")
    parts = []
    for prefix, ranges in prefixes.items():
        single = len(ranges) == 1 and "-" not in ranges[0]
        parts.append(prefix + (ranges[0] if single else f"[{','.join(ranges)}]"))
    return ",".join(parts)
