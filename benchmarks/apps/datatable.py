"""Textual's own table with as many rows, of which one percent changes every second: `datatable.py ROWS`."""

from __future__ import annotations

import random
import sys

from textual.app import App, ComposeResult
from textual.widgets import DataTable

COLUMNS = ("NAME", "STATE", "GPU", "UTIL", "MEM", "POWER", "USER", "REASON")


class Table(App[None]):
    """A table of so many rows."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows
        self._random = random.Random(7)

    def compose(self) -> ComposeResult:
        """Return the table."""
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        """Fill it, and begin to change it."""
        table = self.query_one(DataTable)
        for name in COLUMNS:
            table.add_column(name, width=14, key=name)
        for row in range(self._rows):
            table.add_row(f"gpu{row:06d}", *[str(self._random.randrange(1000)) for _ in COLUMNS[1:]], key=str(row))
        self.set_interval(0.5, self._change)

    def _change(self) -> None:
        table = self.query_one(DataTable)
        for _ in range(self._rows // 200):
            row = str(self._random.randrange(self._rows))
            table.update_cell(row, "UTIL", str(self._random.randrange(1000)))


if __name__ == "__main__":
    Table(int(sys.argv[1])).run()
