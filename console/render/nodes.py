"""Facts about one node, merged from all that list it and from its sample."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from console.model import (
    Accelerator,
    Finding,
    Link,
    LinkKind,
    Severity,
    SourceState,
    SourceStatus,
)
from console.store import NodeView, Store

_WORST_FIRST = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


def facet_value(node: NodeView, field: str) -> str | float | None:
    """Return the first value that any facet knows of a field of Node; empty texts and tuples count as not
    known."""
    for facet in node.facets.values():
        value: str | float | None = getattr(facet, field)
        if value is not None and value != "":
            return value
    return None


def facet_text(node: NodeView, field: str) -> str | None:
    """Return `facet_value` of a text field."""
    value = facet_value(node, field)
    return None if value is None else str(value)


def facet_number(node: NodeView, field: str) -> float | None:
    """Return `facet_value` of a number field."""
    value = facet_value(node, field)
    return value if isinstance(value, (int, float)) else None


def probe_status(store: Store, node: NodeView) -> SourceStatus | None:
    """Return how the source doing that measures this node, if one does or should."""
    if node.probe is not None:
        return node.probe
    return None if node.sample_source is None else store.sources.get(node.sample_source)


def observed_at(store: Store, node: NodeView) -> float | None:
    """Return when what is shown was seen: the sample, else the newest listing; the last listing of a silent source."""
    silent = silent_listing(store, node)
    if silent is not None and silent.observed_at is not None:
        return silent.observed_at
    if node.sample is not None:
        return node.sample.observed_at
    times = [status.observed_at for status in listing_statuses(store, node) if status.observed_at is not None]
    return max(times, default=None)


def listing_statuses(store: Store, node: NodeView) -> Iterator[SourceStatus]:
    """Yield the states of the sources that list this node."""
    for source in node.facets:
        status = store.sources.get(source)
        if status is not None:
            yield status


def silent_listing(store: Store, node: NodeView) -> SourceStatus | None:
    """Return the source whose word the node's state is, when it does not answer now: the word is an old one."""
    status = next(listing_statuses(store, node), None)
    answers = status is None or status.state in (SourceState.OK, SourceState.CONNECTING)
    return None if answers else status


def is_stale(store: Store, node: NodeView, now: float) -> bool:
    """Whether the measured values are older than twice their period, or their source failed."""
    if node.sample is None:
        return False
    status = probe_status(store, node)
    if status is None or status.state is not SourceState.OK:
        return True
    return status.period_s is not None and now - node.sample.observed_at > 2 * status.period_s + 1


def accelerators(node: NodeView) -> tuple[Accelerator, ...]:
    """Return what the probe saw; empty when there is no sample."""
    return () if node.sample is None else node.sample.accelerators


def accelerator_count(node: NodeView) -> int | None:
    """Return how many accelerators it has: as listed, else as seen."""
    listed = facet_number(node, "accelerators_total")
    if listed is not None:
        return int(listed)
    return None if node.sample is None or "accelerators" in node.sample.missing else len(node.sample.accelerators)


def short_model(model: str) -> str:
    """Return a model without its vendor: `H100 80GB HBM3`."""
    for vendor in ("NVIDIA ", "AMD Instinct ", "AMD ", "Intel ", "Habana "):
        model = model.removeprefix(vendor)
    return model


def known(values: Iterable[float | None]) -> list[float]:
    """Return the values that are known."""
    return [value for value in values if value is not None and math.isfinite(value)]


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the known values; None when there is none."""
    found = known(values)
    return sum(found) / len(found) if found else None


def total(values: Iterable[float | None]) -> float | None:
    """Return the sum of the known values; None when there is none."""
    found = known(values)
    return sum(found) if found else None


def fraction(part: float | None, whole: float | None) -> float | None:
    """Return part of whole as 0–1; None when either is not known or there is no whole."""
    return None if part is None or not whole else part / whole


def carrying_links(node: NodeView) -> list[Link]:
    """Return the links whose traffic adds up: an interface is left out where its RDMA port is counted."""
    if node.sample is None:
        return []
    links = node.sample.links
    ports = {link.device for link in links if link.kind is not LinkKind.ETHERNET}
    return [link for link in links if link.kind is not LinkKind.ETHERNET or link.name not in ports]


def traffic(node: NodeView) -> float | None:
    """Return received plus sent bytes per second over all its links."""
    links = carrying_links(node)
    return total([link.rx_bytes_per_s for link in links] + [link.tx_bytes_per_s for link in links])


def worst_finding(findings: Iterable[Finding]) -> Finding | None:
    """Return the first finding of the highest severity."""
    return min(findings, key=lambda finding: _WORST_FIRST.index(finding.severity), default=None)


_TOLD: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "accelerators_total": ("gpus", 0.0),
        "accelerator_model": ("gpu model", 0.0),
        "cpus": ("cpus", 0.0),
        "memory_total_bytes": ("memory", 0.1),
    }
)
"""Field of a node to what people call it, and the share by which two sources may differ and mean the same."""


def conflicts(node: NodeView) -> list[tuple[str, list[tuple[str, str | float]]]]:
    """Return what two sources say differently of one machine: the fact, and (who, what) of each that says something.

    What the probe measured counts as one more source, for GPUs and memory: a scheduler counts CPUs as cores or as
    threads.
    """
    found: list[tuple[str, list[tuple[str, str | float]]]] = []
    for field, (label, tolerance) in _TOLD.items():
        told = [
            (facet.cluster, value) for facet in node.facets.values() if (value := getattr(facet, field)) is not None
        ]
        measured = _measured(node, field)
        if measured is not None:
            told.append(("measured", measured))
        if any(_differ(value, told[0][1], tolerance) for _, value in told[1:]):
            found.append((label, told))
    return found


def _measured(node: NodeView, field: str) -> float | None:
    sample = node.sample
    if sample is None:
        return None
    if field == "memory_total_bytes" and sample.host is not None:
        return sample.host.memory_total_bytes
    if field == "accelerators_total" and "accelerators" not in sample.missing:
        # A scheduler counts the parts of a divided GPU.
        return None if any(gpu.mig for gpu in sample.accelerators) else len(sample.accelerators)
    return None


def _differ(one: str | float, other: str | float, tolerance: float) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        alike = str(one).lower(), str(other).lower()
        return alike[0] not in alike[1] and alike[1] not in alike[0]
    return abs(one - other) > tolerance * max(abs(one), abs(other))
