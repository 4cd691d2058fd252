"""A cluster that can be acted on, held in memory: what it is told to do it does, or refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from console.actions.desk import ActionDesk, Surroundings
from console.actions.journal import Journal
from console.actions.policy import Person, Policy
from console.errors import SourceError
from console.model import (
    Actor,
    Call,
    Cluster,
    ClusterKind,
    Draft,
    Effect,
    Job,
    JobState,
    Node,
    NodeState,
    Order,
    Step,
)
from console.plugin import Check
from console.store import Store
from tests.unit.records import batch, queue

NOW = 1_790_000_000.0


class World:
    """One backend with nodes and jobs that change when steps are performed."""

    kind = ClusterKind.SLURM
    requests_per_minute: float | None = None
    node_actions = frozenset({"drain", "resume", "reboot", "power-down", "power-up"})
    job_actions = frozenset(
        {"hold", "release", "cancel", "timelimit", "priority", "move", "requeue", "suspend", "continue"}
    )

    def __init__(self, cluster: str = "lab", nodes: Sequence[Node] = (), jobs: Sequence[Job] = ()) -> None:
        self.cluster = cluster
        self.nodes = {node.name: node for node in nodes}
        self.jobs = {job.id: job for job in jobs}
        self.performed: list[tuple[str, ...]] = []
        self.refuses: dict[str, SourceError] = {}
        self.before_each: Callable[[Step], None] = lambda _step: None
        self.slow_s = 0.0
        self.at_once = 0
        self.most_at_once = 0

    async def look_nodes(self, names: Sequence[str]) -> tuple[Node, ...]:
        return tuple(self.nodes[name] for name in names if name in self.nodes)

    async def look_jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        return tuple(self.jobs[job] for job in ids if job in self.jobs)

    async def plan_nodes(self, order: Order, nodes: Sequence[Node], jobs: Sequence[Job]) -> Draft:
        out = (NodeState.DRAINED, NodeState.DRAINING)
        same = {node.name: f"is {node.state}" for node in nodes if (node.state in out) == (order.action == "drain")}
        steps = tuple(
            Step(
                cluster=self.cluster,
                names=(node.name,),
                run=Call(argv=(order.action, node.name, order.reason or "")),
                timeout_s=5.0,
            )
            for node in nodes
            if node.name not in same
        )
        return Draft(steps=steps, unchanged=same)

    async def plan_jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        steps = tuple(
            Step(cluster=self.cluster, names=(job.id,), run=Call(argv=(order.action, job.id, order.value or "")))
            for job in jobs
        )
        effects = {job.id: Effect.ENDED for job in jobs if order.action == "cancel" and job.state is JobState.RUNNING}
        return Draft(steps=steps, effects=effects)

    async def perform(self, step: Step) -> None:
        self.before_each(step)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.slow_s:
                await asyncio.sleep(self.slow_s)
            action, name, value = step.run.argv
            if name in self.refuses:
                raise self.refuses[name]
            self.performed.append(step.run.argv)
            self._do(action, name, value)
        finally:
            self.at_once -= 1

    def _do(self, action: str, name: str, value: str) -> None:
        replace = msgspec.structs.replace
        if action == "drain":
            self.nodes[name] = replace(self.nodes[name], state=NodeState.DRAINED, reason=value, reason_by="me")
        elif action == "resume":
            self.nodes[name] = replace(self.nodes[name], state=NodeState.UP, reason=None, reason_by=None)
        elif action in ("reboot", "power-down", "power-up"):
            pass
        elif action == "priority":
            self.jobs[name] = replace(self.jobs[name], priority=int(value))
        elif action == "move":
            self.jobs[name] = replace(self.jobs[name], queue=value)
        elif action == "timelimit":
            self.jobs[name] = replace(self.jobs[name], time_limit_s=float(value))
        else:
            states = {
                "hold": JobState.HELD, "release": JobState.PENDING, "cancel": JobState.CANCELLED,
                "requeue": JobState.PENDING, "suspend": JobState.SUSPENDED, "continue": JobState.RUNNING,
            }  # fmt: skip
            self.jobs[name] = replace(self.jobs[name], state=states[action])

    async def doctor(self) -> list[Check]:
        return []

    async def close(self) -> None:
        return None


def worlds_of(store: Store) -> list[World]:
    """Return a world for each cluster of a store, with the nodes and jobs that it lists."""
    facets = [facet for view in store.nodes.values() for facet in view.facets.values()]
    return [
        World(
            cluster,
            [facet for facet in facets if facet.cluster == cluster],
            [job for job in store.jobs.values() if job.cluster == cluster],
        )
        for cluster in store.clusters
    ]


def store_of(*worlds: World) -> Store:
    """Return a store that has listed these clusters."""
    store = Store()
    for world in worlds:
        about = Cluster(name=world.cluster, kind=world.kind)
        store.apply(
            batch(f"slurm:{world.cluster}/nodes", cluster=about, nodes=tuple(world.nodes.values()), complete=("nodes",))
        )
        store.apply(queue(f"slurm:{world.cluster}/jobs", *world.jobs.values()))
    return store


def desk_of(directory: Path, *worlds: World, policy: Policy | None = None, store: Store | None = None) -> ActionDesk:
    """Return the door to acting on these clusters, with a journal in a directory."""
    around = Surroundings(
        person=Person("me", frozenset({"ops"})),
        actor=Actor(user="me", uid=1, host="here", pid=1),
        policy=policy or Policy(),
        journal=Journal(directory),
    )
    return ActionDesk(worlds, store or store_of(*worlds), around, clock=lambda: NOW)
