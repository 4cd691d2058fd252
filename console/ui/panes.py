"""Scrolling text: details under a table, pages of one thing, help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.strip import Strip

from console.render.cells import Cell, Line, cell_width
from console.ui.canvas import Canvas


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a page; `opens` is what enter opens there: (screen, id)."""

    line: Line
    opens: tuple[str, str | tuple[str, ...]] | None = None


class LinesPane(Canvas):
    """Lines that scroll, with a cursor when `active`."""

    class Opened(Message):
        """A line was clicked twice."""

    def __init__(self, id: str, surface: str = "background") -> None:
        super().__init__(id=id)
        self.surface = surface
        self.rows: Sequence[Row] = ()
        self.active = False
        self.index = 0
        self._top = 0

    @property
    def current(self) -> Row | None:
        """The line under the cursor."""
        return self.rows[self.index] if self.index < len(self.rows) else None

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self.rows)

    @property
    def page(self) -> int:
        """How many are on screen."""
        return self.size.height

    def sideways(self, by: int) -> None:
        """Lines are wrapped: there is nothing at the sides."""

    def show(self, rows: Sequence[Row]) -> None:
        """Show these lines; cursor and scroll stay where they are."""
        self.rows = rows
        self._settle()
        self.sync()

    def rewind(self) -> None:
        """Go to the first line, for another thing."""
        self.index = self._top = 0

    def move(self, by: int) -> None:
        """Move the cursor."""
        self.go(self.index + by)

    def go(self, index: int) -> None:
        """Move the cursor to a line."""
        self.index = index
        self._settle()
        self.sync()

    def resized(self) -> None:
        """Keep the cursor on screen."""
        self._settle()

    def _settle(self) -> None:
        high = max(self.size.height, 1)
        self.index = min(max(self.index, 0), max(self.count - 1, 0))
        self._top = min(self._top, self.index)
        self._top = max(self._top, self.index - high + 1)
        self._top = max(min(self._top, self.count - high), 0)

    def draw(self, y: int) -> Strip:
        """Return a line, with the cursor in front of it when it is there."""
        at = self._top + y
        if at >= len(self.rows):
            return self.blank()
        here = self.active and at == self.index
        sign = self.console_app.view.glyphs.cursor if here else " "
        return self.cells((Cell(sign + " ", "accent"), *self.rows[at].line), over="selected" if here else "")

    def on_click(self, event: Click) -> None:
        """Go to a line, open it at the second click."""
        if self.active:
            self.go(self._top + event.y)
            if event.chain == 2:
                self.post_message(self.Opened())

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Scroll."""
        event.stop()
        self._wheel(3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Scroll."""
        event.stop()
        self._wheel(-3)

    def _wheel(self, by: int) -> None:
        high = max(self.size.height, 1)
        self._top = max(min(self._top + by, self.count - high), 0)
        self.index = min(max(self.index, self._top), self._top + high - 1)
        self._settle()
        self.sync()


class Rule(Canvas):
    """A quiet line between two panes, with a title."""

    def __init__(self, id: str = "rule") -> None:
        super().__init__(id=id)
        self.title: tuple[Cell, ...] = ()

    def draw(self, y: int) -> Strip:
        """Return the line."""
        dash = "-" if self.console_app.view.glyphs.ascii else "─"
        lead = Cell(dash * 2 + " ", "dim") if self.title else Cell("")
        return self.cells((lead, *self.title, Cell(" " if self.title else ""), Cell(dash * self.size.width, "dim")))

    def cells(self, cells: Sequence[Cell], over: str = "") -> Strip:
        """Return the line, cut without an ellipsis: the rest of a rule says nothing."""
        strip = self.strip([run for cell in cells for run in cell.parts], self.size.width, over)
        return strip.crop(0, self.size.width)


class Caption(Canvas):
    """The title of a panel, and what to press."""

    surface = "panel"

    def __init__(self, title: str, keys: str) -> None:
        super().__init__(id="caption")
        self._title, self._keys_line = title, keys

    def draw(self, y: int) -> Strip:
        """Return the line."""
        dash = "-" if self.console_app.view.glyphs.ascii else "─"
        cells = (Cell(dash * 2 + " ", "dim"), Cell(self._title, "title"), Cell(f"  {self._keys_line} ", "muted"))
        used = sum(cell_width(cell.text) for cell in cells)
        return self.cells((*cells, Cell(dash * max(self.size.width - used, 0), "dim")))


class TooSmall(Canvas):
    """What stands here when there is no room for anything else."""

    def draw(self, y: int) -> Strip:
        """Return a line: what is wrong, and how large it must be."""
        app = self.console_app
        width, height = app.size
        lines = (f"{width}x{height} is too small", "make it 40x8 or larger", f"{app.key_for('quit')} leaves")
        return self.cells((Cell(lines[y] if y < len(lines) else "", "warn"),))
