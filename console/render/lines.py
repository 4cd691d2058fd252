"""Building blocks of pages and panes: label and value, wrapped text, small grids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from console.render import units
from console.render.cells import Align, Cell, Line, cell_width, fit_runs, wrap
from console.render.view import View

LABEL = 14
"""Cells of the labels, one blank included."""


Target = tuple[str, str | tuple[str, ...]]
"""(`node`, key) or (`job`, (cluster, id))."""


@dataclass(frozen=True, slots=True)
class Section:
    """A title and the lines under it."""

    title: str
    lines: tuple[Line, ...]
    opens: tuple[Target | None, ...] = ()
    """What each line leads to, one for one; empty: nothing."""

    def target(self, index: int) -> Target | None:
        """Return what line `index` leads to."""
        return self.opens[index] if index < len(self.opens) else None


def pair(label: str, value: Cell | str | None, view: View, why: str | None = None) -> Line:
    """Return `label   value`; for a value that is not known, why."""
    name = Cell(f"{label:<{LABEL - 1}} ", "label")
    if value is None or value == "":
        return (name, Cell(f"{view.missing} {why}" if why else view.missing, "muted"))
    return (name, Cell(value) if isinstance(value, str) else value)


def paragraph(label: str, text: str | None, view: View, width: int, style: str = "text") -> list[Line]:
    """Return a long text whole, wrapped under its label; nothing when there is none."""
    if not text:
        return []
    first, *rest = wrap(text, max(width - LABEL, 10))
    lines: list[Line] = [pair(label, Cell(first, style), view)]
    lines += [(Cell(" " * LABEL), Cell(line, style)) for line in rest]
    return lines


def grid(rows: Iterable[Sequence[Cell]], widths: Sequence[int], aligns: Sequence[Align], view: View) -> list[Line]:
    """Return rows of cells as lines, every column at its width; a width of 0 leaves its column out."""
    lines: list[Line] = []
    for row in rows:
        line: list[Cell] = []
        for cell, width, align in zip(row, widths, aligns, strict=True):
            if width <= 0:
                continue
            if line:
                line.append(Cell(" "))
            line += [Cell(text, style) for text, style in fit_runs(cell, width, align, view.glyphs.ellipsis)]
        lines.append(tuple(line))
    return lines


def columns(lines: Sequence[Line], width: int, least: int = 44) -> list[Line]:
    """Return lines side by side where the width has room for two; short things only, nothing is cut."""
    half = (width - 2) // 2
    longest = max((sum(cell_width(cell.text) for cell in line) for line in lines), default=0)
    if half < least or longest > half or len(lines) < 4:
        return list(lines)
    split = -(-len(lines) // 2)
    joined: list[Line] = []
    for index in range(split):
        left = lines[index]
        if index + split >= len(lines):
            joined.append(left)
            continue
        gap = half + 2 - sum(cell_width(cell.text) for cell in left)
        joined.append((*left, Cell(" " * gap), *lines[index + split]))
    return joined


def reasons(missing: Mapping[str, str], view: View, width: int) -> list[Line]:
    """Return why values are missing, one line a value."""
    lines: list[Line] = []
    for field, why in missing.items():
        lines += paragraph(field, f"{view.missing} {why}", view, width, "muted")
    return lines


def age_line(label: str, at: float | None, view: View) -> Line:
    """Return when something was seen, and how long ago that is."""
    if at is None:
        return pair(label, None, view, "never")
    text = f"{units.clock(at, view.now)} ({units.age(view.now - at)} ago)"
    return pair(label, text, view)
