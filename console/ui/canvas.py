"""Widgets that draw themselves line by line and repaint only the cells that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from console.render.cells import Cell, Run, cell_width, char_width, fit

if TYPE_CHECKING:
    from textual.selection import Selection

    from console.ui.app import QuarterdeckApp


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
        self._blank: Strip | None = None

    @property
    def console_app(self) -> QuarterdeckApp:
        """The app, with its own type."""
        return cast("QuarterdeckApp", self.app)

    def draw(self, y: int) -> Strip:
        """Return visible line `y`, counted from 0."""
        raise NotImplementedError

    def strip(self, runs: Sequence[Run], width: int | None = None, over: str = "") -> Strip:
        """Return runs as a strip of exactly `width` cells (default: the widget's)."""
        app = self.console_app
        styles = app.styles_of_theme.on(over, self.surface)
        if app.view.glyphs.ascii:
            runs = [(ascii_only(text), style) for text, style in runs]
        wanted = self.size.width if width is None else width
        segments: list[Segment] = []
        parts: list[str] = []
        current = ""
        for text, style in runs:
            if not text:
                continue
            # What follows in the same style is one segment: every segment costs the painter, and bytes.
            if style != current and parts:
                segments.append(Segment("".join(parts), styles[current]))
                parts = []
            current = style
            parts.append(text)
        if parts:
            segments.append(Segment("".join(parts), styles[current]))
        strip = Strip(segments, sum([cell_width(segment.text) for segment in segments]))
        return strip.adjust_cell_length(wanted, styles["text"])

    def blank(self) -> Strip:
        """Return an empty line, the same one as long as size and theme are: what is the same is not compared."""
        if self._blank is None:
            self._blank = self.strip([])
        return self._blank

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
        for y in range(self.size.height):
            self.sync_line(y)

    def sync_line(self, y: int) -> None:
        """Draw one line and repaint its cells that changed."""
        old = self._lines.get(y)
        if old is None:
            # Never painted: Textual will ask for it.
            return
        new = self.draw(y)
        if new is old:
            return
        self._lines[y] = new
        span = changed_span(old, new)
        if span is not None:
            self.refresh(Region(span[0], y, span[1] - span[0], 1))

    def redraw(self) -> None:
        """Draw everything anew: another size, another theme."""
        self._lines.clear()
        self._blank = None
        self.refresh()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.resized()
        self.redraw()

    def resized(self) -> None:
        """Adapt to the new size before everything is drawn anew."""

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the text that the mouse selected, as it stands on screen."""
        text = "\n".join(self.render_line(y).text.rstrip() for y in range(self.size.height))
        return selection.extract(text), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Leave the picture as it is: a selection is copied, not painted."""


_PLAIN: Mapping[str, str] = MappingProxyType({"…": "~", "–": "-", "✗": "X", "·": ".", "°": " ", "µ": "u", "→": ">"})


def ascii_only(text: str) -> str:
    """Return text for a terminal that has no more than ASCII, as wide as it was: what has no likeness becomes `?`."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else _PLAIN.get(char, "?" * char_width(char)) for char in text)


def changed_span(old: Strip, new: Strip) -> tuple[int, int] | None:
    """Return the cells from the first to past the last that differ, None when all are equal."""
    one, other = list(old), list(new)
    shared = min(len(one), len(other))
    start = left = 0
    while left < shared and one[left] == other[left]:
        start += cell_width(one[left].text)
        left += 1
    if left == len(one) == len(other):
        return None
    end = width = max(old.cell_length, new.cell_length)
    right = 1
    while right <= shared - left and one[-right] == other[-right]:
        end -= cell_width(one[-right].text)
        right += 1
    if left < shared:
        start += _alike(one[left], other[left])
    if right <= shared - left and old.cell_length == new.cell_length:
        end -= _alike(one[-right], other[-right], backwards=True)
    start = min(start, width - 1)
    return start, max(end, start + 1)


def _alike(one: Segment, other: Segment, backwards: bool = False) -> int:
    """Return the cells at the beginning (or end) of two segments in which they are the same."""
    if one.style != other.style or not (one.text.isascii() and other.text.isascii()):
        return 0
    step = -1 if backwards else 1
    pairs = zip(one.text[::step], other.text[::step], strict=False)
    return next(
        (at for at, (first, second) in enumerate(pairs) if first != second), min(len(one.text), len(other.text))
    )
