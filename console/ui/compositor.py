"""Sends the cells that changed, and no more.

Textual sends a line from its beginning to the last cell that changed; in a table whose ages count seconds that is
almost the whole screen each second. Made for the compositor of the Textual that pyproject.toml pins.
"""

from __future__ import annotations

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, Compositor


class NarrowUpdate(ChopsUpdate):
    """An update that begins each stretch of cells where it changed."""

    def render_segments(self, console: Console) -> str:
        """Return the sequences for the terminal."""
        parts: list[str] = []
        for y, begin, end in self.spans:
            for chop_end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                left, right = max(x, begin), min(chop_end, end)
                if strip is not None and left < right:
                    parts.append(Control.move_to(left, y).segment.text)
                    parts.append(strip.crop(left - x, right - x).render(console))
        return "".join(parts)


class NarrowCompositor(Compositor):
    """A compositor of narrow updates."""

    def render_partial_update(self) -> ChopsUpdate | None:
        """Return what changed, None when nothing did."""
        update = super().render_partial_update()
        return None if update is None else NarrowUpdate(update.chops, update.spans, update.chop_ends)
