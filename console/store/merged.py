"""Tables of several sources shown as one: the source that came first gives the words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Merged(Generic[K, R]):
    """Records of one kind, by identity, from any number of sources.

    What a source lists stays until that source says that it is gone. Where two list the same record, the source
    that listed something first is shown; when it lets go, the next one's words are.
    """

    def __init__(self, choose: Callable[[Sequence[R]], R] | None = None) -> None:
        """`choose`: which of several sources' words are shown; None: the first one's."""
        self.shown: dict[K, R] = {}
        self._choose = choose
        self._tables: dict[str, dict[K, R]] = {}

    def table(self, source: str) -> dict[K, R]:
        """Return what one source lists. To be read only."""
        return self._tables.setdefault(source, {})

    def put(self, source: str, key: K, record: R) -> bool:
        """Take a record; whether what is shown changed."""
        table = self.table(source)
        old = table.get(key)
        if old is record or old == record:
            return False
        table[key] = record
        return self._show(key)

    def drop(self, source: str, key: K) -> bool:
        """Take that a source lists it no longer; whether what is shown changed."""
        if self.table(source).pop(key, None) is None:
            return False
        return self._show(key)

    def replace(self, source: str, records: Mapping[K, R], complete: bool) -> set[K]:
        """Take a listing, all of it when it is complete; return the keys of what changed."""
        changed = {key for key, record in records.items() if self.put(source, key, record)}
        if complete:
            gone = [key for key in self.table(source) if key not in records]
            changed.update(key for key in gone if self.drop(source, key))
        return changed

    def _show(self, key: K) -> bool:
        found = [table[key] for table in self._tables.values() if key in table]
        record = None if not found else found[0] if len(found) == 1 or not self._choose else self._choose(found)
        old = self.shown.get(key)
        if record is None:
            return self.shown.pop(key, None) is not None
        if old == record:
            return False
        self.shown[key] = record
        return True
