"""What the cursor and the marks of a table are about: nodes, jobs, attempts."""

from __future__ import annotations

from collections.abc import Iterable

from console.model import Attempt, Attention
from console.render.tables import RowId
from console.store import Store
from console.text import clean
from console.ui.table import RecordTable

MOST_NODES_OF_A_JOB = 256
"""Of the job under the cursor so many nodes are looked at."""


class TableMeaning:
    """Reads the rows of one table; all of it as they are now."""

    def __init__(self, kind: str, table: RecordTable, store: Store) -> None:
        self._kind = kind
        self._table = table
        self._store = store

    def node(self, row_id: RowId) -> str | None:
        """Return the key of the node that a row belongs to."""
        match self._kind:
            case "fleet":
                return str(row_id)
            case "network" | "storage":
                return row_id[0]
            case "sources":
                status = self._store.sources.get(str(row_id))
                if status is not None and status.node is not None:
                    return self._store.key(status.cluster, status.node)
        return None

    def nodes(self) -> list[str]:
        """Return the keys of the nodes of the chosen rows."""
        found = (self.node(row_id) for row_id in self._table.chosen_ids())
        return list(dict.fromkeys(key for key in found if key is not None))

    def jobs(self) -> list[tuple[str, str]]:
        """Return the chosen jobs, in the table of jobs."""
        return [(row_id[0], row_id[1]) for row_id in self._table.chosen_ids()] if self._kind == "jobs" else []

    def job(self, row_id: RowId | None) -> tuple[str, str] | None:
        """Return the job of a row, in the table of jobs."""
        return (row_id[0], row_id[1]) if self._kind == "jobs" and row_id is not None else None

    def attempt(self, row_id: RowId | None) -> Attempt | None:
        """Return the attempt of a row, in the journal."""
        return self._store.attempts.get(str(row_id)) if self._kind == "journal" else None

    def page(self, row_id: RowId | None) -> tuple[str, RowId] | None:
        """Return the page that a row opens."""
        if row_id is None:
            return None
        if self._kind == "jobs":
            return "job", row_id
        if self._kind == "journal":
            return "attempt", row_id
        node = self.node(row_id)
        return None if node is None else ("node", node)

    def name(self, row_id: RowId) -> str:
        """Return what a row is called, for the clipboard."""
        if isinstance(row_id, str):
            return row_id
        return row_id[1] if self._kind == "jobs" else " ".join((row_id[0], row_id[-1]))

    def clip(self, cursor: RowId | None) -> str:
        """Return the names of the marked rows, else of the one under the cursor, one a line."""
        ids = self._table.chosen_ids() if self._table.marks else [cursor]
        return "\n".join(name for row_id in ids if row_id is not None and (name := clean(self.name(row_id))))

    def attention(self, cursor: RowId | None, rows: Iterable[RowId]) -> Attention:
        """Return the nodes of the rows on screen; of a job, those it runs on."""
        if self._kind == "journal":
            return Attention()
        if self._kind == "sources":
            return Attention(selected=None if cursor is None else self.node(cursor))
        if self._kind == "jobs":
            job = None if cursor is None else self._store.jobs.get((cursor[0], cursor[1]))
            names = () if job is None else job.node_names[:MOST_NODES_OF_A_JOB]
            return Attention(visible=tuple(self._store.key(job.cluster, name) for name in names) if job else ())
        shown = dict.fromkeys(key for row in rows if (key := self.node(row)) is not None)
        marked = {key for row in self._table.marks if (key := self.node(row)) is not None}
        selected = None if cursor is None else self.node(cursor)
        return Attention(visible=tuple(shown), marked=tuple(sorted(marked)), selected=selected)
