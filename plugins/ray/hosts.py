"""Host names in few words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"(\D|.*\D)(\d{1,9})", re.ASCII)


def fold(names: Iterable[str]) -> str:
    """Return `gpu[01-03,07],head`: names that end in a number are gathered, all others stand as they are."""
    matches = {name: _NUMBERED.fullmatch(name) for name in sorted(set(names))}
    padded = {(match[1], len(match[2])) for match in matches.values() if match and match[2].startswith("0")}
    groups: dict[tuple[str, int], list[int]] = {}
    odd = [name for name, match in matches.items() if match is None]
    for match in filter(None, matches.values()):
        width = len(match[2]) if (match[1], len(match[2])) in padded else 0
        groups.setdefault((match[1], width), []).append(int(match[2]))
    folded = []
    for (prefix, width), numbers in groups.items():
        spans = ",".join(_span(first, last, width) for first, last in _runs(sorted(numbers)))
        folded.append(f"{prefix}[{spans}]" if len(numbers) > 1 else f"{prefix}{numbers[0]:0{width}d}")
    return ",".join(sorted(folded + odd))


def _span(first: int, last: int, width: int) -> str:
    return f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}"


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Return the first and last number of each run without a gap."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
