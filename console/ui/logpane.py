"""Lines of an output that grows."""

from __future__ import annotations

from textual.strip import Strip

from console.logs import ansi, ranks
from console.render.cells import Cell, Run
from console.render.log import LogBuffer
from console.ui.panes import LinesPane

SHIFT = 8
"""Cells that one step to the side moves."""


class LogPane(LinesPane):
    """The lines of a buffer with a cursor; long ones go on at the side."""

    def __init__(self, id: str = "lines") -> None:
        super().__init__(id)
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

    def line_with_rank(self, at: int) -> str:
        """Return a line whole, with the rank that wrote it before it where lines say that."""
        shown = self.buffer.shown(at)
        return shown.text if shown.rank is None else f"{shown.rank}: {shown.text}"

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
        """Return a line with its colours, the rank that wrote it, and the cursor in front when it is there."""
        at = self._top + y
        if at >= self.count:
            return self.blank()
        here, shown, glyphs = self.active and at == self.index, self.buffer.shown(at), self.console_app.view.glyphs
        cells = [Cell(glyphs.cursor + " ", "accent") if here else Cell("  ")]
        if self.buffer.form is not None:
            bar = "|" if glyphs.ascii else "│"
            cells.append(Cell(*ranks.gutter(shown.rank, self.buffer.rank_width, bar)))
        end = self._shift + self.size.width + 1
        runs: list[Run]
        if self.words and self.words.lower() in shown.text.lower():
            runs = _found(shown.text[self._shift : end], self.words)
        else:
            runs = list(ansi.cut(shown.text, shown.spans, "text", self._shift, end))
        cells.append(Cell("", "text", tuple(runs) or (("", "text"),)))
        return self.cells(cells, over="selected" if here else "")


def _found(text: str, words: str) -> list[Run]:
    """Return a line in which words were found, these told apart."""
    runs: list[Run] = []
    at, lower = 0, text.lower()
    # Letters whose lower case is longer would shift what follows: then only the line stands out.
    while len(lower) == len(text) and (found := lower.find(words.lower(), at)) >= 0:
        runs += [(text[at:found], "accent"), (text[found : found + len(words)], "match")]
        at = found + len(words)
    return [*runs, (text[at:], "accent")]
