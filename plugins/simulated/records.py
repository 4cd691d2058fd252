"""From the state of the simulation to the records of the console."""

from __future__ import annotations

from console.model import ArrayPart, Job, JobState, JobUsage, Node, NodeState, Queue, Reservation
from plugins.simulated.layout import (
    CPUS,
    CPUS_PER_GPU,
    MEMORY_BYTES,
    MEMORY_PER_GPU_BYTES,
    Place,
    Pool,
    fold,
)
from plugins.simulated.scheduler import AGE_WEIGHT, FIRST, Scheduler
from plugins.simulated.state import Fault, SimJob, SimNode

_WORDS = {
    JobState.PENDING: "PENDING",
    JobState.HELD: "PENDING",
    JobState.RUNNING: "RUNNING",
    JobState.COMPLETING: "COMPLETING",
    JobState.COMPLETED: "COMPLETED",
    JobState.FAILED: "FAILED",
    JobState.TIMEOUT: "TIMEOUT",
    JobState.CANCELLED: "CANCELLED",
}
_MAINTENANCE = "MAINT"
_TIME_LIMITS = {"interactive": 12 * 3600.0, "inference": None, "shared": 86400.0}


def node_state(node: SimNode) -> tuple[NodeState, str]:
    """Return the state of a node in our words and in the scheduler's."""
    used = len(node.slots) - node.free
    word = "IDLE" if not used else "MIXED" if node.free else "ALLOCATED"
    if node.down:
        return NodeState.DOWN, "DOWN*+DRAIN" if node.drain else "DOWN*"
    if node.drain:
        return (NodeState.DRAINING if used else NodeState.DRAINED), f"{word}+DRAIN"
    if node.reserved:
        if node.reserved.startswith(_MAINTENANCE.lower()):
            return NodeState.MAINTENANCE, f"{word}+MAINTENANCE"
        return NodeState.RESERVED, f"{word}+RESERVED"
    if used:
        completing = any(job is not None and job.state is JobState.COMPLETING for job in node.slots)
        return NodeState.BUSY, f"{word}+COMPLETING" if completing else word
    return NodeState.UP, word


def node_record(node: SimNode, pool: Pool, cluster: str, origin: float) -> Node:
    """Return a node as the scheduler would list it."""
    at = node.at
    total = len(node.slots)
    used = total - node.free
    state, word = node_state(node)
    drain = node.drain
    reason = drain.reason if drain else "Not responding" if node.down else None
    return Node(
        name=at.name,
        cluster=cluster,
        state=state,
        scheduler_state=word,
        reason=reason,
        reason_by=drain.by if drain else "slurm" if node.down else None,
        reason_at=origin + drain.tick
        if drain
        else origin + node.faults[0].start
        if node.down and node.faults
        else None,
        partitions=pool.partitions,
        features=(at.kind.feature, "ib-ndr", f"row-{at.row + 1}"),
        cpus=CPUS,
        cpus_allocated=used * CPUS_PER_GPU,
        memory_total_bytes=MEMORY_BYTES,
        memory_allocated_bytes=used * MEMORY_PER_GPU_BYTES,
        accelerators_total=total,
        accelerators_allocated=used,
        accelerator_model=at.kind.feature,
        rack=at.rack,
        booted_at=origin + node.booted,
    )


def job_record(
    job: SimJob, scheduler: Scheduler, machines: list[Place], *, cluster: str, origin: float, tick: int
) -> Job:
    """Return a job as the scheduler would list it at a tick."""
    waits = job.place >= 0
    reason = job.reason
    if waits:
        started = ends = expected = None
        if not job.blocked and reason == "Priority":
            rank = scheduler.rank(job)
            reason = "Resources" if rank is not None and rank < FIRST else reason
        estimate = scheduler.estimate(job, tick)
        expected = None if estimate is None else origin + estimate
        names: tuple[str, ...] = ()
        folded = None
    else:
        started, expected = origin + job.start if job.nodes else None, None
        over = job.state not in (JobState.RUNNING, JobState.COMPLETING)
        ends = origin + job.end if over or started is None else started + job.limit_s
        names = tuple([machines[index].name for index in job.nodes])
        folded = fold(machines, job.nodes) if names else None
    array = None
    if job.tasks:
        # Started tasks are records of their own, so this one stands for the others.
        array = ArrayPart(id=str(job.number), tasks=job.waiting, pending=job.waiting)
    elif job.array is not None:
        array = ArrayPart(id=str(job.array), tasks=1, running=1 if job.state is JobState.RUNNING else 0)
    age = (tick if waits else job.start) * AGE_WEIGHT
    return Job(
        id=job.id,
        cluster=cluster,
        name=job.name,
        user=job.user,
        account=job.account,
        state=job.state,
        scheduler_state=_WORDS[job.state],
        reason=reason,
        queue=job.profile.queue,
        qos=job.profile.qos,
        nodes=folded,
        node_names=names,
        node_count=job.node_count,
        cpus=job.gpus * CPUS_PER_GPU,
        memory_bytes=job.gpus * MEMORY_PER_GPU_BYTES,
        accelerators=job.gpus,
        submitted_at=origin + job.submit,
        started_at=started,
        expected_start_at=expected,
        ends_at=ends,
        time_limit_s=float(job.limit_s),
        priority=0 if job.state is JobState.HELD else max(1, job.weight + age),
        array=array,
        dependency=job.dependency if waits else None,
        work_dir=f"/home/{job.user}",
        exit_code=job.exit_code,
        usage=_usage(job) if job.state.ended and started is not None else None,
    )


def _usage(job: SimJob) -> JobUsage:
    """Return what accounting would have recorded: most jobs use what they hold, some do not."""
    lot = job.number * 2654435761 % 1000 / 1000
    used = 0.05 + 0.9 * min(1.0, 3 * lot)
    return JobUsage(
        cpu_percent=100 * used,
        memory_peak_bytes=int(job.gpus * MEMORY_PER_GPU_BYTES * (0.1 + 0.8 * lot)),
        accelerator_percent=100 * used if job.gpus else None,
    )


def queue_records(pools: tuple[Pool, ...], machines: list[Place], cluster: str) -> tuple[Queue, ...]:
    """Return the partitions."""
    found = []
    for pool in pools:
        for partition in pool.partitions:
            limit = _TIME_LIMITS.get(partition, 4 * 86400.0)
            found.append(
                Queue(
                    name=partition,
                    cluster=cluster,
                    state="UP",
                    default=partition == "train",
                    nodes_total=len(pool.nodes),
                    nodes=fold(machines, pool.nodes),
                    time_limit_s=limit,
                    priority=10 if partition == "interactive" else 1,
                    missing={} if limit else {"time_limit_s": "unlimited"},
                )
            )
    return tuple(found)


def reservation_record(fault: Fault, name: str, machines: list[Place], cluster: str, origin: float) -> Reservation:
    """Return nodes that are set aside."""
    maintenance = name.startswith(_MAINTENANCE.lower())
    return Reservation(
        name=name,
        cluster=cluster,
        state="ACTIVE",
        nodes=fold(machines, fault.nodes),
        node_names=tuple([machines[index].name for index in fault.nodes]),
        starts_at=origin + fault.start,
        ends_at=origin + fault.end,
        users=("root",) if maintenance else ("gmoreau", "nokafor"),
        accounts=() if maintenance else ("alignment",),
        flags=(_MAINTENANCE, "IGNORE_JOBS") if maintenance else ("SPEC_NODES",),
    )
