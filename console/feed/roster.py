"""Which machines can be probed, as the inventories list them."""

from __future__ import annotations

from dataclasses import dataclass

from console.model import Records
from console.model.identity import Identity


@dataclass(frozen=True, slots=True)
class Target:
    """One machine that a probe can reach."""

    key: str
    name: str
    """As its inventory names it."""
    cluster: str
    address: str
    mode: str
    """all | visible"""


class Roster:
    """The targets of all inventories, each machine once: the first inventory that gives an address has the word."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._tables: dict[str, dict[str, Target]] = {}
        """Source to node name to target."""
        self._keys: dict[str, dict[str, tuple[str, str]]] = {}
        """Source to node name to key and cluster."""
        self.targets: dict[str, Target] = {}
        """By key."""

    def update(self, source: str, records: Records, mode: str) -> bool:
        """Take a listing; whether any target came, went or changed."""
        table = self._tables.setdefault(source, {})
        keys = self._keys.setdefault(source, {})
        changed = False
        for node in records.nodes:
            if node.name not in keys:
                keys[node.name] = (self._identity.claim(source, node.cluster, node.name), node.cluster)
            old = table.get(node.name)
            if node.address is None:
                changed |= table.pop(node.name, None) is not None
            elif old is None or old.address != node.address:
                table[node.name] = Target(keys[node.name][0], node.name, node.cluster, node.address, mode)
                changed = True
        gone = set(records.gone_nodes)
        if "nodes" in records.complete:
            gone |= keys.keys() - {node.name for node in records.nodes}
        for name in gone & keys.keys():
            self._identity.release(source, keys.pop(name)[1], name)
            changed |= table.pop(name, None) is not None
        if changed:
            self.targets = {}
            for names in self._tables.values():
                for target in names.values():
                    self.targets.setdefault(target.key, target)
        return changed
