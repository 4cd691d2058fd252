"""The simulated cluster as a backend: inventory, queue, telemetry, explanations, logs and acting like any other's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from console.errors import NoSuchJob
from console.model import (
    Attention,
    Cluster,
    ClusterKind,
    Draft,
    Explanation,
    Job,
    JobState,
    LogStream,
    Node,
    Order,
    Records,
    Sample,
    Step,
)
from console.plugin import Check, CheckState
from console.text import clean
from plugins.simulated import acting
from plugins.simulated.explain import explanation, find
from plugins.simulated.output import LINE_S, STEPS_PER_LINE, SimulatedOutput
from plugins.simulated.records import job_record, node_record, queue_records, reservation_record
from plugins.simulated.samples import Sampler
from plugins.simulated.state import SimJob
from plugins.simulated.tables import Tables
from plugins.simulated.world import TICK_S, World

SLICE_S = 0.002
"""How long the event loop is held at a time."""
REST_S = 0.003
"""How long it is left alone in between: a key press takes several turns of the loop, and each would meet a slice."""
CATCH_UP_TICKS = 60
"""A longer absence (a suspended laptop, a pause) is not lived through: the cluster stood still meanwhile."""
PERFORM_S = 0.05
"""How long a step takes."""
SAMPLES_PER_S = 500
"""Samples beyond those of attention: 1,000 nodes every two seconds, larger clusters in rotation."""

Item = TypeVar("Item")
Key = TypeVar("Key")


class SimulatedBackend:
    """A cluster that does not exist. Its capabilities never fail and ask nothing of anybody."""

    kind = ClusterKind.SIMULATED
    requests_per_minute: float | None = None
    inventory_period_s = 2.0
    jobs_period_s = 2.0
    telemetry_period_s = 2.0
    node_actions = acting.NODE_ACTIONS
    job_actions = acting.JOB_ACTIONS

    def __init__(self, cluster: str, world: World, now: Callable[[], float]) -> None:
        self.cluster = cluster
        self._world = world
        self._now = now
        self._sampler = Sampler(world, Tables(world.seed))
        self._origin: float | None = None
        self._moving = asyncio.Lock()
        self._nodes_listed = False
        self._jobs_listed = False
        self._cursor = 0

    # ---- capabilities

    async def inventory(self) -> Records:
        """Return all nodes, queues and reservations the first time; then only what changed."""
        await self._advance()
        world = self._world
        origin = self._at(0)
        changed, reservations = world.take_nodes()
        first = not self._nodes_listed
        try:
            indices: Iterable[int] = range(len(world.nodes)) if first else list(changed)
            nodes = await _sliced(indices, self._node, 0 if first else REST_S)
        except BaseException:
            # Cancelled half-way: what was taken is still news.
            world.changes.nodes.update(changed)
            world.changes.reservations |= reservations
            raise
        complete: tuple[str, ...] = ("reservations",) if reservations or first else ()
        if first:
            self._nodes_listed = True
            complete = ("nodes", "queues", "reservations")
        return Records(
            cluster=Cluster(name=self.cluster, kind=self.kind, version=f"seed {world.seed}"),
            nodes=tuple(nodes),
            queues=queue_records(world.pools, world.machines, self.cluster) if first else (),
            reservations=tuple(
                [
                    reservation_record(fault, name, world.machines, self.cluster, origin)
                    for name, fault in world.faults.reservations.items()
                ]
            )
            if reservations or first
            else (),
            complete=complete,
            requests=0,
            detail="simulated; nothing here exists",
        )

    async def jobs(self) -> Records:
        """Return all jobs the first time; then what changed and what is gone."""
        await self._advance()
        world = self._world
        changed, gone = world.take_jobs()
        first = not self._jobs_listed
        try:
            source = list(world.scheduler.jobs.values()) if first else list(changed.values())
            jobs = await _sliced(source, self._job, 0 if first else REST_S)
        except BaseException:
            # Cancelled half-way: what was taken is still news.
            world.changes.jobs.update(changed)
            world.changes.gone.update(gone)
            raise
        self._jobs_listed = True
        return Records(
            jobs=tuple(jobs),
            gone_jobs=() if first else tuple(gone),
            complete=("jobs",) if first else (),
            requests=0,
            detail="simulated; nothing here exists",
        )

    async def telemetry(self, attention: Attention) -> Records:
        """Return samples: of the nodes that have attention, then of as many others in turn as are due."""
        await self._advance()
        world = self._world
        wanted: dict[int, None] = {}
        selected = (attention.selected,) if attention.selected else ()
        for name in (*selected, *attention.visible, *attention.marked):
            index = world.by_name.get(name)
            if index is not None:
                wanted[index] = None
        total = len(world.nodes)
        for _ in range(min(total, int(SAMPLES_PER_S * self.telemetry_period_s))):
            wanted[self._cursor] = None
            self._cursor = (self._cursor + 1) % total
        samples = await _sliced(wanted, self._sample, REST_S)
        return Records(
            samples=tuple([sample for sample in samples if sample is not None]),
            requests=0,
            detail="simulated; nothing here exists",
        )

    async def explain(self, job_id: str) -> Explanation:
        """Return why a job is where it is. Raises NoSuchJob."""
        sim = await self._find(job_id)
        return explanation(self._job(sim), sim, self._world, job_id, self._at(0))

    async def log_streams(self, job_id: str) -> tuple[LogStream, ...]:
        """Return the outputs of a job: its own, and one of every node's first rank. Raises NoSuchJob."""
        sim = await self._find(job_id)
        if not sim.nodes:
            return ()
        machines = self._world.machines
        folder = f"/home/{sim.user}/logs/{sim.id}"
        streams = [LogStream(name="stdout", path=f"{folder}.out", rank=0, detail="simulated", key={"job": sim.id})]
        for at, index in enumerate(sim.nodes[1:], start=1):
            rank = at * self._world.gpus
            path = f"{folder}-{rank}.out"
            detail = f"simulated, on {machines[index].name}"
            streams.append(LogStream(name=f"rank {rank}", path=path, rank=rank, detail=detail, key={"job": sim.id}))
        return tuple(streams)

    async def open_log(self, stream: LogStream) -> SimulatedOutput:
        """Open an output. Raises NoSuchJob."""
        sim = await self._find(stream.key.get("job", ""))
        steps = int(sim.limit_s / LINE_S) * STEPS_PER_LINE

        def elapsed_s() -> tuple[float, bool]:
            runs = sim.state is JobState.RUNNING
            now = self._now() - self._at(0) if runs else float(sim.end)
            return now - sim.start, runs

        return SimulatedOutput(f"{self._world.seed}:{sim.id}:{stream.rank}", steps, elapsed_s, self._at(sim.start))

    # ---- acting

    async def look_nodes(self, names: Sequence[str]) -> tuple[Node, ...]:
        """Return these nodes as they are."""
        await self._advance()
        by_name = self._world.by_name
        return tuple(self._node(by_name[name]) for name in names if name in by_name)

    async def look_jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """Return these jobs as they are."""
        await self._advance()
        found = (find(self._world.scheduler.jobs, job_id) for job_id in ids)
        return tuple(self._job(sim) for sim in found if sim is not None)

    async def plan_nodes(self, order: Order, nodes: Sequence[Node], jobs: Sequence[Job]) -> Draft:
        """Return what would be done to nodes."""
        return acting.plan_nodes(order, nodes)

    async def plan_jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """Return what would be done to jobs."""
        return acting.plan_jobs(order, jobs)

    async def perform(self, step: Step) -> None:
        """Do it; it takes a moment, as it does elsewhere. Raises SourceError."""
        await asyncio.sleep(PERFORM_S)
        await self._advance()
        acting.perform(self._world, step.run.argv)

    async def doctor(self) -> list[Check]:
        """Say that there is nothing to mend."""
        world = self._world
        await self._advance()
        return [
            Check(
                subject=f"simulated cluster {self.cluster}",
                state=CheckState.OK,
                detail=f"{len(world.nodes)} nodes, {len(world.scheduler.jobs)} jobs, seed {world.seed}",
            )
        ]

    async def close(self) -> None:
        """Nothing is held open."""

    # ---- inside

    async def _find(self, job_id: str) -> SimJob:
        await self._advance()
        sim = find(self._world.scheduler.jobs, job_id)
        if sim is None:
            raise NoSuchJob(f"no simulated job is called {clean(job_id, limit=80)}", self.cluster)
        return sim

    def _at(self, tick: int) -> float:
        return (self._origin or 0.0) + tick * TICK_S

    def _node(self, index: int) -> Node:
        node = self._world.nodes[index]
        return node_record(node, self._world.pools[node.at.pool], self.cluster, self._at(0))

    def _job(self, job: SimJob) -> Job:
        world = self._world
        return job_record(
            job,
            world.scheduler,
            world.machines,
            cluster=self.cluster,
            origin=self._at(0),
            tick=world.tick,
        )

    def _sample(self, index: int) -> Sample | None:
        return self._sampler.sample(self._world.nodes[index], self._at(self._world.tick))

    async def _advance(self) -> None:
        """Bring the world to the tick that the clock says."""
        async with self._moving:
            now = self._now()
            if self._origin is None:
                self._origin = float(int(now))
            world = self._world
            began = time.perf_counter()
            for _ in world.build():
                if time.perf_counter() - began > SLICE_S:
                    # Nobody has anything to press keys on yet, and everybody waits for this.
                    await asyncio.sleep(0)
                    began = time.perf_counter()
            due = int((now - self._origin) / TICK_S) - world.tick
            if due > CATCH_UP_TICKS or due < 0:
                self._origin += (due - 1) * TICK_S
                # Every time in every record moves with the origin, so everything is told anew.
                self._nodes_listed = self._jobs_listed = False
                due = 1
            for _ in range(due):
                world.step()
                if time.perf_counter() - began > SLICE_S:
                    await asyncio.sleep(REST_S)
                    began = time.perf_counter()


async def _sliced(source: Iterable[Key], make: Callable[[Key], Item], rest_s: float) -> list[Item]:
    """Return what `make` makes of every item, letting others run in between."""
    made: list[Item] = []
    began = time.perf_counter()
    for at, item in enumerate(source):
        made.append(make(item))
        if at & 3 == 3 and time.perf_counter() - began > SLICE_S:
            await asyncio.sleep(rest_s)
            began = time.perf_counter()
    return made
