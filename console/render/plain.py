"""Tables and the whole state as plain text, for standard output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from console.model import SourceState
from console.render.cells import fit, line_text
from console.render.header import SIMULATED, groups, title_line
from console.render.tables import TABLES
from console.render.tables.base import RowId, Table, layout, order
from console.render.view import View
from console.store import Store

R = TypeVar("R")

WIDE = 200
"""Width where standard output is no terminal: everything that matters, and still one line a row."""


NO_OWNERS = "no job here says whose it is: Kubernetes knows no users; set user_label in its [[cluster]]"


def nobody_owns(store: Store) -> bool:
    """Whether there are jobs, and none of them names its user."""
    return bool(store.jobs) and all(job.user is None for job in store.jobs.values())


def sorted_rows(table: Table[R], view: View, column: str | None = None, descending: bool | None = None) -> list[RowId]:
    """Return all row ids in the table's own order, or by a column (ascending unless said)."""
    by, down = table.default_sort if column is None else (column, False)
    chosen = table.column(by)
    keyed = ((row_id, table.row(view, row_id)) for row_id in table.rows(view.store))
    keys = [(row_id, chosen.sort(row)) for row_id, row in keyed if row is not None]
    return order(keys, down if descending is None else descending)


def text_lines(
    table: Table[R],
    rows: Iterable[R],
    width: int,
    *,
    chosen: Sequence[str] | None = None,
    ellipsis: str = "…",
) -> Iterator[str]:
    """Yield column titles and one line a row, each at most `width` cells, without blanks at the end."""
    placed = layout(table, width, chosen)
    yield " ".join(fit(place.column.title, place.width, place.column.align, ellipsis) for place in placed).rstrip()
    for row in rows:
        cells = (fit(place.column.cell(row).text, place.width, place.column.align, ellipsis) for place in placed)
        yield " ".join(cells).rstrip()


def marked(view: View, text: str) -> str:
    """Return text that leaves the console: of a cluster that does not exist, its first line says so."""
    return f"{SIMULATED}\n{text}" if view.simulated else text


def table_text(view: View, name: str, width: int, ids: Iterable[RowId] | None = None) -> str:
    """Return one of TABLES as text, in its own order or with these rows; what it says when it is empty."""
    table = TABLES[name]
    chosen = sorted_rows(table, view) if ids is None else list(ids)
    rows = [row for row in (table.row(view, row_id) for row_id in chosen) if row is not None]
    if not rows:
        return f"{table.empty}\n"
    return "".join(f"{line}\n" for line in text_lines(table, rows, width, ellipsis=view.glyphs.ellipsis))


def snapshot_text(view: View, width: int = WIDE) -> str:
    """Return the whole state: totals, nodes, jobs if there are any, and every source that is not live."""
    parts = [line_text(title_line(view, width)).rstrip() + "\n"]
    totals = [line_text(group) for group in groups(view, view.store.totals)]
    if totals:
        parts.append("   ".join(totals) + "\n")
    parts.append("\n" + table_text(view, "fleet", width))
    if view.store.jobs:
        parts.append("\n" + table_text(view, "jobs", width))
    sources = TABLES["sources"]
    failing = [
        row_id
        for row_id in sorted_rows(sources, view)
        if view.store.sources[str(row_id)].state not in (SourceState.OK, SourceState.UNSUPPORTED)
    ]
    if failing:
        parts.append("\n" + table_text(view, "sources", width, failing))
    return "".join(parts)
