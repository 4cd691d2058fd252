"""Spans of time as people write them: `90s`, `2h30m`, `1d12h`. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_SPAN = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,8})m)?(?:(\d{1,10}(?:\.\d{1,6})?)s)?", re.ASCII)
_UNITS_S = (86_400.0, 3_600.0, 60.0, 1.0)


class Span(NamedTuple):
    """A span that was read."""

    seconds: float
    step_s: float
    """The smallest unit that was written: 60 for `2h30m`."""


def read(text: str) -> Span | None:
    """Return a span; None for what is none, a plain number included: its unit is not known."""
    match = _SPAN.fullmatch(text) if text else None
    if match is None:
        return None
    parts = [(float(part), unit) for part, unit in zip(match.groups(), _UNITS_S, strict=True) if part]
    return Span(sum(number * unit for number, unit in parts), parts[-1][1])
