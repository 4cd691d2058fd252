"""What slurmrestd tells, in the words of squeue, scontrol and sdiag. Pure.

What the words mean is known to the readers of those alone, so that all ways give the same records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.errors import BadAnswer
from console.text import clean
from plugins.slurm import parse, times
from plugins.slurm.arrays import Told
from plugins.slurm.nodes import Described, Tail, free, plain_reason
from plugins.slurm.parse import Config, Controller, Counters
from plugins.slurm.rest_wire import (
    Count,
    JobWire,
    Meta,
    NodesOf,
    NodeWire,
    Number,
    PartitionWire,
    Ping,
    Pings,
    Release,
    ReservationWire,
    Statistics,
    Words,
)
from plugins.slurm.states import job_word
from plugins.slurm.ways import Pulse
from plugins.slurm.weather import Reading

_UNLIMITED = "UNLIMITED"


# ---- the words of squeue


def _text(value: Count, nothing: str = "") -> str:
    """Return a number as Slurm's commands print it; `nothing` is what null meant before v0.0.39."""
    if isinstance(value, Number):
        if value.infinite:
            return _UNLIMITED
        return f"{value.number:.0f}" if value.set else ""
    return nothing if value is None else f"{value:.0f}"


def _all(value: Words) -> tuple[str, ...]:
    return tuple(value.split(",")) if isinstance(value, str) and value else tuple(value or ())


def job(wire: JobWire) -> Told | None:
    """Return a job in the words of squeue, by its names of them; None: squeue would not list it."""
    state = job_word(tuple([word.upper() for word in _all(wire.job_state)]))
    if state is None:
        return None
    number = str(wire.job_id)
    told = {
        "JobArrayID": _job_id(wire, number),
        "JobID": number,
        "State": state,
        "Reason": wire.state_description or wire.state_reason,
        "UserName": wire.user_name or str(wire.user_id or ""),
        "Account": wire.account,
        "Partition": wire.partition,
        "QOS": wire.qos,
        "NumNodes": _text(wire.node_count),
        "NumCPUs": _text(wire.cpus),
        "NumTasks": _text(wire.tasks),
        "PriorityLong": _text(wire.priority),
        "SubmitTime": _text(wire.submit_time),
        "StartTime": _text(wire.start_time),
        "EndTime": _text(wire.end_time),
        "TimeLimit": _text(wire.time_limit, _UNLIMITED),
        "tres-alloc": wire.tres_alloc_str or wire.tres_req_str,
        "tres-per-job": wire.tres_per_job,
        "tres-per-node": wire.tres_per_node,
        "tres-per-socket": wire.tres_per_socket,
        "tres-per-task": wire.tres_per_task,
        "NodeList": wire.nodes,
        "Reservation": wire.resv_name,
        "Dependency": wire.dependency,
        "WorkDir": wire.current_working_directory,
        "Comment": wire.comment,
        "Name": wire.name,
    }
    return {name: text or "" for name, text in told.items()}


def _job_id(job: JobWire, number: str) -> str:
    array, task, first = _text(job.array_job_id), _text(job.array_task_id), _text(job.het_job_id)
    if job.array_task_string:
        return f"{array}_[{job.array_task_string}]"
    if array not in ("", "0") and task:
        return f"{array}_{task}"
    return number if first in ("", "0") else f"{first}+{_text(job.het_job_offset)}"


# ---- the words of scontrol


def node(wire: NodeWire) -> Described:
    """Return a node in the words of scontrol. BadAnswer when it has no state."""
    state = "+".join([*_all(wire.state), *wire.state_flags]).upper()
    if not state:
        raise BadAnswer("slurmrestd gave a node without a state", clean(wire.name, limit=120), "it is asked again soon")
    told: Mapping[str, Any] = {
        "NodeName": wire.name,
        "State": state,
        "NodeHostName": wire.hostname,
        "NodeAddr": wire.address,
        "Arch": wire.architecture,
        "Version": wire.version or wire.slurmd_version,
        "Owner": wire.owner,
        "Partitions": ",".join(_all(wire.partitions)),
        "AvailableFeatures": ",".join(_all(wire.features)),
        "ActiveFeatures": ",".join(_all(wire.active_features)),
        "CPUTot": _text(wire.cpus),
        "CPUAlloc": _text(wire.alloc_cpus),
        "RealMemory": _text(wire.real_memory),
        "AllocMem": _text(wire.alloc_memory),
        "BootTime": _text(wire.boot_time),
        "Gres": wire.gres,
        "GresUsed": wire.gres_used,
        "GresDrain": wire.gres_drained,
        "CfgTRES": wire.tres,
        "AllocTRES": wire.tres_used,
    }
    at = times.epoch(_text(wire.reason_changed_at))
    by = clean(wire.reason_set_by_user or "", limit=128)
    tail = Tail(
        reason=plain_reason(wire.reason or ""),
        reason_by=by if by and wire.reason and at is not None else None,
        reason_at=at if wire.reason else None,
        comment=free(wire.comment or ""),
        extra=free(wire.extra or ""),
        reservation=parse.known(wire.reservation),
    )
    value = {key: str(word) for key, word in told.items() if word is not None}
    return Described(value, parse.known(wire.operating_system, 256), tail)


def partition(wire: PartitionWire) -> Mapping[str, str]:
    """Return a partition in the words of scontrol."""
    nodes = wire.nodes if isinstance(wire.nodes, NodesOf) else NodesOf(wire.nodes, wire.total_nodes)
    limit = wire.maximums.time if wire.maximums is not None else wire.max_time_limit
    tier = wire.priority.tier if wire.priority is not None else wire.priority_tier
    states = _all(wire.partition.state if wire.partition is not None else wire.state)
    return {
        "PartitionName": wire.name,
        "State": "+".join(states).upper(),
        "Default": "YES" if "DEFAULT" in [flag.upper() for flag in wire.flags] else "NO",
        "TotalNodes": _text(nodes.total),
        "Nodes": nodes.configured or "",
        "MaxTime": _text(limit, _UNLIMITED),
        "PriorityTier": _text(tier),
    }


def reservation(wire: ReservationWire, now: float) -> Mapping[str, str]:
    """Return a reservation in the words of scontrol, which tells by the clock whether it is active."""
    starts, ends = _text(wire.start_time), _text(wire.end_time)
    active = starts.isdigit() and ends.isdigit() and int(starts) <= now <= int(ends)
    return {
        "ReservationName": wire.name,
        "State": "ACTIVE" if active else "INACTIVE",
        "Nodes": wire.node_list or "",
        "StartTime": starts,
        "EndTime": ends,
        "Users": wire.users or "",
        "Accounts": wire.accounts or "",
        "Flags": ",".join(wire.flags),
    }


# ---- the words of sdiag, of `scontrol ping` and of `scontrol show config`


def pulse(found: Statistics) -> Pulse:
    """Return the counters, and how slurmctld is doing."""
    since = _text(found.req_time_start)
    jobs = ("submitted", "started", "completed", "canceled", "failed")
    counters = Counters(
        since=int(since) if since.isdigit() else None,
        jobs={name: getattr(found, f"jobs_{name}") for name in jobs},
        requests={clean(each.message_type, limit=64): each.count for each in found.rpcs_by_message_type},
    )
    top = {
        "Server thread count": found.server_thread_count,
        "Agent queue size": found.agent_queue_size,
        "DBD Agent queue size": found.dbd_agent_queue_size,
    }
    cycle = {"Last cycle": found.schedule_cycle_last, "Mean cycle": found.schedule_cycle_mean}
    backfill = {
        "Last cycle": found.bf_cycle_last,
        "Last depth cycle": found.bf_last_depth,
        "Last queue length": found.bf_queue_len,
    }
    users = {clean(each.user, limit=64): each.count for each in found.rpcs_by_user}
    return Pulse(counters, Reading(_known(top), _known(cycle), _known(backfill), users))


def _known(found: Mapping[str, int | None]) -> dict[str, int]:
    return {name: value for name, value in found.items() if value is not None}


def controllers(found: tuple[Ping, ...]) -> tuple[Controller, ...]:
    """Return which controllers answered."""
    return tuple(
        Controller(
            role=clean(each.mode, limit=64), host=clean(each.hostname, limit=256), up=(each.pinged or each.ping) == "UP"
        )
        for each in found
    )


def config(answer: Pings) -> Config:
    """Return what slurmrestd tells of the configuration: no PrivateData, and no name before v0.0.40."""
    told = (answer.meta or Meta()).slurm or (answer.meta or Meta()).Slurm or Release()
    return Config(
        cluster_name=parse.known(told.cluster),
        version=parse.known(told.release),
        controllers=controllers(answer.pings),
    )
