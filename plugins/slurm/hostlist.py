"""Slurm's own node lists: `n[1-3,07],gpu[1-2]x[0-1]`. Small and quick; the same list comes thousands of times."""

from __future__ import annotations

import itertools
import re

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
