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

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from console.render.tables import fleet, jobs, network, sources, storage
from console.render.tables.base import Column, Placed, RowId, Table, Value, layout, natural_key, order

TABLES: Mapping[str, Table[Any]] = MappingProxyType(
    {table.id: table for table in (fleet.TABLE, jobs.TABLE, network.TABLE, storage.TABLE, sources.TABLE)}
)

__all__ = ["TABLES", "Column", "Placed", "RowId", "Table", "Value", "layout", "natural_key", "order"]
