"""Records that concern nodes (findings, reservations), and which of them concern which node."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from console.model.identity import Identity
from console.store.merged import Merged

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Concerning(Generic[K, R]):
    """All records of one kind by identity, and an index by node. `names` gives the nodes that a record names."""

    def __init__(self, identity: Identity, names: Callable[[R], Sequence[str]]) -> None:
        self._identity = identity
        self._names = names
        self._merged: Merged[K, R] = Merged()
        self.shown = self._merged.shown
        self._nodes_of: dict[K, tuple[str, ...]] = {}
        self._on_node: dict[str, dict[K, None]] = {}

    def on_node(self, node: str) -> tuple[R, ...]:
        """Return the records that name a node."""
        return tuple([self.shown[key] for key in self._on_node.get(node, ())])

    def replace(self, source: str, cluster: str, records: Mapping[K, R], complete: bool) -> set[str] | None:
        """Take a listing, all of it when it is complete, whose node names are those of `cluster`.

        Return the nodes that are concerned, or None when nothing changed.
        """
        changed = self._merged.replace(source, records, complete)
        if not changed:
            return None
        touched: set[str] = set()
        # In the order of the listing: a node shows its records as the source named them.
        for key in (*(key for key in records if key in changed), *changed.difference(records)):
            record = self.shown.get(key)
            names = () if record is None else self._names(record)
            new = tuple(dict.fromkeys([self._identity.key(cluster, name) for name in names]))
            old = self._nodes_of.pop(key, ())
            touched.update(old, new)
            for node in old:
                concerned = self._on_node[node]
                del concerned[key]
                if not concerned:
                    del self._on_node[node]
            for node in new:
                self._on_node.setdefault(node, {})[key] = None
            if new:
                self._nodes_of[key] = new
        return touched
