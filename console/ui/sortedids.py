"""Rows in order, kept in short chunks: adding or taking one of a hundred thousand moves a few hundred."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import islice
from typing import Any

from console.render.tables import RowId

Entry = tuple[Any, int, RowId]
"""(sort key, tie, id). Keys of one list are of one type; ties differ, so that ids are never compared."""

_CHUNK = 512


class SortedIds:
    """Entries in ascending order, by index and by entry."""

    __slots__ = ("_chunks", "_last", "_length", "_starts")

    def __init__(self) -> None:
        self._chunks: list[list[Entry]] = []
        self._last: list[Entry] = []
        """The greatest entry of each chunk."""
        self._starts: list[int] | None = []
        """The index at which each chunk begins; None: to be counted again."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, entry: Entry) -> None:
        """Put an entry at its place."""
        self._length += 1
        self._starts = None
        if not self._chunks:
            self._chunks.append([entry])
            self._last.append(entry)
            return
        at = min(bisect_left(self._last, entry), len(self._chunks) - 1)
        chunk = self._chunks[at]
        insort(chunk, entry)
        if len(chunk) > 2 * _CHUNK:
            self._chunks[at : at + 1] = [chunk[:_CHUNK], chunk[_CHUNK:]]
            self._last.insert(at, chunk[_CHUNK - 1])
            at += 1
            chunk = self._chunks[at]
        self._last[at] = chunk[-1]

    def remove(self, entry: Entry) -> None:
        """Take an entry away; it is in the list."""
        at = bisect_left(self._last, entry)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, entry)]
        self._length -= 1
        self._starts = None
        if chunk:
            self._last[at] = chunk[-1]
        else:
            del self._chunks[at]
            del self._last[at]

    def index(self, entry: Entry) -> int:
        """Return where an entry stands that is in the list."""
        at = bisect_left(self._last, entry)
        return self._begins()[at] + bisect_left(self._chunks[at], entry)

    def slice(self, start: int, stop: int) -> list[Entry]:
        """Return the entries from index `start` up to `stop`."""
        start, stop = max(start, 0), min(stop, self._length)
        if start >= stop:
            return []
        begins = self._begins()
        at = bisect_left(begins, start + 1) - 1
        found: list[Entry] = []
        offset = start - begins[at]
        while len(found) < stop - start:
            found.extend(islice(self._chunks[at], offset, offset + stop - start - len(found)))
            at += 1
            offset = 0
        return found

    def _begins(self) -> list[int]:
        if self._starts is None:
            self._starts = []
            total = 0
            for chunk in self._chunks:
                self._starts.append(total)
                total += len(chunk)
        return self._starts
