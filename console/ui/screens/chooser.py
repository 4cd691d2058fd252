"""Choosing the columns of a table and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen

from console.render.cells import Cell, fit
from console.render.tables import Table
from console.ui.keymap import key_of
from console.ui.panes import Caption, LinesPane, Row, Rule


class ColumnChooser(ModalScreen[tuple[str, ...] | None]):
    """Gives the ids of the chosen columns; empty: by the room; None when it is left."""

    AUTO_FOCUS = ""

    def __init__(self, table: Table[Any], chosen: Sequence[str] | None) -> None:
        super().__init__(classes="panel")
        self._table = table
        ids = [column.id for column in table.columns]
        self._on = set(chosen or ids)
        self._order = [*chosen, *(name for name in ids if name not in chosen)] if chosen else ids

    def compose(self) -> ComposeResult:
        """Stack title and list."""
        self._lines = LinesPane("choices", "surface")
        self._lines.active = True
        with Vertical(id="box"):
            yield Caption(f"columns of {self._table.title}", "space shows, J K move, r resets, enter takes, esc leaves")
            yield self._lines
            yield Rule()

    def on_mount(self) -> None:
        """Show the columns."""
        self._show()

    def _show(self) -> None:
        rows = []
        for name in self._order:
            column = self._table.column(name)
            mark = "[x] " if name in self._on else "[ ] "
            rows.append(
                Row(
                    (
                        Cell(mark, "key" if name in self._on else "muted"),
                        Cell(fit(name, 14), "name" if name in self._on else "muted"),
                        Cell(column.help, "muted"),
                    )
                )
            )
        self._lines.show(rows)

    def on_key(self, event: Key) -> None:
        """Choose."""
        event.stop()
        event.prevent_default()
        lines = self._lines
        match key_of(event.key, event.character):
            case "j" | "down":
                lines.move(1)
            case "k" | "up":
                lines.move(-1)
            case "space":
                self._on ^= {self._order[lines.index]}
                self._show()
            case "J":
                self._carry(1)
            case "K":
                self._carry(-1)
            case "r":
                self.dismiss(())
            case "enter":
                chosen = tuple(name for name in self._order if name in self._on)
                natural = tuple(column.id for column in self._table.columns)
                self.dismiss(() if chosen == natural else chosen or None)
            case "escape" | "q":
                self.dismiss(None)

    def _carry(self, by: int) -> None:
        at = self._lines.index
        to = at + by
        if 0 <= to < len(self._order):
            self._order[at], self._order[to] = self._order[to], self._order[at]
            self._lines.move(by)
            self._show()
