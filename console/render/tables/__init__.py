"""The tables: what a row is, which columns it has, and in which order they stand.

How a screen uses one:

    table = TABLES["fleet"]
    view = View(store, now)                            # set view.now before each frame
    ids = table.rows(store)                            # all row ids, natural order; stable while the thing
    exists row = table.row(view, row_id)                      # None: gone. Cheap: made anew for each visible
    row placed = layout(table, width, chosen_columns)      # which columns, where, how wide; depends on no
    data runs = fit_runs(placed[i].column.cell(row), placed[i].width, placed[i].column.align)
    table.changed(store, changes)                      # ids to draw and sort again after a change set
    order([(id, column.sort(row)), …], descending)     # None last whichever way
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from console.render.tables.base import Column, Placed, RowId, Table, Value, layout, natural_key, order


class _Tables(Mapping[str, Table[Any]]):
    """The tables by name; the module of each is loaded when it is first asked for: the first paint needs one."""

    _names = ("fleet", "jobs", "network", "storage", "journal", "sources")

    def __getitem__(self, name: str) -> Table[Any]:
        if name not in self._names:
            raise KeyError(name)
        table: Table[Any] = import_module(f"console.render.tables.{name}").TABLE
        return table

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


TABLES: Mapping[str, Table[Any]] = _Tables()

__all__ = ["TABLES", "Column", "Placed", "RowId", "Table", "Value", "layout", "natural_key", "order"]
