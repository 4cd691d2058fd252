"""The store against a naive model: any batches of several sources, in any order, give the same merged result."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from console.model import Batch, Job, JobState, Node, NodeState, Records, Sample, SourceState, SourceStatus
from console.store import Store
from tests.unit.records import gpu, sample

SOURCES = {"slurm:lab/nodes": "slurm", "pbs:lab/nodes": "pbs", "ssh:lab/nodes": "ssh"}
NAMES = ("n1", "n2", "n3.dc1", "n4")

nodes = st.lists(
    st.builds(
        Node,
        name=st.sampled_from(NAMES),
        cluster=st.just("lab"),
        state=st.sampled_from([NodeState.UNKNOWN, NodeState.UP, NodeState.BUSY, NodeState.DOWN]),
        accelerators_total=st.sampled_from([None, 0, 8]),
        accelerators_allocated=st.sampled_from([None, 0, 3]),
    ),
    max_size=4,
    unique_by=lambda node: node.name,
)
jobs = st.lists(
    st.builds(
        Job,
        id=st.sampled_from("12345"),
        cluster=st.just("lab"),
        state=st.sampled_from([JobState.RUNNING, JobState.PENDING, JobState.COMPLETED]),
        node_names=st.lists(st.sampled_from([*NAMES, "n1.dc1"]), max_size=3).map(tuple),
        accelerators=st.sampled_from([None, 2]),
    ),
    max_size=5,
    unique_by=lambda job: job.id,
)
states = st.sampled_from([SourceState.OK, SourceState.LATE, SourceState.UNREACHABLE, SourceState.DENIED])


def key(name: str) -> str:
    return name.split(".", 1)[0]


class StoreMachine(RuleBasedStateMachine):
    """Feeds both, compares after every step; the changes must name exactly what differs."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.changes = self.store.subscribe()
        self.order: list[str] = []
        self.listed: dict[str, dict[str, Node]] = {}
        self.queued: dict[str, dict[str, Job]] = {}
        self.samples: dict[str, Sample] = {}
        self.probes: dict[str, SourceState] = {}
        self.before: dict[str, object] = {}
        self.at = 0.0

    def send(self, source: str, records: Records | None, state: SourceState = SourceState.OK) -> None:
        if source not in self.order:
            self.order.append(source)
        kind = SOURCES.get(source, source.partition(":")[0])
        status = SourceStatus(name=source, kind=kind, cluster="lab", state=state)
        self.store.apply(Batch(status=status, records=records))

    @rule(source=st.sampled_from(sorted(SOURCES)), nodes=nodes, complete=st.booleans())
    def list_nodes(self, source: str, nodes: list[Node], complete: bool) -> None:
        table = self.listed.setdefault(source, {})
        if complete:
            table.clear()
        table.update({key(node.name): node for node in nodes})
        self.send(source, Records(nodes=tuple(nodes), complete=("nodes",) if complete else ()))
        self.forget()

    @rule(source=st.sampled_from(sorted(SOURCES)), names=st.lists(st.sampled_from(NAMES), max_size=2))
    def nodes_go(self, source: str, names: list[str]) -> None:
        for name in names:
            self.listed.setdefault(source, {}).pop(key(name), None)
        self.send(source, Records(gone_nodes=tuple(names)))
        self.forget()

    @rule(source=st.sampled_from(["slurm:lab/jobs", "pbs:lab/jobs"]), jobs=jobs, complete=st.booleans())
    def list_jobs(self, source: str, jobs: list[Job], complete: bool) -> None:
        if not (jobs or complete):
            return
        table = self.queued.setdefault(source, {})
        if complete:
            table.clear()
        table.update({job.id: job for job in jobs})
        self.send(source, Records(jobs=tuple(jobs), complete=("jobs",) if complete else ()))

    @rule(source=st.sampled_from(sorted(SOURCES)), state=states)
    def source_fails(self, source: str, state: SourceState) -> None:
        self.send(source, None, state)

    @rule(name=st.sampled_from(NAMES), percent=st.sampled_from([0.0, 50.0]), state=states)
    def probe_ticks(self, name: str, percent: float, state: SourceState) -> None:
        if key(name) not in self.rows():
            return  # the feed probes only what is listed
        self.at += 1.0
        ok = state is SourceState.OK
        seen = sample(name, self.at, gpu(0, percent))
        status = SourceStatus(name=f"ssh:{key(name)}", kind="ssh", cluster="lab", node=name, state=state)
        self.store.apply(Batch(status=status, records=Records(samples=(seen,)) if ok else None))
        self.probes[key(name)] = state
        if ok:
            self.samples[key(name)] = seen

    def rows(self) -> set[str]:
        return {name for table in self.listed.values() for name in table}

    def forget(self) -> None:
        rows = self.rows()
        for gone in [name for name in self.probes if name not in rows]:
            del self.probes[gone]
            self.samples.pop(gone, None)

    def facets(self, name: str) -> list[Node]:
        order = sorted(self.listed, key=lambda source: (SOURCES[source] == "ssh", self.order.index(source)))
        return [self.listed[source][name] for source in order if name in self.listed[source]]

    def state(self, name: str) -> NodeState:
        words = NodeState.UNKNOWN
        for source in sorted(self.listed, key=lambda source: (SOURCES[source] == "ssh", self.order.index(source))):
            facet = self.listed[source].get(name)
            if facet is not None and facet.state is not NodeState.UNKNOWN:
                if SOURCES[source] != "ssh":
                    return facet.state
                words = facet.state
        probe = self.probes.get(name)
        if probe is SourceState.UNREACHABLE:
            return NodeState.UNREACHABLE
        if probe in (SourceState.OK, SourceState.LATE):
            seen = self.samples.get(name)
            working = seen is not None and (seen.accelerators[0].utilization_percent or 0) >= 1
            return NodeState.BUSY if working else NodeState.UP
        return words

    def shown_jobs(self) -> dict[tuple[str, str], Job]:
        shown: dict[tuple[str, str], Job] = {}
        for table in self.queued.values():
            for job in table.values():
                known = shown.setdefault(("lab", job.id), job)
                if known.state.ended and not job.state.ended:
                    shown["lab", job.id] = job  # what lives is shown before what somebody else saw end
        return shown

    def jobs_on(self, name: str) -> set[tuple[str, str]]:
        return {
            job_key
            for job_key, job in self.shown_jobs().items()
            if job.state is JobState.RUNNING and name in map(key, job.node_names)
        }

    @invariant()
    def same(self) -> None:
        store, rows, shown = self.store, self.rows(), self.shown_jobs()
        assert set(store.nodes) == rows
        for name in rows:
            view = store.nodes[name]
            assert list(view.facets.values()) == self.facets(name)
            assert view.state is self.state(name)
            assert view.sample == self.samples.get(name)
            assert set(view.jobs) == self.jobs_on(name)
            assert len(view.jobs) == len(set(view.jobs))
        assert store.jobs == shown
        self.same_totals(rows, shown.values())
        self.same_changes()

    def same_totals(self, rows: Iterable[str], jobs: Iterable[Job]) -> None:
        totals = self.store.totals
        assert +totals.node_states == self.count(self.state(name) for name in rows)
        assert +totals.job_states == self.count(job.state for job in jobs)
        total = busy = measured = 0
        for name in rows:
            facets, seen = self.facets(name), self.samples.get(name)
            live = seen is not None and self.probes[name] in (SourceState.OK, SourceState.LATE)
            working = int(live and seen is not None and (seen.accelerators[0].utilization_percent or 0) >= 1)
            listed = [facet.accelerators_total for facet in facets if facet.accelerators_total is not None]
            held = [facet.accelerators_allocated for facet in facets if facet.accelerators_allocated is not None]
            total += listed[0] if listed else int(seen is not None)
            busy += held[0] if held else working
            measured += live
        assert (totals.gpus, totals.gpus_busy, totals.measured) == (total, busy, measured)

    @staticmethod
    def count(items: Iterable[object]) -> dict[object, int]:
        found: dict[object, int] = {}
        for item in items:
            found[item] = found.get(item, 0) + 1
        return found

    def same_changes(self) -> None:
        """What changed is what a comparison with the last look finds; a probe's failing is news of its node."""
        now: dict[str, object] = {}
        for name, view in self.store.nodes.items():
            probe = None if view.probe is None else (view.probe.state, view.probe.error)
            now[name] = (tuple(view.facets.items()), view.state, view.sample, view.jobs, probe)
        seen = self.changes.take()
        differ = {name for name in now.keys() | self.before.keys() if now.get(name) != self.before.get(name)}
        assert seen.nodes >= differ, "a change that no reader hears of"
        back_again = {name for name in seen.nodes - differ if name in now}
        assert not back_again, "a change that is none"
        self.before = now


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestStoreAgainstModel = StoreMachine.TestCase
