"""What rows are made of: the store, the clock and the glyphs, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from console.render.cells import Cell
from console.render.glyphs import UNICODE, Glyphs
from console.store import Store


@dataclass(slots=True)
class View:
    """What is looked at. The screen sets `now` before it draws; rows keep a reference to the view, not a
    copy."""

    store: Store
    now: float
    """Unix seconds."""
    glyphs: Glyphs = UNICODE
    simulated: bool = False
    failure: str | None = None
    """Why the session could not start, in one line: nothing will ever come; None: it did, or is about to."""

    @property
    def missing(self) -> str:
        """The mark of a value that is not known."""
        return self.glyphs.missing

    def number(self, text: str, style: str = "text") -> Cell:
        """Return a formatted number as a cell, muted when it is the missing mark."""
        return Cell(text, "muted" if text == self.glyphs.missing else style)

    def text(self, value: str | None, style: str = "text") -> Cell:
        """Return a text as a cell, the missing mark when there is none."""
        return Cell(value, style) if value else Cell(self.glyphs.missing, "muted")
