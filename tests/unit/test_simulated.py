"""The simulated cluster: the same for the same seed, never impossible, and told as changes that add up."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.model import (
    Attention,
    ClusterKind,
    Job,
    JobState,
    Link,
    MountState,
    Node,
    NodeState,
    Order,
    Plan,
    Records,
)
from console.nodeset import expand
from console.store import Store
from console.transport.base import Transport
from plugins.simulated import SimulatedSettings, plugin
from plugins.simulated.backend import CATCH_UP_TICKS, SimulatedBackend
from plugins.simulated.state import FaultKind
from plugins.simulated.world import World
from tests.unit.acting_world import desk_of
from tests.unit.records import batch

EPOCH = 1_790_000_000.0
HOLDING = (JobState.RUNNING, JobState.COMPLETING)


@dataclass
class Clock:
    """A site with a clock that stands still."""

    time: float = EPOCH
    cluster: str = "sim"
    environ: Mapping[str, str] = field(default_factory=dict)

    def now(self) -> float:
        return self.time

    def which(self, program: str) -> str | None:
        raise AssertionError("a simulation looks at nothing")

    def transport(self, via: str | None = None) -> Transport:
        raise AssertionError("a simulation reaches nothing")

    def expand(self, nodeset: str) -> list[str]:
        raise AssertionError("a simulation reads no nodeset")


def opened(clock: Clock, **values: Any) -> SimulatedBackend:
    return plugin.open(msgspec.convert(values, SimulatedSettings), clock)


def world(nodes: int = 64, gpus: int = 8, jobs: int = 640, seed: int = 3, speed: float = 20.0) -> World:
    made = World(nodes, gpus, jobs, seed, speed)
    for _ in made.build():
        pass
    return made


class Listing:
    """What somebody knows who applies answer after answer, as the store does."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.jobs: dict[str, Job] = {}

    def apply(self, records: Records) -> None:
        if "nodes" in records.complete:
            self.nodes = {}
        if "jobs" in records.complete:
            self.jobs = {}
        self.nodes.update({node.name: node for node in records.nodes})
        self.jobs.update({job.id: job for job in records.jobs})
        for gone in records.gone_jobs:
            self.jobs.pop(gone, None)


async def everything(clock: Clock, steps: list[float], **values: Any) -> list[Records]:
    backend = opened(clock, **values)
    answers = []
    for seconds in steps:
        clock.time += seconds
        answers += [await backend.inventory(), await backend.jobs(), await backend.telemetry(Attention())]
    return answers


# ---- determinism


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 40),
    st.lists(st.sampled_from([0.0, 0.4, 1.0, 2.0, 7.0]), min_size=1, max_size=5),
)
def test_same_seed_and_same_ticks_are_the_same_records(seed: int, nodes: int, steps: list[float]) -> None:
    first = asyncio.run(everything(Clock(), steps, nodes=nodes, seed=seed, speed=30.0))
    second = asyncio.run(everything(Clock(), steps, nodes=nodes, seed=seed, speed=30.0))
    assert first == second


async def test_only_the_tick_counts_not_how_often_somebody_asked() -> None:
    often, once = Clock(), Clock()
    a, b = opened(often, nodes=40, seed=9, speed=20), opened(once, nodes=40, seed=9, speed=20)
    await b.telemetry(Attention())
    for _ in range(30):
        await a.telemetry(Attention(visible=("gpu003",)))
        await a.jobs()
        often.time += 1
    once.time += 30
    assert (await a.telemetry(Attention())).samples == (await b.telemetry(Attention())).samples
    mine, theirs = Listing(), Listing()
    fresh = opened(Clock(), nodes=40, seed=9, speed=20)
    for listing, backend in ((mine, a), (theirs, b)):
        listing.apply(await backend.inventory())
    assert mine.nodes == theirs.nodes
    assert mine.nodes != {node.name: node for node in (await fresh.inventory()).nodes}


async def test_another_seed_is_another_cluster() -> None:
    one, other = opened(Clock(), nodes=16, seed=1), opened(Clock(), nodes=16, seed=2)
    assert (await one.jobs()).jobs != (await other.jobs()).jobs
    assert (await one.telemetry(Attention())).samples != (await other.telemetry(Attention())).samples


async def test_it_asks_nobody() -> None:
    backend = opened(Clock(), nodes=16)
    answers = [await backend.inventory(), await backend.jobs(), await backend.telemetry(Attention())]
    assert [answer.requests for answer in answers] == [0, 0, 0]


# ---- changes add up


@pytest.mark.parametrize("nodes", [1, 5, 64])
async def test_changes_applied_equal_a_full_listing(nodes: int) -> None:
    clock = Clock()
    backend = opened(clock, nodes=nodes, seed=4, speed=60)
    listing = Listing()
    first_jobs = await backend.jobs()
    first_nodes = await backend.inventory()
    assert "jobs" in first_jobs.complete
    assert {"nodes", "queues", "reservations"} <= set(first_nodes.complete)
    listing.apply(first_jobs)
    listing.apply(first_nodes)
    for _ in range(150):
        clock.time += 2
        changed = await backend.jobs()
        assert changed.complete == ()
        listing.apply(changed)
        changed = await backend.inventory()
        assert "nodes" not in changed.complete
        listing.apply(changed)
    simulated = backend._world
    assert listing.nodes == {node.at.name: backend._node(node.at.index) for node in simulated.nodes}
    assert set(listing.jobs) == {job.id for job in simulated.scheduler.jobs.values()}
    for job in simulated.scheduler.jobs.values():
        told, true = listing.jobs[job.id], backend._job(job)
        # Priority, estimates and the reason of what waits are re-read in rotation, as a scheduler's are.
        if job.place >= 0:
            told, true = (
                msgspec.structs.replace(record, priority=0, expected_start_at=None, reason=None)
                for record in (told, true)
            )
        assert told == true


async def test_a_cancelled_question_loses_no_change() -> None:
    clock = Clock()
    backend = opened(clock, nodes=64, seed=4, speed=60)
    listing = Listing()
    listing.apply(await backend.jobs())
    clock.time += 40
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plugins.simulated.backend.SLICE_S", -1.0)
        patch.setattr("plugins.simulated.backend.REST_S", 0.0)
        task = asyncio.create_task(backend.jobs())
        for _ in range(40 + 5):
            # Every tick and every sixteen jobs give way once: now it is among the jobs.
            await asyncio.sleep(0)
        assert backend._world.tick == 40
        assert not backend._world.changes.jobs, "what changed is taken"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    listing.apply(await backend.jobs())
    assert set(listing.jobs) == {job.id for job in backend._world.scheduler.jobs.values()}


async def test_after_a_long_absence_the_cluster_stood_still_and_is_told_anew() -> None:
    clock = Clock()
    backend = opened(clock, nodes=32, seed=4)
    before = {job.id: job for job in (await backend.jobs()).jobs}
    clock.time += CATCH_UP_TICKS * 50
    answer = await backend.jobs()
    assert "jobs" in answer.complete
    assert backend._world.tick == 1
    for job in answer.jobs:
        if job.id in before and job.state is JobState.RUNNING:
            assert job.started_at is not None
            assert job.started_at > (before[job.id].started_at or 0.0), "times move with the pause"
            assert job.started_at <= clock.time
    assert "nodes" in (await backend.inventory()).complete
    clock.time -= 500
    assert "jobs" in (await backend.jobs()).complete, "a clock that was set back is no reason to stop"


# ---- never impossible


def check_world(made: World) -> None:
    """Assert what holds at every tick."""
    held: Counter[int] = Counter()
    for node in made.nodes:
        assert node.free == node.slots.count(None)
        for job in node.slots:
            if job is not None:
                held[job.number] += 1
                assert job.state in HOLDING, f"{job.id} is {job.state} and holds a GPU of {node.at.name}"
                assert node.at.index in job.nodes
    scheduler = made.scheduler
    for job in scheduler.jobs.values():
        assert (job.place >= 0) == (job.state in (JobState.PENDING, JobState.HELD)), job
        if job.state in HOLDING:
            assert held.pop(job.number) == job.gpus
            assert len(job.nodes) == job.node_count
            assert job.submit <= job.start <= made.tick
        elif job.place >= 0:
            assert scheduler.waiting[job.place] is job
            assert not job.nodes
    assert not held, "GPUs held by jobs that are not listed"
    for lane in scheduler.lanes:
        assert lane.queue == sorted(lane.queue)
        assert all(not job.blocked and job.place >= 0 for _, _, job in lane.queue)
        assert lane.empty == sorted(lane.empty)
        for index in (*lane.empty, *lane.partial):
            assert made.nodes[index].schedulable
        assert all(made.nodes[index].free == made.gpus for index in lane.empty)
        assert all(made.nodes[index].free == free for index, free in lane.partial.items())


@pytest.mark.parametrize(("nodes", "gpus", "jobs"), [(1, 8, 10), (3, 1, 0), (7, 4, 200), (64, 8, 640), (200, 8, 3000)])
def test_no_gpu_is_given_twice_and_every_state_follows(nodes: int, gpus: int, jobs: int) -> None:
    made = world(nodes, gpus, jobs, seed=nodes, speed=80.0)
    check_world(made)
    started = ended = 0
    for _ in range(600):
        made.step()
        if made.tick % 10 == 0:
            check_world(made)
        for job in made.take_jobs()[0].values():
            started += job.state is JobState.RUNNING
            ended += job.state in (JobState.COMPLETED, JobState.FAILED)
        assert len(made.scheduler.jobs) <= jobs + nodes * gpus + 1
    if jobs:
        assert started
        assert ended


def counts(node: Node) -> tuple[int, int]:
    assert node.accelerators_total is not None
    assert node.accelerators_allocated is not None
    return node.accelerators_total, node.accelerators_allocated


async def test_records_agree_with_one_another() -> None:
    clock = Clock()
    backend = opened(clock, nodes=96, seed=11, speed=40)
    listing = Listing()
    for _ in range(40):
        clock.time += 7
        listing.apply(await backend.jobs())
        listing.apply(await backend.inventory())
    held: Counter[str] = Counter()
    for job in listing.jobs.values():
        assert job.accelerators is not None
        if job.state in HOLDING:
            assert job.nodes
            assert tuple(expand(job.nodes)) == job.node_names
            assert job.node_count == len(job.node_names)
            for name in job.node_names:
                held[name] += job.accelerators // len(job.node_names)
        if job.state in (JobState.PENDING, JobState.HELD):
            assert job.reason
            assert job.started_at is None
            assert job.nodes is None
    for node in listing.nodes.values():
        total, allocated = counts(node)
        assert allocated == held[node.name] <= total
        match node.state:
            case NodeState.BUSY:
                assert allocated
            case NodeState.UP | NodeState.DRAINED:
                assert not allocated
            case NodeState.DRAINING:
                assert allocated
        if node.state in (NodeState.DRAINED, NodeState.DRAINING, NodeState.DOWN):
            assert node.reason
            assert node.reason_by
            assert (node.reason_at or 0) <= clock.time


def numbers(value: Any, path: str = "") -> list[tuple[str, float]]:
    """Return every number in plain builtins with its path."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return []
    if isinstance(value, int | float):
        return [(path, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [pair for key, part in items for pair in numbers(part, f"{path}.{key}")]


async def test_measured_values_are_possible_at_every_tick() -> None:
    clock = Clock()
    backend = opened(clock, nodes=64, seed=5, speed=60)
    for _ in range(60):
        clock.time += 5
        for sample in (await backend.telemetry(Attention())).samples:
            assert sample.observed_at <= clock.time
            for path, value in numbers(msgspec.to_builtins(sample)):
                if "clock_offset_s" in path:
                    continue
                assert value >= 0, path
                if "percent" in path:
                    assert value <= 100, path
            for gpu in sample.accelerators:
                if gpu.state == "lost":
                    assert gpu.utilization_percent is None
                    assert gpu.power_w is None
                    assert "lost" in gpu.missing["utilization_percent"]
                    continue
                assert gpu.power_w is not None
                assert gpu.power_limit_w is not None
                assert gpu.memory_used_bytes is not None
                assert gpu.memory_total_bytes is not None
                assert 50 <= gpu.power_w <= gpu.power_limit_w
                assert gpu.memory_used_bytes <= gpu.memory_total_bytes
                assert 15 <= (gpu.temperature_c or 0) <= 95
            for link in sample.links:
                assert (link.rx_bytes_per_s or 0) * 8 <= (link.rate_bits_per_s or 0)
            for mount in sample.mounts:
                assert (mount.rtt_s is not None) or "rtt_s" in mount.missing or not mount.network


async def test_who_holds_a_gpu_runs_on_it() -> None:
    backend = opened(Clock(), nodes=32, seed=2)
    jobs = {job.id: job for job in (await backend.jobs()).jobs}
    for sample in (await backend.telemetry(Attention())).samples:
        for gpu in sample.accelerators:
            for process in gpu.processes:
                job = jobs[process.job or ""]
                assert sample.node in job.node_names
                assert process.user == job.user


# ---- faults come and go


def test_faults_come_and_go() -> None:
    made = world(200, 8, 1000, seed=1, speed=60.0)
    seen: set[FaultKind] = set()
    over: set[int] = set()
    alive: set[int] = set()
    for _ in range(900):
        made.step()
        now = set(made.faults.active)
        seen |= {fault.kind for fault in made.faults.active.values()}
        over |= alive - now
        alive = now
        carried = {fault.number for node in made.nodes for fault in node.faults}
        stalls = {fault.number for fault in made.faults.stalls.values()}
        assert carried | stalls == now
    assert seen == set(FaultKind)
    assert over
    assert len(alive) < 60, "they do not pile up"


def struck(made: World, kind: FaultKind) -> int:
    """Begin a fault of this kind and return a node that has it."""
    for _ in range(500):
        made.faults._begin(kind, made.tick, 0.0)
        for fault in made.faults.active.values():
            if fault.kind is kind and made.tick - fault.start == 0:
                return fault.nodes[0] if fault.nodes else 0
    raise AssertionError(f"{kind} does not happen")


async def test_a_fault_shows_where_it_should() -> None:
    clock = Clock()
    backend = opened(clock, nodes=64, seed=21, jobs=300)
    await backend.jobs()
    made = backend._world

    lost = made.nodes[struck(made, FaultKind.GPU_LOST)]
    states = [gpu.state for gpu in backend._sample(lost.at.index).accelerators]  # type: ignore[union-attr]
    assert states.count("lost") == 1
    record = backend._node(lost.at.index)
    assert record.state in (NodeState.DRAINING, NodeState.DRAINED)
    assert "Xid 79" in (record.reason or "")
    assert record.reason_by == "healthcheck"

    down = struck(made, FaultKind.NODE_DOWN)
    assert backend._sample(down) is None
    assert backend._node(down).state is NodeState.DOWN
    for job in made.nodes[down].jobs():
        assert job.state is JobState.COMPLETING
        assert job.reason == "NodeFail"

    broken = struck(made, FaultKind.LINK_ERRORS)
    sample = backend._sample(broken)
    assert sample is not None
    assert [link.errors_per_s for link in sample.links if link.errors_per_s]

    struck(made, FaultKind.NFS_STALL)
    row = next(iter(made.faults.stalls))
    index = next(node.at.index for node in made.nodes if node.at.row == row and not node.down)
    sample = backend._sample(index)
    assert sample is not None
    assert {mount.state for mount in sample.mounts if mount.type == "nfs4"} <= {
        MountState.SLOW,
        MountState.HUNG,
    }


async def test_a_flapping_link_goes_down_and_comes_back() -> None:
    clock = Clock()
    backend = opened(clock, nodes=64, seed=21, jobs=300)
    await backend.jobs()
    index = struck(backend._world, FaultKind.LINK_FLAP)
    seen: set[str | None] = set()
    errors: list[int] = []
    for _ in range(40):
        clock.time += 1
        await backend._advance()
        sample = backend._sample(index)
        if sample is not None and backend._world.nodes[index].faults:
            sick: Link = max(sample.links, key=lambda link: link.errors or 0)
            seen.add(sick.state)
            errors.append(sick.errors or 0)
    assert seen == {"up", "down"}
    assert errors == sorted(errors), "a counter since boot never falls while it flaps"


# ---- attention and size


async def test_attention_comes_first_and_every_time() -> None:
    clock = Clock()
    backend = opened(clock, nodes=3000, jobs=100, seed=2)
    names = [node.name for node in (await backend.inventory()).nodes if node.state is not NodeState.DOWN]
    wanted = Attention(visible=tuple(names[2500:2510]), marked=(names[2700],), selected=names[2999 - 60])
    for _ in range(3):
        clock.time += 2
        answer = await backend.telemetry(wanted)
        assert [sample.node for sample in answer.samples[:12]] == [
            wanted.selected,
            *wanted.visible,
            *wanted.marked,
        ]
        assert len(answer.samples) <= 1012
    odd = await backend.telemetry(Attention(visible=("no-such-node",), selected="gone"))
    assert all(sample.node in names for sample in odd.samples)


@pytest.mark.parametrize("nodes", [1000, 2500])
async def test_every_node_is_sampled_in_turn(nodes: int) -> None:
    clock = Clock()
    backend = opened(clock, nodes=nodes, jobs=10, seed=2)
    seen: set[str] = set()
    rounds = -(-nodes // 1000)
    for _ in range(rounds):
        seen |= {sample.node for sample in (await backend.telemetry(Attention())).samples}
        clock.time += 2
    down = {node.name for node in (await backend.inventory()).nodes if node.state is NodeState.DOWN}
    assert len(seen | down) == nodes


async def test_ten_thousand_nodes_leave_room_for_others(
    record_property: Callable[[str, object], None],
) -> None:
    clock = Clock()
    backend = opened(clock, nodes=10_000, seed=7)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    watcher = asyncio.create_task(other())
    began = time.process_time()
    jobs = await backend.jobs()
    nodes = await backend.inventory()
    seconds = time.process_time() - began
    watcher.cancel()
    assert len(nodes.nodes) == 10_000
    assert len(jobs.jobs) == 100_000
    assert turns > 20, "the event loop was held"
    clock.time += 1
    changed = await backend.jobs()
    record_property("first_listing_cpu_s", round(seconds, 2))
    print(f"first listing {seconds:.2f} s CPU, {len(changed.jobs)} of 100,000 jobs changed in one second")
    assert 500 <= len(changed.jobs) <= 2000


# ---- names and settings


async def test_names_are_as_varied_as_real_ones() -> None:
    backend = opened(Clock(), nodes=200, seed=7)
    names = {job.name for job in (await backend.jobs()).jobs}
    assert any(not name.isascii() for name in names)
    assert any(len(name) > 60 for name in names)
    assert any(" " in name for name in names)
    assert len(names) > 100
    records = await backend.inventory()
    assert {node.accelerator_model for node in records.nodes} == {"h100", "h200"}
    assert records.cluster is not None
    assert records.cluster.kind is ClusterKind.SIMULATED
    assert len({node.name for node in records.nodes}) == 200
    assert all(node.address is None for node in records.nodes), "no probe of ours may go looking for them"


@pytest.mark.parametrize(
    "wrong",
    [
        {"nodes": 0},
        {"nodes": 10**6},
        {"nodes": 4, "speed": 0},
        {"nodes": 4, "gpus_per_node": 99},
        {},
        {"nodes": "4"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, SimulatedSettings)


async def test_what_is_done_to_it_becomes_so(tmp_path: Path) -> None:
    now = [1000.0]
    backend = SimulatedBackend("sim", World(16, 8, 200, 3, 1.0), lambda: now[0])
    store = Store()
    for records in (await backend.inventory(), await backend.jobs()):
        store.apply(batch("simulated:sim/nodes", **{name: getattr(records, name) for name in ("nodes", "jobs")}))
    desk = desk_of(tmp_path, backend, store=store)  # type: ignore[arg-type]
    running = next(job for job in store.jobs.values() if job.state is JobState.RUNNING)
    waiting = next(job for job in store.jobs.values() if job.state is JobState.PENDING and not job.array)

    async def done(orders: tuple[Order, ...]) -> Plan:
        plan = await desk.plan(orders)
        result = await desk.carry_out(plan, desk.execution(plan))
        assert result.verified, result.unmet
        return plan

    view = store.nodes[running.node_names[0]]
    drained = await done(desk.node_orders("drain", [view], reason="INC-1"))
    assert running.id in {one.job for one in drained.interrupts}
    (record,) = await backend.look_nodes([view.key])
    assert (record.state, record.reason, record.reason_by) == (NodeState.DRAINING, "INC-1", "me")
    await done((await desk.undo_plan((await desk.attempts())[drained.id])).orders)
    await done(desk.job_orders("hold", [("sim", waiting.id)]))
    await done(desk.job_orders("release", [("sim", waiting.id)]))
    await done(desk.job_orders("timelimit", [("sim", waiting.id)], value="2h"))
    await done(desk.job_orders("cancel", [("sim", waiting.id)]))
    plan = await done(desk.job_orders("cancel", [("sim", running.id)]))
    assert plan.confirm == running.id
    now[0] += 30
    (ended,) = await backend.look_jobs([running.id])
    assert ended.state is JobState.CANCELLED
