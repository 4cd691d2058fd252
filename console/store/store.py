"""The store: batches in, merged views and change sets out. No I/O, no clock of its own, no UI."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from console.model import (
    Batch,
    Cluster,
    Finding,
    Job,
    JobState,
    Node,
    NodeState,
    Queue,
    Reservation,
    Sample,
    SourceState,
    SourceStatus,
)
from console.store.changes import Changes

JobKey = tuple[str, str]


@dataclass(slots=True)
class NodeView:
    """One machine, whoever reports it: what schedulers list (facets) and what a probe measured (sample)."""

    key: str
    """Its identity: the short host name, by default."""
    facets: dict[str, Node] = field(default_factory=dict)
    """Source name to what that source lists."""
    sample: Sample | None = None
    sample_source: str | None = None
    jobs: tuple[JobKey, ...] = ()
    """Running jobs on it."""
    findings: tuple[Finding, ...] = ()

    @property
    def primary(self) -> Node | None:
        """The facet whose words are shown first: a scheduler's before a plain host list's."""
        return next(iter(self.facets.values()), None)


class Store:
    """Everything that is known now.

    `node_key` gives the identity of a machine from (cluster, name). All methods run on the event loop, return at
    once, and hand out records that never change.
    """

    def __init__(self, node_key: Callable[[str, str], str] | None = None) -> None:
        self._node_key = node_key or (lambda _cluster, name: name.split(".", 1)[0])
        self.nodes: dict[str, NodeView] = {}
        self.jobs: dict[JobKey, Job] = {}
        self.sources: dict[str, SourceStatus] = {}
        self.clusters: dict[str, Cluster] = {}
        self.queues: dict[tuple[str, str], Queue] = {}
        self.reservations: dict[tuple[str, str], Reservation] = {}
        self.findings: dict[str, Finding] = {}
        self._readers: list[Changes] = []

    # ---- in

    def apply(self, batch: Batch) -> None:
        """Take one batch of one source."""
        raise NotImplementedError

    # ---- out

    def subscribe(self) -> Changes:
        """Return a change set that grows from now on; give it to `take` to read and empty it."""
        changes = Changes()
        self._readers.append(changes)
        return changes

    def unsubscribe(self, changes: Changes) -> None:
        """Stop filling a change set."""
        self._readers = [reader for reader in self._readers if reader is not changes]

    def history(self, node: str, series: str, index: int | None = None) -> Sequence[float]:
        """Return the ring of one series, oldest first; NaN where a tick had no value; empty when unknown.

        `series` is one of `console.store.history.NODE_SERIES` (index None) or `ACCELERATOR_SERIES` (index: of the
        accelerator), `LINK_SERIES`… as that module lists them.
        """
        raise NotImplementedError


__all__ = ["Iterable", "Iterator", "JobKey", "JobState", "NodeState", "NodeView", "SourceState", "Store"]
