"""Which rank wrote a line, and which ranks somebody wants to read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from console.errors import UsageError
from console.model import LogStream

SAMPLE = 16
"""Lines after which it is clear whether they say their rank."""
_SHARE = 0.8
HEAD = 64
"""Characters at the head of a line in which its rank may stand."""
FORMS = (
    re.compile(r" {0,8}(\d{1,6}):(?: |$)", re.ASCII),
    re.compile(r"\[[A-Za-z_][A-Za-z_.\-]{0,32}(\d{1,6})\]: ?", re.ASCII),
    re.compile(r"\[\d{1,6},(\d{1,6})\]<std(?:out|err|diag)>: ?", re.ASCII),
)
"""`srun -l`; torchrun (`[default3]:`) and PyTorch (`[rank3]:`); Open MPI's `--tag-output`."""
MERGED = FORMS[0]
"""How `console.logs.merged` writes the number of a stream."""
STYLES = tuple(f"sgr:{code}" for code in (36, 33, 32, 35, 34, 96, 93, 92, 95, 94))
"""What tells neighbouring ranks apart, beside their numbers."""


def form(lines: Sequence[str]) -> re.Pattern[str] | None:
    """Return how these lines say their rank; None when most of them do not, or when all say the same one."""
    said = [line for line in lines if line]
    for pattern in FORMS:
        found = [match[1] for line in said if (match := pattern.match(line[:HEAD]))]
        if len(set(found)) > 1 and len(found) >= _SHARE * len(said):
            return pattern
    return None


def split(pattern: re.Pattern[str], line: str) -> tuple[int | None, int]:
    """Return (rank, characters that say it); (None, 0) for a line that does not."""
    match = pattern.match(line[:HEAD])
    return (int(match[1]), match.end()) if match else (None, 0)


def gutter(rank: int | None, width: int, glyph: str = "│") -> tuple[str, str]:
    """Return (text, style) of what stands before a line: `  3│ `."""
    text = "" if rank is None else str(rank)
    return f"{text:>{width}}{glyph} ", "dim" if rank is None else STYLES[rank % len(STYLES)]


def numbered(streams: Sequence[LogStream], *, every: bool = False) -> list[tuple[int, LogStream]]:
    """Return the streams that are read side by side, with the numbers of their gutter.

    That is their rank where those differ; else their place in the list, from 0. Beside ranks, what has none is left
    out unless `every` one is wanted.
    """
    ranked = sorted(((stream.rank, stream) for stream in streams if stream.rank is not None), key=lambda pair: pair[0])
    if (
        len(ranked) > 1
        and (not every or len(ranked) == len(streams))
        and len({rank for rank, _ in ranked}) == len(ranked)
    ):
        return ranked
    return list(enumerate(streams))


def ranges(text: str) -> tuple[range, ...]:
    """Return the ranks of `0-3,7`; none for `all`. Raises UsageError."""
    if text.strip() == "all":
        return ()
    found = []
    for word in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d{1,7})(?:-(\d{1,7}))?", word, re.ASCII)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"{word!r} is no rank", "ranks", "all, 3, or 0-3,7")
        found.append(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(found)


def wanted(rank: int | None, chosen: Iterable[range]) -> bool:
    """Whether a rank is one of those chosen."""
    return rank is not None and any(rank in part for part in chosen)


def said(chosen: Iterable[range]) -> str:
    """Return ranges as they are typed."""
    return ",".join(str(part.start) if len(part) == 1 else f"{part.start}-{part.stop - 1}" for part in chosen)


def folded(numbers: Sequence[int]) -> str:
    """Return sorted numbers as `0-3,7`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
