"""Dynamic resource allocation: devices that a driver lists in slices, and the claims that hold them. Pure.

The driver's name (`gpu.nvidia.com`) stands where the name of an extended resource stands otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from console.text import clean
from plugins.kubernetes.objects import WorkObject
from plugins.kubernetes.plain import dig, integer, tables, text
from plugins.kubernetes.pods import Key
from plugins.kubernetes.resources import Counts


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A ResourceClaim as far as it holds devices."""

    key: Key
    devices: tuple[tuple[str, str, int], ...]
    """(pool, driver, count); drivers of nodes call a node's pool by its name."""
    pods: tuple[Key, ...]
    """For whom it is reserved."""

    def counts(self, pool: str | None = None) -> Counter[str]:
        """Return how many devices of which driver it holds, in one pool or in all."""
        found: Counter[str] = Counter()
        for where, driver, count in self.devices:
            if pool is None or pool == where:
                found[driver] += count
        return found


class Slice(msgspec.Struct, frozen=True, gc=False):
    """A ResourceSlice: some of the devices of a node."""

    key: Key
    node: str
    pool: str
    generation: int
    driver: str
    devices: int


class ClaimReader:
    """Makes claims of bytes."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(WorkObject)

    def read(self, data: msgspec.Raw | bytes) -> Claim:
        """Return a claim. msgspec.ValidationError when it is none."""
        found = self._decoder.decode(data)
        namespace = clean(found.metadata.namespace, limit=253)
        results = tables(dig(found.status, "allocation", "devices", "results"))
        counts = Counter((text(each.get("pool")), text(each.get("driver"))) for each in results)
        reserved = tables(dig(found.status, "reservedFor"))
        return Claim(
            key=(namespace, clean(found.metadata.name, limit=253)),
            devices=tuple(sorted((pool, driver, count) for (pool, driver), count in counts.items())),
            pods=tuple((namespace, text(each.get("name"))) for each in reserved if each.get("resource") == "pods"),
        )


class SliceReader:
    """Makes slices of bytes."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(WorkObject)

    def read(self, data: msgspec.Raw | bytes) -> Slice:
        """Return a slice. msgspec.ValidationError when it is none."""
        found = self._decoder.decode(data)
        spec = found.spec
        return Slice(
            key=("", clean(found.metadata.name, limit=253)),
            node=text(dig(spec, "nodeName")),
            pool=text(dig(spec, "pool", "name")),
            generation=integer(dig(spec, "pool", "generation")) or 0,
            driver=text(dig(spec, "driver")),
            devices=sum(1 for _ in _whole_devices(spec)),
        )


def _whole_devices(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield whole devices: a driver may list the parts that each could be split into beside them."""
    for device in tables(dig(spec, "devices")):
        # v1 has the attributes in the device, v1beta1 in its field `basic`.
        kind = dig(device, "attributes", "type", "string") or dig(device, "basic", "attributes", "type", "string")
        if kind in (None, "gpu"):
            yield device


class Devices:
    """Slices and claims of a cluster, by node and by pod."""

    def __init__(self) -> None:
        self._slices: dict[str, dict[Key, Slice]] = {}
        self._in_pool: dict[str, dict[Key, Claim]] = {}
        self._of_pod: dict[Key, dict[Key, Claim]] = {}

    def slice_changed(self, old: Slice | None, new: Slice | None) -> set[str]:
        """Take a slice that came, changed or went; return the nodes that this touches."""
        if old is not None:
            self._slices.get(old.node, {}).pop(old.key, None)
        if new is not None:
            self._slices.setdefault(new.node, {})[new.key] = new
        return {each.node for each in (old, new) if each is not None and each.node}

    def claim_changed(self, old: Claim | None, new: Claim | None) -> tuple[set[str], set[Key]]:
        """Take a claim that came, changed or went; return the nodes and pods that this touches."""
        pools: set[str] = set()
        pods: set[Key] = set()
        for claim, comes in ((old, False), (new, True)):
            if claim is None:
                continue
            pools.update(pool for pool, _driver, _count in claim.devices)
            pods.update(claim.pods)
            for pool, _driver, _count in claim.devices:
                _put(self._in_pool, pool, claim, comes)
            for pod in claim.pods:
                _put(self._of_pod, pod, claim, comes)
        return pools, pods

    def on_node(self, node: str) -> Counts:
        """Return the devices of a node by driver: those of the newest generation of each pool."""
        held = self._slices.get(node, {}).values()
        newest: dict[str, int] = {}
        for each in held:
            newest[each.pool] = max(newest.get(each.pool, 0), each.generation)
        found: Counter[str] = Counter()
        for each in held:
            if each.generation == newest[each.pool]:
                found[each.driver] += each.devices
        return tuple(sorted(found.items()))

    def used_on(self, node: str) -> Counts:
        """Return the devices of a node that claims hold."""
        found: Counter[str] = Counter()
        for claim in self._in_pool.get(node, {}).values():
            found += claim.counts(node)
        return tuple(sorted(found.items()))

    def of_pods(self, pods: Iterable[Key]) -> Counts:
        """Return the devices that pods hold by claims; one that several share counts once."""
        if not self._of_pod:
            return ()
        claims = {claim.key: claim for pod in pods for claim in self._of_pod.get(pod, {}).values()}
        found: Counter[str] = Counter()
        for claim in claims.values():
            found += claim.counts()
        return tuple(sorted(found.items()))


def _put(table: dict[Any, dict[Key, Claim]], slot: Any, claim: Claim, comes: bool) -> None:
    if comes:
        table.setdefault(slot, {})[claim.key] = claim
    elif slot in table:
        table[slot].pop(claim.key, None)
        if not table[slot]:
            del table[slot]
