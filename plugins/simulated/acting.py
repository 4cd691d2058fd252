"""Acting on the simulated cluster: what is asked for happens there, and nothing is asked of anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from console.errors import NoSuchJob
from console.model import Call, Draft, Effect, Job, JobState, Node, NodeState, Order, Step
from plugins.simulated.explain import find
from plugins.simulated.state import Drain, SimJob
from plugins.simulated.world import World

NODE_ACTIONS = frozenset({"drain", "resume"})
JOB_ACTIONS = frozenset({"cancel", "hold", "release", "timelimit"})
_OUT = frozenset({NodeState.DRAINING, NodeState.DRAINED})
_BACK: Mapping[str, str] = MappingProxyType({"drain": "resume", "hold": "release", "release": "hold"})


def plan_nodes(order: Order, nodes: Sequence[Node]) -> Draft:
    """Return what would be done to nodes."""
    steps, unchanged = [], {}
    for node in nodes:
        if (node.state in _OUT) is (order.action == "drain"):
            unchanged[node.name] = f"is {node.state} already" + (f": {node.reason}" if node.reason else "")
            continue
        undo = ("resume", node.name) if order.action == "drain" else ("drain", node.name, node.reason or "as before")
        arguments = (node.name, order.reason or "", order.by) if order.action == "drain" else (node.name,)
        steps.append(_step(order, node.name, (order.action, *arguments), undo))
    return Draft(steps=tuple(steps), unchanged=unchanged)


def plan_jobs(order: Order, jobs: Sequence[Job]) -> Draft:
    """Return what would be done to jobs."""
    steps: list[Step] = []
    unchanged: dict[str, str] = {}
    effects: dict[str, Effect] = {}
    for job in jobs:
        if why := _nothing_to_do(order.action, job):
            unchanged[job.id] = why
            continue
        undo: tuple[str, ...] | None = None
        arguments: tuple[str, ...] = (order.action, job.id)
        if order.action == "timelimit":
            arguments = (*arguments, order.value or "")
            undo = ("timelimit", job.id, f"{job.time_limit_s or 0:.0f}")
        elif order.action in _BACK:
            undo = (_BACK[order.action], job.id)
        elif job.state is JobState.RUNNING:
            effects[job.id] = Effect.ENDED
        steps.append(_step(order, job.id, arguments, undo))
    return Draft(steps=tuple(steps), effects=effects, unchanged=unchanged)


def _nothing_to_do(action: str, job: Job) -> str | None:
    if job.state.ended or job.state is JobState.COMPLETING:
        return f"has ended already ({job.state})"
    if action == "hold" and job.state is not JobState.PENDING:
        return f"does not wait ({job.state})"
    if action == "release" and job.state is not JobState.HELD:
        return f"is not held ({job.state})"
    return None


def _step(order: Order, name: str, words: tuple[str, ...], undo: tuple[str, ...] | None) -> Step:
    return Step(
        cluster=order.cluster,
        names=(name,),
        run=Call(argv=("simulated", *words)),
        undo=None if undo is None else Call(argv=("simulated", *undo)),
        text=f"{order.action} {name}",
        where="simulated",
    )


def perform(world: World, argv: Sequence[str]) -> None:
    """Let it happen. Raises NoSuchJob."""
    _, action, name, *rest = argv
    if action in NODE_ACTIONS:
        node = world.nodes[world.by_name[name]]
        node.drain = Drain(rest[0], rest[1] if len(rest) > 1 else "", world.tick) if action == "drain" else None
        world.scheduler.release(node)
        return
    job = _job(world, name)
    if action == "timelimit":
        job.limit_s = int(float(rest[0])) if rest[0] else job.limit_s
        world.changes.jobs[job.number] = job
    elif action == "cancel":
        world.scheduler.cancel(job, world.tick)
    elif action == "hold":
        world.scheduler.hold(job)
    else:
        world.scheduler.free(job, world.tick)


def _job(world: World, name: str) -> SimJob:
    job = find(world.scheduler.jobs, name)
    if job is None:
        raise NoSuchJob(f"no simulated job is called {name}", "simulated")
    return job
