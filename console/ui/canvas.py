"""Widgets that draw themselves line by line and repaint only the cells that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from console.render.cells import Cell, Run, cell_width, fit

if TYPE_CHECKING:
    from textual.selection import Selection

    from console.ui.app import QuarterdeckApp

_NEAR = 8
"""Going to another place of a line costs about as many bytes."""


class Canvas(Widget, can_focus=False):
    """A widget of lines on the Line API.

    A subclass gives `draw(y)`; `sync()` draws every visible line anew, compares it with what stands there, and asks
    for a repaint of the cells that differ: an unchanged screen costs not one byte. It scrolls by itself (a first
    line, no scroll bars), so that rows that come and go never lead to a new layout of the screen.
    """

    surface = "background"
    """The colour of the palette that it stands on."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: dict[int, Strip] = {}

    @property
    def console_app(self) -> QuarterdeckApp:
        """The app, with its own type."""
        return cast("QuarterdeckApp", self.app)

    def draw(self, y: int) -> Strip:
        """Return visible line `y`, counted from 0."""
        raise NotImplementedError

    def strip(self, runs: Sequence[Run], width: int | None = None, over: str = "") -> Strip:
        """Return runs as a strip of exactly `width` cells (default: the widget's)."""
        styles = self.console_app.styles_of_theme
        wanted = self.size.width if width is None else width
        segments = [Segment(text, styles.get(style, over, self.surface)) for text, style in runs if text]
        strip = Strip(segments, sum(cell_width(text) for text, _ in runs))
        return strip.adjust_cell_length(wanted, styles.get("text", over, self.surface))

    def cells(self, cells: Sequence[Cell], over: str = "") -> Strip:
        """Return cells that follow one another as a strip of the widget's width, cut with an ellipsis."""
        width, glyphs = self.size.width, self.console_app.view.glyphs
        runs: list[Run] = []
        room = width
        for cell in cells:
            for text, style in cell.parts:
                size = cell_width(text)
                if size > room:
                    runs.append((fit(text, room, "left", glyphs.ellipsis), style))
                    return self.strip(runs, over=over)
                runs.append((text, style))
                room -= size
        return self.strip(runs, over=over)

    def render_line(self, y: int) -> Strip:
        """Return what stands on a line; called by Textual for the lines that it paints."""
        strip = self._lines.get(y)
        if strip is None:
            strip = self._lines[y] = self.draw(y)
        return strip

    def sync(self) -> None:
        """Draw all lines and repaint the cells that changed."""
        if not self.is_attached or not self.size:
            return
        lines = self._lines
        for y in range(self.size.height):
            old = lines.get(y)
            if old is None:
                # Never painted: Textual will ask for it.
                continue
            new = self.draw(y)
            if new is old:
                continue
            lines[y] = new
            for start, end in changed_spans(old, new):
                self.refresh(Region(start, y, end - start, 1))

    def redraw(self) -> None:
        """Draw everything anew: another size, another theme."""
        self._lines.clear()
        self.refresh()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.redraw()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the text that the mouse selected, as it stands on screen."""
        text = "\n".join(self.render_line(y).text.rstrip() for y in range(self.size.height))
        return selection.extract(text), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Leave the picture as it is: a selection is copied, not painted."""


def changed_spans(old: Strip, new: Strip) -> list[tuple[int, int]]:
    """Return where two strips differ, as (first cell, past the last) with at least `_NEAR` equal cells between."""
    spans: list[tuple[int, int]] = []
    before = _by_place(old)
    x = 0
    for segment in new:
        end = x + segment.cell_length
        if end > x and before.get(x) != segment:
            if spans and x - spans[-1][1] < _NEAR:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((x, end))
        x = end
    if x < old.cell_length:
        spans.append((x, old.cell_length))
    return spans


def _by_place(strip: Strip) -> dict[int, Segment]:
    """Return the segments of a strip by the cell at which they begin."""
    places: dict[int, Segment] = {}
    x = 0
    for segment in strip:
        if segment.cell_length:
            places[x] = segment
            x += segment.cell_length
    return places
