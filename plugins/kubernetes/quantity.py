"""Amounts as Kubernetes writes them: `100m`, `16`, `200Gi`, `2e3`. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_FORM = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:([eE][+-]?\d{1,3})|(Ki|[numkMGTPE]i?))?", re.ASCII)
_FACTORS = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
    "Ei": 2.0**60,
}


@lru_cache(maxsize=4096)
def amount(text: str | int | float | None) -> float | None:
    """Return a quantity in its base unit (cores, bytes, pieces); None when it cannot be read."""
    if isinstance(text, int | float):
        return float(text)
    found = _FORM.fullmatch(text.strip()) if text else None
    if found is None:
        return None
    number = float(found[1] + (found[2] or ""))
    suffix = found[3]
    if suffix is None:
        return number
    factor = _FACTORS.get(suffix)
    return None if factor is None else number * factor


def whole(text: str | int | float | None) -> int:
    """Return a quantity as a whole number, 0 for none: what is not asked for is not asked for."""
    value = amount(text)
    return 0 if value is None or not abs(value) < 1e19 else round(value)
