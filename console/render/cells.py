"""Cells: text with a semantic style, and the arithmetic of how wide text is on a terminal."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

from console.text import ELLIPSIS, is_mark

Align = Literal["left", "right", "middle"]
"""Where text stands. `middle`: at the left, and what is too long is cut in its middle: names differ at both ends."""
Run = tuple[str, str]
"""(text, style)"""


class Cell(NamedTuple):
    """What stands in one column of one row, before it is cut to the column's width."""

    text: str
    style: str = "text"
    """A semantic style of `console.render.themes.STYLES`, never a colour."""
    runs: tuple[Run, ...] = ()
    """For text in several styles: its parts, which joined are `text`. Empty: all of it is in `style`."""

    @property
    def parts(self) -> tuple[Run, ...]:
        """The text as (text, style) runs."""
        return self.runs or ((self.text, self.style),)


Line = tuple[Cell, ...]
"""Cells that follow one another on one line."""


def join(*parts: Cell, sep: str = "") -> Cell:
    """Return one cell of several, each keeping its style."""
    runs: list[Run] = []
    for index, part in enumerate(parts):
        if index and sep:
            runs.append((sep, "text"))
        runs.extend(run for run in part.parts if run[0])
    return Cell("".join(text for text, _ in runs), parts[0].style if parts else "text", tuple(runs))


@lru_cache(maxsize=4096)
def char_width(char: str) -> int:
    """Return the cells that one character takes: 0, 1 or 2. For cleaned text it is what Textual counts."""
    if is_mark(char) or unicodedata.category(char) in ("Cc", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def cell_width(text: str) -> int:
    """Return the cells that cleaned text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(char_width, text))


def _cut(text: str, width: int) -> tuple[str, int]:
    """Return as much of the text as fits, and the cells that it takes; a wide character is never halved."""
    if text.isascii():
        return text[:width], min(width, len(text))
    taken = 0
    for index, char in enumerate(text):
        size = char_width(char)
        if taken + size > width:
            return text[:index], taken
        taken += size
    return text, taken


def _cut_end(text: str, width: int) -> tuple[str, int]:
    """Return as much of the end of a text as fits, and the cells that it takes."""
    kept, size = _cut(text[::-1], width)
    return kept[::-1], size


def fit(text: str, width: int, align: Align = "left", ellipsis: str = ELLIPSIS) -> str:
    """Return the text in exactly `width` cells: padded, or cut with an ellipsis (one cell; `~` in ASCII
    mode)."""
    if width <= 0:
        return ""
    size = cell_width(text)
    if size > width:
        tail, taken = _cut_end(text, width // 2) if align == "middle" else ("", 0)
        text, size = _cut(text, width - 1 - taken)
        text, size = text + ellipsis + tail, size + 1 + taken
    pad = " " * (width - size)
    return pad + text if align == "right" else text + pad


def fit_runs(cell: Cell, width: int, align: Align = "left", ellipsis: str = ELLIPSIS) -> list[Run]:
    """Return a cell in exactly `width` cells as runs; the padding has the style `text`."""
    if not cell.runs:
        return [(fit(cell.text, width, align, ellipsis), cell.style)] if width > 0 else []
    if width <= 0:
        return []
    size = cell_width(cell.text)
    runs = list(cell.runs)
    if size > width:
        runs, size = _cut_runs(cell.runs, width, ellipsis), width
        size = sum(cell_width(text) for text, _ in runs)
    if size < width:
        pad = (" " * (width - size), "text")
        runs = [pad, *runs] if align == "right" else [*runs, pad]
    return runs


def _cut_runs(runs: tuple[Run, ...], width: int, ellipsis: str) -> list[Run]:
    kept: list[Run] = []
    room = width - 1
    for text, style in runs:
        part, size = _cut(text, room)
        room -= size
        if part != text:
            kept.append((part + ellipsis, style))
            break
        kept.append((part, style))
    return kept


def line_text(line: Line, width: int | None = None, ellipsis: str = ELLIPSIS) -> str:
    """Return the plain text of a line, cut and padded when a width is given."""
    text = "".join(cell.text for cell in line)
    return text if width is None else fit(text, width, "left", ellipsis)


def wrap(text: str, width: int) -> list[str]:
    """Return cleaned text in lines of at most `width` cells, broken at spaces where there are any."""
    width = max(width, 2)
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            joined = f"{line} {word}" if line else word
            if cell_width(joined) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            line = word
            while cell_width(line) > width:
                part, _ = _cut(line, width)
                lines.append(part)
                line = line[len(part) :]
        lines.append(line)
    return lines
