"""Which resources are accelerators, and how much of them a pod asks for. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

from console.text import clean
from plugins.kubernetes.objects import Container, PodSpec
from plugins.kubernetes.quantity import amount, whole

KNOWN = frozenset(
    (
        "nvidia.com/gpu",
        "nvidia.com/gpu.shared",
        "amd.com/gpu",
        "habana.ai/gaudi",
        "gpu.intel.com/i915",
        "gpu.intel.com/xe",
        *("gpu.nvidia.com", "gpu.amd.com", "gpu.intel.com", "gaudi.intel.com"),  # drivers of resource claims
    )
)
_MIG = "nvidia.com/mig-"
_FABRIC = ("rdma/", "nvidia.com/hostdev", "vpc.amazonaws.com/efa")

T = TypeVar("T")

Counts = tuple[tuple[str, int], ...]
"""Resource to count, sorted by name."""
Asked = tuple[Counts, int, int]
"""What a pod asks for: (resources worth showing, millicores, bytes)."""
_MEMORY = 4096


class Accelerators:
    """Tells accelerators from other resources."""

    def __init__(self, further: Iterable[str] = ()) -> None:
        self._names = KNOWN | frozenset(further)
        # Most nodes and pods are like another one: each sum is made once.
        self._asked: dict[object, Asked] = {}
        self._shown: dict[object, Counts] = {}
        self._totals: dict[object, int] = {}

    def is_one(self, resource: str) -> bool:
        """Whether a resource is counted as accelerators: whole devices, shared ones and MIG instances."""
        return resource in self._names or resource.startswith(_MIG)

    def is_shown(self, resource: str) -> bool:
        """Whether a resource is worth a line on the Node screen: accelerators and fabric devices."""
        return self.is_one(resource) or resource.startswith(_FABRIC)

    def shown(self, table: Mapping[str, str | int | float] | None) -> Counts:
        """Return the resources worth showing of a table of quantities."""
        key = tuple((table or {}).items())
        found = self._shown.get(key)
        if found is None:
            worth = ((clean(name, limit=100), whole(value)) for name, value in key if self.is_shown(name))
            found = _kept(self._shown, key, tuple(sorted(worth)))
        return found

    def total(self, counts: Counts) -> int:
        """Return how many accelerators these are."""
        found = self._totals.get(counts)
        if found is None:
            found = _kept(self._totals, counts, sum(count for name, count in counts if self.is_one(name)))
        return found

    def asked(self, spec: PodSpec) -> Asked:
        """Return what a pod asks for.

        As the scheduler counts: the larger of all containers and sidecars together and each init container with the
        sidecars before it, plus the overhead of the runtime.
        """
        containers = *(spec.containers or ()), None, *(spec.init_containers or ())
        key = tuple(_wants(each) for each in containers), tuple((spec.overhead or {}).items())
        found = self._asked.get(key)
        return found if found is not None else _kept(self._asked, key, _sum(spec, self))


def _kept(table: dict[object, T], key: object, value: T) -> T:
    if len(table) > _MEMORY:
        table.clear()
    table[key] = value
    return value


def _wants(container: Container | None) -> object:
    if container is None or container.resources is None:
        return None
    resources = container.resources
    return container.restart_policy, tuple((resources.limits or {}).items()), tuple((resources.requests or {}).items())


def _sum(spec: PodSpec, accelerators: Accelerators) -> Asked:
    running: dict[str, float] = {}
    for container in spec.containers or ():
        _add(running, _requests(container))
    sidecars: dict[str, float] = {}
    peak: dict[str, float] = {}
    for container in spec.init_containers or ():
        wants = _requests(container)
        if container.restart_policy == "Always":
            _add(sidecars, wants)
            _raise(peak, sidecars)
        else:
            _raise(peak, {name: wants.get(name, 0.0) + sidecars.get(name, 0.0) for name in {*wants, *sidecars}})
    _add(running, sidecars)
    _raise(running, peak)
    _add(running, {name: amount(value) or 0.0 for name, value in (spec.overhead or {}).items()})
    shown = ((clean(name, limit=100), round(value)) for name, value in running.items() if accelerators.is_shown(name))
    return (
        tuple(sorted((name, count) for name, count in shown if count)),
        math.ceil(running.get("cpu", 0.0) * 1000 - 1e-6),
        round(running.get("memory", 0.0)),
    )


def _requests(container: Container) -> dict[str, float]:
    """Return the requests; a limit without a request is one, as the API server fills it in."""
    resources = container.resources
    if resources is None:
        return {}
    table = {**(resources.limits or {}), **(resources.requests or {})}
    return {name: min(amount(value) or 0.0, 1e18) for name, value in table.items()}


def _add(total: dict[str, float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0.0) + value


def _raise(total: dict[str, float], other: Mapping[str, float]) -> None:
    for name, value in other.items():
        total[name] = max(total.get(name, 0.0), value)
