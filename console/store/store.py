"""The store: batches in, merged views and change sets out. No I/O, no clock of its own, no UI."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from math import nan

from console.model import (
    Attempt,
    Batch,
    Cluster,
    Finding,
    Job,
    Node,
    Queue,
    Records,
    Reservation,
    Sample,
    SourceState,
    SourceStatus,
)
from console.model.identity import Identity, NameRule
from console.store.changes import Changes
from console.store.concerning import Concerning
from console.store.digest import NO_SHARE, Layouts, Share, digest
from console.store.history import BUDGET_BYTES, History
from console.store.jobs import JobTable
from console.store.merged import Merged
from console.store.totals import Totals
from console.store.view import LAYER_KINDS, PLAIN_KINDS, JobKey, NodeView, derive_state

SLICE = 128
"""Records between two steps of `apply_steps` (samples: one for sixteen): a millisecond or less."""
FLEET_STEP_S = 2.0
"""Time between two points of the fleet's history."""
EARLY_SAMPLES = 16_384
"""Samples kept of nodes that nobody has listed yet."""

_LIVE = frozenset({SourceState.OK, SourceState.LATE})


class Store:
    """Everything that is known now.

    `node_key` gives the identity of a machine from (cluster, name). All methods run on the event loop, return at
    once, and hand out records that never change.

    A node is there as long as a source lists it. What a source lists stays until that source says that it is gone;
    a source that fails changes its status and nothing else. A sample of a node that nobody lists yet is kept until
    somebody does.
    """

    def __init__(self, node_key: NameRule | None = None, history_bytes: int = BUDGET_BYTES) -> None:
        self._identity = Identity(node_key)
        self._jobs = JobTable(self._identity)
        self._findings: Concerning[str, Finding] = Concerning(self._identity, lambda finding: finding.nodes)
        self._queues: Merged[tuple[str, str], Queue] = Merged()
        self._reservations: Concerning[tuple[str, str], Reservation] = Concerning(
            self._identity, lambda reservation: reservation.node_names
        )
        self.nodes: dict[str, NodeView] = {}
        self.jobs: dict[JobKey, Job] = self._jobs.shown
        self.sources: dict[str, SourceStatus] = {}
        self.clusters: dict[str, Cluster] = {}
        self.queues: dict[tuple[str, str], Queue] = self._queues.shown
        self.reservations: dict[tuple[str, str], Reservation] = self._reservations.shown
        self.findings: dict[str, Finding] = self._findings.shown
        self.attempts: dict[str, Attempt] = {}
        """What the journal of this user holds, by id, the oldest first."""
        self.totals = Totals()
        self.rings = History(history_bytes)
        self._layouts = Layouts()
        self._readers: list[Changes] = []
        self._listed: dict[str, dict[str, str]] = {}
        """Source to the names that it lists, each with its key."""
        self._plain: set[str] = set()
        self._layers: set[str] = set()
        self._probes: dict[str, str] = {}
        """Node key to the source that probes this one node."""
        self._measures: dict[str, set[str]] = {}
        """Source of many nodes' samples to the keys whose sample is its."""
        self._early: dict[str, tuple[str, Sample]] = {}
        self._shares: dict[str, Share] = {}
        """Node key to what its last sample would add to the totals."""
        self._order: dict[str, int] = {}
        """Sources in the order in which they first spoke."""
        self._fleet_at = 0.0

    # ---- in

    def apply(self, batch: Batch) -> None:
        """Take one batch of one source."""
        for _ in self.apply_steps(batch):
            pass

    def apply_steps(self, batch: Batch) -> Iterator[None]:
        """Take one batch in steps of a millisecond or less; between two of them other batches of other sources may be
        applied. Readers see what each step changed."""
        seen = Changes()
        source = batch.status.name
        if batch.ended:
            self._forget_source(source, seen)
        else:
            self._apply_status(batch.status, seen)
        records = batch.records
        if records is not None:
            for _ in self._apply_records(batch.status, records, seen):
                self._publish(seen)
                yield
        self._publish(seen)

    def keep_attempts(self, attempts: Mapping[str, Attempt]) -> None:
        """Take attempts that are new or went on."""
        self.attempts.update(attempts)
        self._publish(Changes(attempts=set(attempts)))

    # ---- out

    def key(self, cluster: str, name: str) -> str:
        """Return the key in `nodes` of a machine as a source of this cluster names it, listed or not."""
        return self._identity.key(cluster, name)

    def subscribe(self) -> Changes:
        """Return a change set that grows from now on; the reader empties it with `Changes.take`."""
        changes = Changes()
        self._readers.append(changes)
        return changes

    def unsubscribe(self, changes: Changes) -> None:
        """Stop filling a change set."""
        self._readers = [reader for reader in self._readers if reader is not changes]

    def history(self, node: str, series: str, index: int | str | None = None) -> array[float]:
        """Return the ring of one series, oldest first; NaN where a tick had no value; empty when unknown.

        `series` is one of `console.store.history.NODE_SERIES` (no index), `ACCELERATOR_SERIES` (index: the
        accelerator's) or `LINK_SERIES` (index: the link's name).
        """
        return self.rings.series(node, series, index)

    def fleet_history(self, series: str) -> array[float]:
        """Return one of `console.store.history.FLEET_SERIES` over the last minutes, oldest first."""
        return self.rings.fleet(series)

    # ---- sources

    def _apply_status(self, status: SourceStatus, seen: Changes) -> None:
        name = status.name
        old = self.sources.get(name)
        if name not in self._order:
            self._order[name] = len(self._order)
            if status.kind in PLAIN_KINDS:
                self._plain.add(name)
            elif status.kind in LAYER_KINDS:
                self._layers.add(name)
        if old == status:
            return
        self.sources[name] = status
        seen.sources.add(name)
        if old is None or old.state is not status.state:
            self.totals.set_source(old, status)
        if status.node is not None:
            key = self._identity.key(status.cluster, status.node)
            self._probes[key] = name
            view = self.nodes.get(key)
            if view is not None:
                self._set_probe(view, status, seen)
        elif old is not None and (old.state in _LIVE) != (status.state in _LIVE):
            for key in self._measures.get(name, ()):
                self._refresh(self.nodes[key], seen)

    def _set_probe(self, view: NodeView, status: SourceStatus | None, seen: Changes) -> None:
        old = view.probe
        view.probe = status
        if old is None or status is None or (old.state, old.error) != (status.state, status.error):
            self._refresh(view, seen)
            seen.nodes.add(view.key)

    def _forget_source(self, name: str, seen: Changes) -> None:
        status = self.sources.pop(name, None)
        if status is None:
            return
        seen.sources.add(name)
        self.totals.set_source(status, None)
        if status.node is not None:
            key = self._identity.key(status.cluster, status.node)
            if self._probes.get(key) == name:
                del self._probes[key]
            view = self.nodes.get(key)
            if view is not None and view.probe is not None and view.probe.name == name:
                self._set_probe(view, None, seen)
        for key in self._measures.pop(name, ()):
            self._refresh(self.nodes[key], seen)

    # ---- records

    def _apply_records(self, status: SourceStatus, records: Records, seen: Changes) -> Iterator[None]:
        source = status.name
        cluster = records.cluster
        if cluster is not None and self.clusters.get(cluster.name) != cluster:
            self.clusters[cluster.name] = cluster
            seen.other = True
        complete = records.complete
        if records.nodes or records.gone_nodes or "nodes" in complete:
            yield from self._apply_nodes(source, records, seen)
        if records.jobs or records.gone_jobs or records.ended_jobs or "jobs" in complete:
            for changed, nodes in self._jobs.apply(source, status.cluster, records, status.observed_at or 0.0):
                self._jobs_changed(changed, nodes, seen)
                yield
        if records.queues or "queues" in complete:
            queues = {(queue.cluster, queue.name): queue for queue in records.queues}
            seen.other |= bool(self._queues.replace(source, queues, "queues" in complete))
        if records.reservations or "reservations" in complete:
            held = {(item.cluster, item.name): item for item in records.reservations}
            touched = self._reservations.replace(source, status.cluster, held, "reservations" in complete)
            self._concerned(touched, seen)
        if records.findings or "findings" in complete:
            findings = {finding.id: finding for finding in records.findings}
            touched = self._findings.replace(source, status.cluster, findings, "findings" in complete)
            self._concerned(touched, seen)
        for count, sample in enumerate(records.samples, 1):
            self._apply_sample(status, sample, seen)
            if count % (SLICE // 16) == 0:
                yield

    def _jobs_changed(self, jobs: Iterable[JobKey], nodes: Iterable[str], seen: Changes) -> None:
        for job_key in jobs:
            seen.jobs.add(job_key)
            self.totals.set_job(job_key, self.jobs.get(job_key))
        for key in nodes:
            view = self.nodes.get(key)
            if view is not None:
                view.jobs = self._jobs.on_node(key)
                seen.nodes.add(key)

    def _concerned(self, nodes: set[str] | None, seen: Changes) -> None:
        """Take that findings or reservations changed, and these nodes are named by them."""
        if nodes is None:
            return
        seen.other = True
        for key in nodes:
            view = self.nodes.get(key)
            if view is not None:
                self._set_concerns(view)
                seen.nodes.add(key)

    def _set_concerns(self, view: NodeView) -> None:
        view.findings = self._findings.on_node(view.key)
        view.reservations = self._reservations.on_node(view.key)

    # ---- nodes

    def _apply_nodes(self, source: str, records: Records, seen: Changes) -> Iterator[None]:
        names = self._listed.setdefault(source, {})
        for count, node in enumerate(records.nodes, 1):
            key = names.get(node.name)
            if key is None:
                key = names[node.name] = self._identity.claim(source, node.cluster, node.name)
            view = self.nodes.get(key)
            if view is None:
                self._add_node(key, source, node, seen)
            elif (old := view.facets.get(source)) is None or (old is not node and old != node):
                self._set_facet(view, source, node)
                seen.nodes.add(key)
                self._refresh(view, seen)
            if count % SLICE == 0:
                yield
        gone = list(records.gone_nodes)
        if "nodes" in records.complete:
            listed = {node.name for node in records.nodes}
            gone += [name for name in names if name not in listed]
        for count, name in enumerate(gone, 1):
            self._drop_facet(source, name, seen)
            if count % SLICE == 0:
                yield

    def _add_node(self, key: str, source: str, node: Node, seen: Changes) -> None:
        view = self.nodes[key] = NodeView(key, {source: node})
        view.jobs = self._jobs.on_node(key)
        self._set_concerns(view)
        probe = self._probes.get(key)
        if probe is not None:
            view.probe = self.sources.get(probe)
        seen.nodes.add(key)
        self._refresh(view, seen)
        early = self._early.pop(key, None)
        if early is not None and early[0] in self.sources:
            self._apply_sample(self.sources[early[0]], early[1], seen)

    def _set_facet(self, view: NodeView, source: str, node: Node) -> None:
        if source in view.facets:
            view.facets[source] = node
            return
        facets = [*view.facets.items(), (source, node)]
        facets.sort(key=lambda facet: (facet[0] in self._plain, facet[0] in self._layers, self._order[facet[0]]))
        view.facets = dict(facets)

    def _drop_facet(self, source: str, name: str, seen: Changes) -> None:
        key = self._listed[source].pop(name, None)
        view = None if key is None else self.nodes.get(key)
        if key is None or view is None:
            return
        facet = view.facets.pop(source)
        self._identity.release(source, facet.cluster, name)
        seen.nodes.add(key)
        if view.facets:
            self._refresh(view, seen)
            return
        del self.nodes[key]
        self.totals.drop_node(key)
        self.rings.drop(key)
        self._shares.pop(key, None)
        if view.sample_source is not None:
            self._measures.get(view.sample_source, set()).discard(key)
        if view.probe is not None:
            self._forget_source(view.probe.name, seen)

    def _refresh(self, view: NodeView, seen: Changes) -> None:
        """Derive again what hangs on several things at once: the state and the totals."""
        state = derive_state(view, self._plain)
        if state is not view.state:
            view.state = state
            seen.nodes.add(view.key)
        share = NO_SHARE
        if view.sample_source is not None:
            status = self.sources.get(view.sample_source)
            if status is not None and status.state in _LIVE:
                share = self._shares.get(view.key, NO_SHARE)
        self.totals.set_share(view.key, share)
        self.totals.set_node(view.key, view)

    # ---- samples

    def _apply_sample(self, status: SourceStatus, sample: Sample, seen: Changes) -> None:
        key = self._identity.key(status.cluster, sample.node)
        source = status.name
        view = self.nodes.get(key)
        if view is None:
            if len(self._early) < EARLY_SAMPLES or key in self._early:
                self._early[key] = (source, sample)
            return
        if view.sample_source != source:
            if status.node is None and view.probe is not None and view.probe.state is SourceState.OK:
                return  # our own probe of this node is live and sees more than a source of many nodes
            if view.sample_source is not None:
                self._measures.get(view.sample_source, set()).discard(key)
            view.sample_source = source
            if status.node is None:
                self._measures.setdefault(source, set()).add(key)
        elif view.sample == sample:
            return
        view.sample = sample
        seen.nodes.add(key)
        layout = self._layouts.of(sample)
        try:
            row, self._shares[key] = digest(sample)
        except (OverflowError, ValueError):  # a number past all floats, or none: nothing to add up or to plot
            row, self._shares[key] = layout.unknown(), Share(gpus=len(sample.accelerators), measured=1)
        self.rings.add(key, sample.observed_at, layout, row)
        self._refresh(view, seen)
        if sample.observed_at - self._fleet_at >= FLEET_STEP_S or sample.observed_at < self._fleet_at - 3600:
            self._fleet_at = sample.observed_at
            self.rings.add_fleet(sample.observed_at, self._fleet_row())

    def _fleet_row(self) -> array[float]:
        totals = self.totals
        values = (totals.utilization_percent, totals.power_w, totals.traffic, totals.gpus_busy)
        return array("f", [nan if value is None else value for value in values])

    def _publish(self, seen: Changes) -> None:
        if seen:
            for reader in self._readers:
                reader.add(seen)
            seen.take()
