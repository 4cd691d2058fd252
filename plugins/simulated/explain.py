"""Why a simulated job waits, or how it ended."""

from __future__ import annotations

from collections.abc import Iterable

from console.model import (
    Cause,
    Dependency,
    Event,
    Explanation,
    Fit,
    Job,
    JobState,
    Limit,
    NodeState,
    PriorityPart,
)
from plugins.simulated.layout import fold
from plugins.simulated.records import node_state
from plugins.simulated.scheduler import AGE_WEIGHT
from plugins.simulated.state import SimJob, SimNode
from plugins.simulated.world import World

HIGH_QOS = 30_000
_WAITING = (JobState.PENDING, JobState.HELD)
_TEXTS = {
    "Priority": ("jobs with a higher priority come first", "wait, or ask for less so that it fits into a gap"),
    "Resources": ("it is next, and what it asks for is not free at once", "wait until running jobs end"),
    "QOSMaxGRESPerUser": (
        "with it, its owner would hold more GPUs than its QOS allows",
        "wait until one of them ends",
    ),
    "AssocGrpGRES": ("with it, its account would hold more GPUs than it may", "wait until jobs of the account end"),
    "QOSMaxJobsPerUserLimit": (
        "with it, its owner would run more jobs than its QOS allows",
        "wait until one of them ends",
    ),
    "Dependency": ("another job must end before it", "nothing, while that one runs"),
    "DependencyNeverSatisfied": ("the job that it depends on has failed", "cancel it, or drop the dependency"),
    "BeginTime": ("the earliest start that was asked for has not come", "wait"),
    "JobHeldUser": ("its owner holds it", "release it"),
    "JobHeldAdmin": ("an administrator holds it", "ask the administrators why"),
    "Licenses": ("no licence that it asks for is free", "wait until another job gives one back"),
    "ReqNodeNotAvail": ("a node that it cannot do without is drained or down", "leave the choice of nodes free"),
    "NonZeroExitCode": ("its program ended with an error of its own", "read the end of its output"),
    "TimeLimit": ("it ran until its time limit", "ask for more time"),
}


def find(jobs: dict[int, SimJob], job_id: str) -> SimJob | None:
    """Return a job by the id that it is listed under; of an array's waiting task the array."""
    head, _, task = job_id.partition("_")
    array = jobs.get(int(head)) if head.isdigit() else None
    if not task:
        return array
    started = next((job for job in jobs.values() if job.id == job_id), None)
    return array if started is None and array is not None and array.tasks else started


def explanation(job: Job, sim: SimJob, world: World, asked: str, origin: float) -> Explanation:
    """Return what is known of one job; `job` is its record, `origin` the time of tick 0."""
    waits = job.state in _WAITING
    reason = (job.reason or "").partition(",")[0]
    text, step = _TEXTS.get(reason, (job.reason or "", ""))
    causes = (Cause(code=job.reason or "", text=text, next_step=step),) if text else ()
    rank = world.scheduler.rank(sim)
    return Explanation(
        cluster=job.cluster,
        job=asked,
        state=job.state,
        summary=_summary(job, text),
        causes=causes,
        expected_start_at=job.expected_start_at,
        estimate_source="the simulation, by the mean length of what runs" if job.expected_start_at else None,
        position=None if rank is None else rank + 1,
        priority=_priority(job, sim, world.tick) if waits and job.priority else (),
        limits=_limits(sim, reason, world.scheduler.jobs.values()),
        fits=tuple(_fits(sim, world)) if waits else (),
        dependencies=_dependencies(sim, world.scheduler.jobs) if waits else (),
        events=tuple(_events(job, sim, origin)),
        missing={} if job.expected_start_at or not waits else {"expected_start_at": "nobody would guess so far ahead"},
    )


def _summary(job: Job, text: str) -> str:
    if job.state in _WAITING:
        return f"It waits: {text}."
    if job.state is JobState.RUNNING:
        return f"It runs on {job.nodes}."
    return f"It is {job.state}{f': {text}' if text else ''}."


def _priority(job: Job, sim: SimJob, tick: int) -> tuple[PriorityPart, ...]:
    age = float((tick - sim.submit) * AGE_WEIGHT)
    quality = float(HIGH_QOS) if sim.profile.qos == "high" else 0.0
    rest = float(job.priority or 0) - age - quality
    parts = (("age", age), ("QOS", quality), ("fair share", rest))
    return tuple(PriorityPart(name=name, value=value) for name, value in parts if value)


def _limits(sim: SimJob, reason: str, jobs: Iterable[SimJob]) -> tuple[Limit, ...]:
    """Return the limit that a reason names, one that the job just does not keep: the simulation has no other."""
    running = [job for job in jobs if job.state is JobState.RUNNING]
    own = [job for job in running if job.user == sim.user]
    if reason == "QOSMaxJobsPerUserLimit":
        scope, resource, used, asked = f"QOS {sim.profile.qos}, user {sim.user}", "jobs", len(own), 1
    elif reason == "QOSMaxGRESPerUser":
        gpus = sum(job.gpus for job in own)
        scope, resource, used, asked = f"QOS {sim.profile.qos}, user {sim.user}", "gpu", gpus, sim.gpus
    elif reason == "AssocGrpGRES":
        gpus = sum(job.gpus for job in running if job.account == sim.account)
        scope, resource, used, asked = f"account {sim.account}", "gpu", gpus, sim.gpus
    else:
        return ()
    return (Limit(scope=scope, resource=resource, used=used, limit=max(used, asked // 2), asked=asked),)


def _fits(sim: SimJob, world: World) -> Iterable[Fit]:
    groups: dict[str, list[SimNode]] = {}
    share = world.gpus if sim.profile.whole else sim.gpus
    for index in world.scheduler.lanes[sim.pool].pool.nodes:
        node = world.nodes[index]
        groups.setdefault(_why_not(node, share), []).append(node)
    for why, nodes in sorted(groups.items()):
        names = fold(world.machines, [node.at.index for node in nodes])
        yield Fit(why=why, count=len(nodes), nodes=names, accelerators_free=sum(node.free for node in nodes))


def _why_not(node: SimNode, share: int) -> str:
    state, _ = node_state(node)
    if state in (NodeState.UP, NodeState.BUSY):
        if node.free >= share:
            return "free now"
        return "fragmented: too few GPUs free on each" if node.free else "busy"
    return f"reserved for {node.reserved}" if node.reserved else str(state)


def _dependencies(sim: SimJob, jobs: dict[int, SimJob]) -> tuple[Dependency, ...]:
    condition, _, other_id = (sim.dependency or "").partition(":")
    if not other_id:
        return ()
    other = find(jobs, other_id)
    known = (None, None) if other is None else (other.name, other.state)
    return (Dependency(id=other_id, condition=condition, name=known[0], state=known[1]),)


def _events(job: Job, sim: SimJob, origin: float) -> Iterable[Event]:
    yield Event(job.submitted_at, f"submitted by {job.user} to {job.queue}")
    if sim.eligible is not None:
        yield Event(origin + sim.eligible, "eligible to start")
    if job.started_at is not None:
        yield Event(job.started_at, f"started on {job.nodes}")
    if job.state not in (*_WAITING, JobState.RUNNING, JobState.COMPLETING):
        code = "" if job.exit_code is None else f", exit code {job.exit_code}"
        yield Event(job.ends_at, f"ended: {job.state}{code}")
