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
        self._keys: dict[str, dict[str, str]] = {}
        self.targets: dict[str, Target] = {}
        """By key."""

    def update(self, source: str, records: Records, mode: str) -> bool:
        """Take a listing; whether any target came, went or changed."""
        table = self._tables.setdefault(source, {})
        keys = self._keys.setdefault(source, {})
        changed = False
        for node in records.nodes:
            key = keys.get(node.name)
            if key is None:
                key = keys[node.name] = self._identity.claim(source, node.cluster, node.name)
            old = table.get(node.name)
            if node.address is None:
                changed |= table.pop(node.name, None) is not None
            elif old is None or old.address != node.address:
                table[node.name] = Target(key, node.name, node.cluster, node.address, mode)
                changed = True
        gone = set(records.gone_nodes)
        if "nodes" in records.complete:
            gone |= keys.keys() - {node.name for node in records.nodes}
        for name in gone & keys.keys():
            del keys[name]
            target = table.pop(name, None)
            if target is not None:
                self._identity.release(source, target.cluster, name)
                changed = True
        if changed:
            self.targets = {}
            for names in self._tables.values():
                for target in names.values():
                    self.targets.setdefault(target.key, target)
        return changed
