"""Lines of an output that grows."""

from __future__ import annotations

from textual.strip import Strip

from console.render.cells import Cell
from console.render.log import LogBuffer
from console.ui.panes import LinesPane

SHIFT = 8
"""Cells that one step to the side moves."""


class LogPane(LinesPane):
    """The lines of a buffer with a cursor; long ones go on at the side."""

    def __init__(self) -> None:
        super().__init__("lines")
        self.active = True
        self.buffer = LogBuffer()
        self.words = ""
        """What is searched for; lines that have it stand out."""
        self._shift = 0

    @property
    def count(self) -> int:
        """Lines, the unfinished one included."""
        return len(self.buffer.lines) + bool(self.buffer.unfinished)

    @property
    def at_end(self) -> bool:
        """Whether the cursor is on the last line: then it goes along."""
        return self.index >= self.count - 1

    def line(self, at: int) -> str:
        """Return a line whole."""
        lines = self.buffer.lines
        return lines[at] if at < len(lines) else self.buffer.unfinished

    def sideways(self, by: int) -> None:
        """Scroll sideways."""
        self._shift = max(self._shift + by * SHIFT, 0)
        self.sync()

    def grown(self, above: int) -> None:
        """Keep the cursor on its line: so many lines came (or, negative, went) above it."""
        self.index += above
        self._top = max(self._top + above, 0)
        self._settle()
        self.sync()

    def draw(self, y: int) -> Strip:
        """Return a line, with the cursor in front of it when it is there."""
        at = self._top + y
        if at >= self.count:
            return self.blank()
        here, text = at == self.index, self.line(at)
        hit = self.words != "" and self.words.lower() in text.lower()
        sign = self.console_app.view.glyphs.cursor if here else " "
        cells = (Cell(sign + " ", "accent"), Cell(text[self._shift :], "accent" if hit else "text"))
        return self.cells(cells, over="selected" if here else "")
