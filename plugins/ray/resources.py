"""Amounts of Ray's logical resources: what a node has, what is in use, what somebody wants. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from console.text import clean

Resources = dict[str, float]

ACCELERATORS = ("GPU", "TPU", "HPU", "NPU", "neuron_cores")
"""What Ray counts as accelerators of the vendors that it knows."""
_MODEL = ("accelerator_type:", "acceleratorType:")
_SUFFIXES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "B": 1}
_LINE = re.compile(r"(\S+)/(\S+) (.+?)(?: \((\S+) used of (\S+) reserved in placement groups\))?")
_GROUP = re.compile(r"(.+?)_group_(?:\d+_)?[0-9a-f]+", re.ASCII)
_BYTES = ("memory", "object_store_memory")
_EPSILON = 1e-6
_PRECISION = 4


@dataclass(slots=True, frozen=True)
class Amount:
    """How much of one resource there is and how much of it is held, by work or by a placement group."""

    total: float
    used: float


def usage(text: str) -> dict[str, Amount]:
    """Return resource to amount out of the autoscaler's words, one resource a line; lines that are none are left out.

    `0.0/8.0 GPU (0.0 used of 4.0 reserved in placement groups)`: four of eight are held, though nothing runs there.
    """
    found: dict[str, Amount] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        used, total = _number(match[1]), _number(match[2])
        if match[4] is not None:
            used += _number(match[5]) - _number(match[4])
        if math.isfinite(total) and math.isfinite(used):
            found[match[3]] = Amount(total, max(used, 0.0))
    return found


def _number(text: str) -> float:
    """Return `4.0` or `1.50GiB` as a number; NaN for anything else."""
    suffix = next((name for name in _SUFFIXES if text.endswith(name)), "")
    try:
        return float(text.removesuffix(suffix)) * _SUFFIXES.get(suffix, 1)
    except ValueError:
        return math.nan


def accelerators(resources: Mapping[str, float]) -> float:
    """Return how many accelerators of any kind are among these."""
    return sum(resources.get(name, 0.0) for name in ACCELERATORS)


def model(names: Iterable[str]) -> str | None:
    """Return the accelerator that a node says it has by a resource: `accelerator_type:H100`."""
    for name in names:
        for prefix in _MODEL:
            if name.startswith(prefix):
                return clean(name.removeprefix(prefix), limit=64) or None
    return None


def whole(amount: float) -> int:
    """Return an amount in whole pieces: half a GPU that is held is a GPU that is not free."""
    return math.ceil(amount - _EPSILON)


def plain(resources: Mapping[str, float] | None) -> Resources:
    """Return what is wanted under the names of the resources themselves, what is not wanted left out.

    Inside of a placement group they are called `GPU_group_0_4bd2…`.
    """
    found: Resources = {}
    for name, amount in (resources or {}).items():
        if name.startswith(("bundle_group_", "node:")) or not math.isfinite(amount) or amount <= 0:
            continue
        match = _GROUP.fullmatch(name)
        key = match[1] if match else name
        found[key] = max(found.get(key, 0.0), amount)
    return found


def add(into: Resources, more: Mapping[str, float]) -> None:
    """Add amounts to amounts."""
    for name, amount in more.items():
        into[name] = into.get(name, 0.0) + amount


def fits(wanted: Mapping[str, float], there: Mapping[str, float]) -> bool:
    """Whether all that is wanted is there at once."""
    return all(there.get(name, 0.0) + _EPSILON >= amount for name, amount in wanted.items())


def words(resources: Mapping[str, float]) -> str:
    """Return `8 GPU, 4 CPU`, accelerators first."""
    order = sorted(resources, key=lambda name: (name not in ACCELERATORS, name != "CPU", name))
    return ", ".join(f"{figure(resources[name], name)} {clean(name, limit=64)}" for name in order) or "nothing"


def figure(amount: float, name: str) -> str:
    """Return an amount for people."""
    if name not in _BYTES:
        return f"{round(amount, _PRECISION):g}"
    suffix = next((name for name in ("TiB", "GiB", "MiB", "KiB") if amount >= _SUFFIXES[name]), "B")
    return f"{amount / _SUFFIXES[suffix]:.3g} {suffix}"


def counted(bundles: Iterable[Mapping[str, float]]) -> str:
    """Return `2 × (8 GPU, 1 CPU)` for equal bundles, different ones joined by a plus."""
    counts = Counter(words(bundle) for bundle in bundles)
    return " + ".join(text if count == 1 else f"{count} × ({text})" for text, count in counts.items()) or "nothing"
