"""The rows of a table on screen: filtered and sorted, kept so by what changed and never by sorting everything.

A `RowModel` shows one `Order`. A new filter or sort builds another Order beside it, a few milliseconds at a time, and
shows it when it is complete; changes of the store go into both.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from console.render.tables import Column, RowId, Table
from console.render.view import View
from console.store.changes import Changes
from console.ui.sortedids import Entry, SortedIds

Predicate = Callable[[Any], bool]

_PATIENCE = 64
"""Rows between two looks at the clock."""
_OLDEST_KEYS_S = 15.0
"""Keys that depend on the time of day are computed again after this."""


class Order:
    """The ids of the rows that a filter lets through, sorted by one column; None last whichever way.

    Keys are computed at one moment (`view.now` of the Order's own view), so that the order is consistent in itself.
    """

    def __init__(
        self,
        table: Table[Any],
        view: View,
        column: Column[Any],
        descending: bool,
        predicate: Predicate | None,
        natural: dict[RowId, int],
    ) -> None:
        self.column = column
        self.descending = descending
        self.predicate = predicate
        self.pending: dict[RowId, None] = {}
        """Ids still to be looked at, the last one first."""
        self.total = 0
        """How many were pending when it began."""
        self.made_at = view.now
        self._table = table
        self._view = replace(view)
        self._natural = natural
        self._known = SortedIds()
        self._unknown = SortedIds()
        self._entries: dict[RowId, tuple[bool, Entry]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, row_id: RowId) -> bool:
        return row_id in self._entries

    def begin(self, ids: Iterable[RowId]) -> None:
        """Say what is to be looked at first."""
        self.pending = dict.fromkeys(reversed(list(ids)))
        self.total = len(self.pending)

    def look_at(self, ids: Iterable[RowId]) -> None:
        """Say what has changed."""
        self.pending.update(dict.fromkeys(ids))
        self.total = max(self.total, len(self.pending))

    def step(self, budget_s: float) -> bool:
        """Work for about that long; whether nothing is pending any more."""
        deadline = time.perf_counter() + budget_s
        pending = self.pending
        count = 0
        while pending:
            self._place(pending.popitem()[0])
            count += 1
            if count % _PATIENCE == 0 and time.perf_counter() >= deadline:
                break
        return not pending

    def _place(self, row_id: RowId) -> None:
        row = self._table.row(self._view, row_id)
        old = self._entries.get(row_id)
        if row is None or (self.predicate is not None and not self.predicate(row)):
            if old is not None:
                self._drop(row_id, old)
            return
        key = self.column.sort(row)
        if old is not None:
            if old[0] is (key is not None) and (key is None or old[1][0] == key):
                return
            self._drop(row_id, old)
        natural = self._natural.get(row_id)
        if natural is None:
            # It went and came back between two looks at the store; the next one brings it in.
            return
        if key is None:
            entry: Entry = (0, natural, row_id)
            self._unknown.add(entry)
        else:
            # Read backwards when descending: the tie is turned round, so that equal rows keep their natural order.
            entry = (key, -natural if self.descending else natural, row_id)
            self._known.add(entry)
        self._entries[row_id] = (key is not None, entry)

    def _drop(self, row_id: RowId, old: tuple[bool, Entry]) -> None:
        (self._known if old[0] else self._unknown).remove(old[1])
        del self._entries[row_id]

    def index(self, row_id: RowId) -> int | None:
        """Return where a row stands, None when it is not shown."""
        found = self._entries.get(row_id)
        if found is None:
            return None
        known, entry = found
        if not known:
            return len(self._known) + self._unknown.index(entry)
        at = self._known.index(entry)
        return len(self._known) - 1 - at if self.descending else at

    def window(self, start: int, stop: int) -> list[RowId]:
        """Return the ids from `start` up to `stop`."""
        known = len(self._known)
        start, stop = max(start, 0), min(stop, len(self))
        ids: list[RowId] = []
        if start < known:
            end = min(stop, known)
            if self.descending:
                ids = [entry[2] for entry in reversed(self._known.slice(known - end, known - start))]
            else:
                ids = [entry[2] for entry in self._known.slice(start, end)]
        if stop > known:
            ids.extend(entry[2] for entry in self._unknown.slice(max(start - known, 0), stop - known))
        return ids


class RowModel:
    """All rows of one table of the store, as one screen shows them."""

    def __init__(self, table: Table[Any], view: View) -> None:
        self.table = table
        self.view = view
        name, descending = table.default_sort
        self.column: Column[Any] = table.column(name)
        self.descending = descending
        self.predicate: Predicate | None = None
        self._natural: dict[RowId, int] = {}
        self._numbers = itertools.count()
        self._changes = view.store.subscribe()
        self._children: dict[RowId, set[RowId]] = {}
        """Rows by the node that they belong to, for tables whose rows are parts of nodes."""
        self.shown = self._order()
        self._next: Order | None = None
        ids = table.rows(view.store)
        self._admit(ids)
        self.shown.begin(ids)

    def close(self) -> None:
        """Let go of the store."""
        self.view.store.unsubscribe(self._changes)

    # ---- what is shown

    def __len__(self) -> int:
        return len(self.shown)

    @property
    def total(self) -> int:
        """Rows without the filter."""
        return len(self._natural)

    @property
    def progress(self) -> float | None:
        """How much of a new order is done, 0–1; None when nothing is being built."""
        order = self._next or self.shown
        if not order.pending or order.total < 2000:
            return None
        return max(0.0, 1 - len(order.pending) / order.total)

    @property
    def busy(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self.shown.pending or self._next is not None)

    # ---- what is to be shown

    def sort_by(self, column: Column[Any], descending: bool) -> None:
        """Sort anew."""
        self.column, self.descending = column, descending
        self._rebuild()

    def filter_by(self, predicate: Predicate | None) -> None:
        """Filter anew; None: everything."""
        self.predicate = predicate
        self._rebuild()

    def _order(self) -> Order:
        return Order(self.table, self.view, self.column, self.descending, self.predicate, self._natural)

    def _rebuild(self) -> None:
        self._next = self._order()
        self._next.begin(self._natural)

    def refresh_keys(self) -> None:
        """Compute keys and filter again when they depend on the clock and have become old."""
        if self._next is None and self.view.now - self.shown.made_at > _OLDEST_KEYS_S and self._on_clock():
            self._rebuild()

    def _on_clock(self) -> bool:
        if self.predicate is not None:
            return True
        later = replace(self.view, now=self.view.now + 1000.0)
        for row_id in self.shown.window(0, 20):
            now_row, later_row = self.table.row(self.view, row_id), self.table.row(later, row_id)
            if now_row is None or later_row is None:
                continue
            if self.column.sort(now_row) != self.column.sort(later_row):
                return True
        return False

    def pull(self) -> set[RowId]:
        """Take what the store changed since the last time; return the rows that it touches."""
        changes = self._changes
        if not changes:
            return set()
        taken = changes.take()
        touched = self.table.changed(self.view.store, taken)
        gone = set(self._known(taken)) - touched
        self._admit(touched)
        self.shown.look_at(touched | gone)
        if self._next is not None:
            self._next.look_at(touched | gone)
        for row_id in gone:
            if self.table.row(self.view, row_id) is None:
                self._natural.pop(row_id, None)
                if isinstance(row_id, tuple):
                    self._children.get(row_id[0], set()).discard(row_id)
        return touched | gone

    def _known(self, changes: Changes) -> Iterator[RowId]:
        """Yield the rows that stand here already and belong to something that changed."""
        for key in (*changes.nodes, *changes.jobs, *changes.sources, *changes.attempts):
            if key in self._natural:
                yield key
        for node in changes.nodes:
            yield from self._children.get(node, ())

    def _admit(self, ids: Iterable[RowId]) -> None:
        """Give new rows their place in the natural order."""
        parts = self.table.id in ("network", "storage")
        for row_id in ids:
            if row_id not in self._natural:
                self._natural[row_id] = next(self._numbers)
            if parts:
                self._children.setdefault(row_id[0], set()).add(row_id)

    def step(self, budget_s: float) -> bool:
        """Work for about that long; whether what is shown may have changed."""
        if self.shown.pending:
            self.shown.step(budget_s)
            return True
        if self._next is not None and self._next.step(budget_s):
            self.shown, self._next = self._next, None
            return True
        return False
