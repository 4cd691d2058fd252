"""Slurm's own node lists: `n[1-3,07],gpu[1-2]x[0-1]`. Small and quick; the same list comes thousands of times."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

MAX_NAMES = 100_000
_WORD = re.compile(r"(?:[^,\[\]]|\[[^\[\]]*\])+")
_PARTS = re.compile(r"\[([^\[\]]*)\]|([^\[\]]+)")
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


def expand(text: str) -> tuple[str, ...] | None:
    """Return the names of a list, in its order; None when it cannot be read or names more than MAX_NAMES."""
    if text in ("", "(null)", "None", "N/A"):
        return ()
    names: list[str] = []
    position = 0
    for match in _WORD.finditer(text):
        if text[position : match.start()] not in (("",) if position == 0 else (",",)):
            return None
        position = match.end()
        words = _word(match[0], MAX_NAMES - len(names))
        if words is None:
            return None
        names += words
    return tuple(names) if position == len(text) else None


def _word(word: str, room: int) -> list[str] | None:
    if "[" not in word:
        return [word] if room > 0 else None
    choices: list[list[str]] = []
    for brackets, plain in _PARTS.findall(word):
        options = [plain] if plain else _ranges(brackets, room)
        if not options:
            return None
        choices.append(options)
    size = 1
    for options in choices:
        size *= len(options)
        if size > room:
            return None
    return ["".join(parts) for parts in itertools.product(*choices)]


def _ranges(text: str, room: int) -> list[str] | None:
    options: list[str] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            return None
        first, last = match[1], match[2] or match[1]
        count = int(last) - int(first) + 1
        if count < 1 or count + len(options) > room:
            return None
        options += (str(value).zfill(len(first)) for value in range(int(first), int(last) + 1))
    return options


_TAIL = re.compile(r"([^\[\],]*?)(\d{1,9})", re.ASCII)


def fold(names: Iterable[str]) -> str:
    """Return names as a list, sorted, each once: `gpu[01-03,07],login`. `expand` gives them back."""
    groups: dict[tuple[str, int], set[int]] = {}
    words: list[tuple[str, int, str]] = []
    for name in set(names):
        if (match := _TAIL.fullmatch(name)) is None:
            words.append((name, 0, name))
        else:
            groups.setdefault((match[1], len(match[2])), set()).add(int(match[2]))
    for (prefix, width), numbers in groups.items():
        spans = [f"{first:0{width}}" + (f"-{last:0{width}}" if last > first else "") for first, last in _spans(numbers)]
        text = spans[0] if len(numbers) == 1 else f"[{','.join(spans)}]"
        words.append((prefix, width, f"{prefix}{text}"))
    return ",".join(word for *_, word in sorted(words))


def _spans(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of consecutive numbers, sorted, as (first, last)."""
    first = last = None
    for number in sorted(numbers):
        if first is None or last is None:
            first = last = number
        elif number == last + 1:
            last = number
        else:
            yield first, last
            first = last = number
    if first is not None and last is not None:
        yield first, last
