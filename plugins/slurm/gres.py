"""GPUs out of every spelling of GRES and TRES."""

from __future__ import annotations

import re

_ENTRY = re.compile(r"(?:[^,(\[]|\([^)]*\)?|\[[^\]]*\]?)+")
"""Up to the next comma outside of parentheses and brackets; unbalanced ones end with the text."""
_NOTE = re.compile(r"\([^)]*\)?")
"""`(S:0-1)`, `(IDX:0-3)`, `(null)` in the place of a model."""
_COUNT = re.compile(r"(\d{1,18})([KMGTP]?)", re.ASCII)
_FACTOR = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_MEMORY = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)([KMGTP]?)B?", re.ASCII)
_LARGEST = 1 << 62
"""Larger counts are nonsense, and do not fit where records travel."""
NOTHING = frozenset(("", "(null)", "N/A", "none", "None"))


def number(text: str) -> int | None:
    """Return a count such as `4` or `2K`; None when it is none."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    match = _COUNT.fullmatch(text)
    return _sane(int(match[1]) * _FACTOR[match[2]]) if match else None


def _sane(value: int) -> int | None:
    return value if value < _LARGEST else None


def counts(text: str, names: tuple[str, ...] = ("gpu",)) -> dict[str, int]:
    """Return how many accelerators of which model a list names; the model is "" where none is given.

    Reads `gpu:a100:4(S:0-1)`, `gpu:2(IDX:0-1)`, `gpu:(null):0(IDX:N/A)`, `gpu:no_consume:4`, `gres:gpu:a100:2`,
    `gres/gpu:2`, `gres/gpu:a100=2`, `gpu`. Other resources (`mps`, `shard`, `gpu_mem`, `cpu`) are no accelerators.
    A list that gives both the total and the models (`gres/gpu=4,gres/gpu:a100=4`) counts once.
    """
    if text in NOTHING:
        return {}
    found: dict[str, int] = {}
    both = 0
    for entry in _ENTRY.findall(text):
        entry = entry.strip().removeprefix("gres/").removeprefix("gres:")
        head, equals, value = _NOTE.sub("", entry).partition("=")
        parts = [part for part in head.split(":") if part not in ("no_consume", "")]
        if not parts or parts[0] not in names:
            continue
        count: int | None = 1
        if equals:
            count = number(value)
        elif number(parts[-1]) is not None:
            count = number(parts.pop())
        model = ":".join(parts[1:])
        if equals and not model:
            both += count or 0
        else:
            found[model] = found.get(model, 0) + (count or 0)
    if both:
        found[""] = max(both - sum(found.values()), 0)
    return {model: count for model, count in found.items() if count}


def total(found: dict[str, int]) -> int:
    """Return how many there are of all models."""
    return sum(found.values())


def models(found: dict[str, int]) -> str | None:
    """Return the models, `a100` or `a100+h100`; None when none is named."""
    return "+".join(sorted(model for model, count in found.items() if model and count)) or None


def tres(text: str) -> dict[str, str]:
    """Return the parts of a TRES list (`cpu=8,mem=16000M,gres/gpu=4`); the first of a name counts."""
    parts: dict[str, str] = {}
    for entry in text.split(","):
        name, equals, value = entry.partition("=")
        if equals:
            parts.setdefault(name.strip(), value.strip())
    return parts


def memory_bytes(text: str, unit: str = "M") -> int | None:
    """Return the bytes of `16000M`, `4G`, `62.50G` or `800` (megabytes, as Slurm counts, or `unit`); None otherwise."""
    match = _MEMORY.fullmatch(text)
    return _sane(int(float(match[1]) * _FACTOR[match[2] or unit])) if match else None
