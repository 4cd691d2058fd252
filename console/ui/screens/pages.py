"""Pages of sections: what is known of one thing, drawn anew as it changes."""

from __future__ import annotations

from collections.abc import Sequence

from console.model import Attention
from console.render.cells import Cell
from console.render.lines import Section
from console.render.node_page import node_sections
from console.render.tables import RowId
from console.ui.panes import Row
from console.ui.screens.texts import TextScreen


class PageScreen(TextScreen):
    """Sections of lines about one thing, drawn anew as it changes."""

    def __init__(self, row_id: RowId) -> None:
        super().__init__()
        self.row_id = row_id

    @property
    def heading(self) -> str:
        """What the page is about."""
        return self.row_id if isinstance(self.row_id, str) else "/".join(self.row_id)

    def sections(self, width: int) -> Sequence[Section]:
        """Return what is known now."""
        raise NotImplementedError

    def rows(self, width: int) -> Sequence[Row]:
        """Return the sections as lines, each under its title."""
        glyphs = self.console_app.view.glyphs
        dash = "-" if glyphs.ascii else "─"
        rows: list[Row] = []
        for section in self.sections(width):
            if rows:
                rows.append(Row(()))
            tail = dash * max(width - len(section.title) - 1, 0)
            rows.append(Row((Cell(section.title, "title"), Cell(f" {tail}", "dim"))))
            opens = section.opens or (None,) * len(section.lines)
            rows += [Row(line, target) for line, target in zip(section.lines, opens, strict=True)]
        return rows

    def on_mount(self) -> None:
        """Say what it is about."""
        self.header.place = (Cell(f"{self.kind} ", "muted"), Cell(self.heading, "title"))

    def target(self) -> tuple[str, RowId] | None:
        """Return what the line under the cursor opens."""
        row = self.lines.current
        return None if row is None else row.opens


class NodeScreen(PageScreen):
    """Everything about one node."""

    kind = "node"

    def sections(self, width: int) -> Sequence[Section]:
        """Return what is known of the node."""
        return node_sections(self.console_app.view, str(self.row_id), width)

    def meant_nodes(self) -> Sequence[str]:
        """Return the node."""
        return (str(self.row_id),)

    def attention(self) -> Attention:
        """The node is looked at."""
        return Attention(visible=(str(self.row_id),), selected=str(self.row_id))
