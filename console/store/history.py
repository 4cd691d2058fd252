"""Recent history: rings of typed arrays, one matrix a node, within a stated amount of memory.

A ring holds the last 150 samples of a node: five minutes at two seconds. One sample is one row of 32-bit floats and
goes in by one slice assignment; one series is one strided slice. A node of 8 accelerators and 10 links takes
(13 + 8 × 4 + 10 × 2) × 4 B × 150 + 8 B × 150 = 39 kB, so the 48 MiB of `BUDGET_BYTES` hold 1,250 of them: all that one
console samples itself. Past the budget the nodes that somebody looks at take the place of those that nobody has
looked at for the longest time; a node without a ring has no history and says so by an empty one.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from math import nan

from console.store.digest import (
    ACCELERATOR_SERIES,
    FLEET_SERIES,
    LINK_SERIES,
    NODE_SERIES,
    Layout,
)

POINTS = 150
"""Samples that a ring holds."""
BUDGET_BYTES = 48 << 20
"""Memory of all rings together."""
WANTED_LIMIT = 4096
"""Nodes without a ring of which it is remembered that somebody asked for one."""

__all__ = [
    "ACCELERATOR_SERIES",
    "BUDGET_BYTES",
    "FLEET_SERIES",
    "LINK_SERIES",
    "NODE_SERIES",
    "POINTS",
    "History",
    "Ring",
]


class Ring:
    """The last `points` rows of one fixed width, with their times."""

    __slots__ = ("_next", "_rows", "_times", "points", "width")

    def __init__(self, width: int, points: int = POINTS) -> None:
        self.width = width
        self.points = points
        self._rows = array("f")
        self._times = array("d")
        self._next = 0

    def __len__(self) -> int:
        return len(self._times)

    @property
    def full_bytes(self) -> int:
        """What it takes when it is full."""
        return self.points * (self.width * 4 + 8)

    def add(self, at: float, row: array[float]) -> None:
        """Take one row; the oldest goes."""
        if len(self._times) < self.points:
            self._times.append(at)
            self._rows.extend(row)
            return
        position = self._next
        self._times[position] = at
        self._rows[position * self.width : (position + 1) * self.width] = row
        self._next = (position + 1) % self.points

    def column(self, index: int) -> array[float]:
        """Return one series, oldest first."""
        values = self._rows[index :: self.width]
        return values[self._next :] + values[: self._next] if self._next else values

    def times(self) -> array[float]:
        """Return the Unix seconds of the rows, oldest first."""
        return self._times[self._next :] + self._times[: self._next]

    def reshaped(self, columns: Sequence[int | None]) -> Ring:
        """Return a ring with the same times whose columns are these old ones, or NaN for None."""
        fresh = Ring(len(columns), self.points)
        count = len(self)
        fresh._times = self.times()
        fresh._rows = array("f", [nan]) * (count * len(columns))
        for new, old in enumerate(columns):
            if old is not None:
                fresh._rows[new :: len(columns)] = self.column(old)
        return fresh


class _Entry:
    __slots__ = ("layout", "ring")

    def __init__(self, layout: Layout, points: int) -> None:
        self.layout = layout
        self.ring = Ring(layout.width, points)


class History:
    """The rings of all nodes, and one of the fleet."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES, points: int = POINTS) -> None:
        self.points = points
        self._budget = budget_bytes
        self._used = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        """In the order in which somebody looked at them, the latest last."""
        self._wanted: set[str] = set()
        """Nodes without a ring that somebody asked for."""
        self._fleet = Ring(len(FLEET_SERIES), points)

    @property
    def used_bytes(self) -> int:
        """What all node rings take when they are full; never more than the budget."""
        return self._used

    def layout(self, node: str) -> Layout | None:
        """Return the columns of a node's ring, if it has one."""
        entry = self._entries.get(node)
        return None if entry is None else entry.layout

    def add(self, node: str, at: float, layout: Layout, row: array[float]) -> None:
        """Take one sample of a node as a row of its layout."""
        entry = self._entries.get(node)
        if entry is None:
            entry = self._admit(node, layout)
            if entry is None:
                return
        elif entry.layout is not layout:
            self._reshape(node, entry, layout)
        entry.ring.add(at, row)

    def add_fleet(self, at: float, row: array[float]) -> None:
        """Take one row of `FLEET_SERIES`."""
        self._fleet.add(at, row)

    def drop(self, node: str) -> None:
        """Forget a node."""
        entry = self._entries.pop(node, None)
        if entry is not None:
            self._used -= entry.ring.full_bytes
        self._wanted.discard(node)

    def series(self, node: str, series: str, index: int | str | None = None) -> array[float]:
        """Return one series, oldest first; empty when it is not known. Asking is looking at."""
        entry = self._look(node)
        column = None if entry is None else entry.layout.column(series, index)
        return array("f") if entry is None or column is None else entry.ring.column(column)

    def times(self, node: str) -> array[float]:
        """Return the Unix seconds of a node's rows, oldest first."""
        entry = self._look(node)
        return array("d") if entry is None else entry.ring.times()

    def fleet(self, series: str) -> array[float]:
        """Return one of `FLEET_SERIES`, oldest first."""
        return self._fleet.column(FLEET_SERIES.index(series))

    def _look(self, node: str) -> _Entry | None:
        entry = self._entries.get(node)
        if entry is None:
            if len(self._wanted) < WANTED_LIMIT:
                self._wanted.add(node)
            return None
        self._entries.move_to_end(node)
        return entry

    def _admit(self, node: str, layout: Layout) -> _Entry | None:
        entry = _Entry(layout, self.points)
        need = entry.ring.full_bytes
        looked_at = node in self._wanted
        if self._used + need > self._budget and not (looked_at and self._make_room(need)):
            return None
        self._entries[node] = entry
        self._used += need
        if looked_at:
            self._wanted.discard(node)
        else:
            self._entries.move_to_end(node, last=False)
        return entry

    def _reshape(self, node: str, entry: _Entry, layout: Layout) -> None:
        """Give a node whose accelerators or links changed its new columns, keeping what both have."""
        self._used -= entry.ring.full_bytes
        entry.ring = entry.ring.reshaped([entry.layout.column(*name) for name in layout.names()])
        entry.layout = layout
        self._used += entry.ring.full_bytes
        while self._used > self._budget and len(self._entries) > 1:
            self._evict(keep=node)

    def _make_room(self, need: int) -> bool:
        if need > self._budget:
            return False
        while self._used + need > self._budget and self._entries:
            self._evict()
        return self._used + need <= self._budget

    def _evict(self, keep: str | None = None) -> None:
        victim = next(name for name in self._entries if name != keep)
        self._used -= self._entries.pop(victim).ring.full_bytes
