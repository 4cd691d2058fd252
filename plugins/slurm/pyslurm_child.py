"""The child process that holds pyslurm: it is sent a question a line, and answers in lines of JSON.

It runs under whatever Python has pyslurm, here or on another host, and imports nothing of the console. libslurm may
end the process at import, keep it for ten seconds in a call, write to its standard error or crash: all of that stays
in here. What it tells is told in the words of squeue, scontrol and sdiag.

    {"ask": "jobs"}         [{"JobArrayID": "4_1", …}, …] a line, as many as it takes, then {"end": 1}
    a failure               {"error": "Unable to contact slurm controller (connect failure)"}
"""

import json
import os
import sys
from typing import Any, Iterator

SLICE = 100
RESERVATION_FLAGS = {
    "MAINTENANCE": "MAINT",
    "IGNORE_RUNNING_JOBS": "IGNORE_JOBS",
    "SPECIFIC_NODES": "SPEC_NODES",
    "PARTITION_NODES_ONLY": "PART_NODES",
    "STATIC_NODES": "STATIC",
    "USER_DELETION": "USER_DELETE",
    "PURGE": "PURGE_COMP",
    "NO_JOB_HOLD_AFTER_END": "NO_HOLD_JOBS_AFTER_END",
}


def text(thing: Any, name: str) -> str:
    """Return an attribute as text, "" for none; what is no UTF-8 as well as it can be read."""
    try:
        value = getattr(thing, name)
    except UnicodeDecodeError as error:
        return bytes(error.object).decode("utf-8", "replace")
    except Exception:  # one attribute of one job must not cost all the others
        return ""
    if isinstance(value, (list, tuple)):
        return ",".join(str(part) for part in value)
    return "" if value is None else str(value)


def tres(found: Any) -> "dict[str, str]":
    """Return a list of TRES, name to count as Slurm prints it."""
    if not found:
        return {}
    if isinstance(found, dict):
        return {name: str(count) for name, count in found.items()}
    parts = [(name, getattr(getattr(found, name, None), "count", None)) for name in ("cpu", "node", "billing")]
    parts += [("gres/%s" % name, getattr(each, "count", None)) for name, each in (found.gres or {}).items()]
    counts = {name: str(count) for name, count in parts if count is not None}
    memory = getattr(getattr(found, "mem", None), "count", None)
    return counts if memory is None else dict(counts, mem="%sM" % memory)


def listed(counts: "dict[str, str]") -> str:
    """Return TRES in one text."""
    return ",".join("%s=%s" % pair for pair in counts.items())


def layout(job: Any) -> "dict[str, Any]":
    """Return node to GRES to (count, indexes) of what a job holds."""
    try:
        found = job.get_resource_layout_per_node()
    except Exception:  # of a job that just ended there is none
        return {}
    return {node: held.get("gres") or {} for node, held in found.items()}


def gres_held(job: Any) -> "dict[str, str]":
    """Return what a running job holds by where it holds it: not every cluster counts GPUs, and few their models."""
    total = {}  # type: dict[str, int]
    for held in layout(job).values():
        for name, each in held.items():
            total["gres/" + name] = total.get("gres/" + name, 0) + int(each.get("count") or 0)
    return {name: str(count) for name, count in sorted(total.items())}


def job_id(job: Any) -> str:
    """Return the id as squeue prints it."""
    array, waiting = job.array_id, job.array_tasks_waiting
    if array and waiting:
        at_once = job.array_tasks_parallel
        return "%s_[%s%s]" % (array, waiting, "%%%s" % at_once if at_once else "")
    if array:
        return "%s_%s" % (array, job.array_task_id or 0)
    first = job.heterogeneous_id
    return "%s+%s" % (first, job.heterogeneous_offset or 0) if first else str(job.id)


def dependency(job: Any) -> str:
    """Return a dependency as squeue prints it."""
    found = job.dependencies
    if not found:
        return ""
    parts = ["%s:%s" % (kind, each) for kind, value in found.items() if isinstance(value, list) for each in value]
    if found.get("singleton") or not parts:  # the one kind that it does not read while it is unfulfilled
        parts.append("singleton" if found.get("singleton") else "singleton(unfulfilled)")
    return ("?" if found.get("satisfy") == "any" else ",").join(parts)


def one_job(job: Any, counted: bool) -> "dict[str, str]":
    """Return what squeue tells of a job."""
    state = text(job, "state")
    active = state in ("RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING", "STOPPED", "RESIZING", "SIGNALING")
    held = (tres(job.allocated_tres) if active else {}) or tres(job.requested_tres)
    if active:
        held.update(gres_held(job))
    per_node = ",".join("%s:%s" % pair for pair in (getattr(job, "gres_per_node", None) or {}).items())
    return {
        "JobArrayID": job_id(job),
        "JobID": str(job.id),
        "State": state,
        "Reason": text(job, "state_reason"),
        "UserName": text(job, "user_name"),
        "Account": text(job, "account"),
        "Partition": text(job, "partition"),
        "QOS": text(job, "qos"),
        "NumNodes": text(job, "num_nodes"),
        "NumCPUs": text(job, "cpus"),
        "NumTasks": text(job, "ntasks"),
        "PriorityLong": text(job, "priority"),
        "SubmitTime": text(job, "submit_time"),
        "StartTime": text(job, "start_time"),
        "EndTime": text(job, "end_time"),
        "TimeLimit": text(job, "time_limit") or "UNLIMITED",
        "tres-alloc": listed(held),
        # It cannot read `gres/gpu:3`, so that of a job that waits only what is counted or asked per node is known.
        "tres-per-job": "" if active or counted else "?",
        "tres-per-node": per_node,
        "NodeList": text(job, "allocated_nodes"),
        "Reservation": text(job, "reservation"),
        "Dependency": dependency(job),
        "WorkDir": text(job, "working_directory"),
        "Comment": text(job, "comment"),
        "Name": text(job, "name"),
    }


def spans(indexes: "set[int]") -> str:
    """Return `0-2,5` of a set of numbers."""
    found = []  # type: list[list[int]]
    for number in sorted(indexes):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else "%d-%d" % (first, last) for first, last in found)


def numbers(text_of_spans: str) -> "set[int]":
    """Return the set of numbers of `0-2,5`."""
    found = set()  # type: set[int]
    for part in (text_of_spans or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found |= set(range(int(first), int(last if last.isdigit() else first) + 1))
    return found


def gres_in_use(pyslurm: Any) -> "dict[str, str]":
    """Return node to GRES in use with their indexes, by what the jobs hold: a node itself tells neither."""
    counts = {}  # type: dict[tuple[str, str], int]
    indexes = {}  # type: dict[tuple[str, str], set[int]]
    for job in pyslurm.Jobs.load().values():
        for node, held in layout(job).items():
            for name, each in held.items():
                key = (node, name)
                counts[key] = counts.get(key, 0) + int(each.get("count") or 0)
                indexes.setdefault(key, set()).update(numbers(each.get("indexes")))
    found = {}  # type: dict[str, list[str]]
    for (node, name), count in sorted(counts.items()):
        found.setdefault(node, []).append("%s:%d(IDX:%s)" % (name, count, spans(indexes[node, name])))
    return {node: ",".join(parts) for node, parts in found.items()}


def one_node(node: Any, used: "dict[str, str]") -> "dict[str, str]":
    """Return what scontrol tells of a node, and what people wrote about it."""
    configured = ["%s:%s" % pair for pair in (node.configured_gres or {}).items()]
    idle = ["%s:0(IDX:N/A)" % name for name in node.configured_gres or {}]
    return {
        "NodeName": text(node, "name"),
        "State": text(node, "state"),
        "NodeHostName": text(node, "hostname"),
        "NodeAddr": text(node, "address"),
        "Arch": text(node, "architecture"),
        "Version": text(node, "slurm_version"),
        "Owner": text(node, "owner"),
        "Partitions": text(node, "partitions"),
        "AvailableFeatures": text(node, "available_features"),
        "ActiveFeatures": text(node, "active_features"),
        "CPUTot": text(node, "total_cpus"),
        "CPUAlloc": text(node, "allocated_cpus"),
        "RealMemory": text(node, "real_memory"),
        "AllocMem": text(node, "allocated_memory"),
        "BootTime": text(node, "boot_time"),
        "Gres": ",".join(configured),
        "GresUsed": used.get(text(node, "name")) or ",".join(idle),
        "AllocTRES": listed(tres(node.allocated_tres)),
        "OS": text(node, "operating_system"),
        "Reason": text(node, "reason"),
        "ReasonBy": text(node, "reason_user"),
        "ReasonAt": text(node, "reason_time"),
        "Comment": text(node, "comment"),
        "Extra": text(node, "extra"),
    }


def one_partition(partition: Any) -> "dict[str, str]":
    """Return what scontrol tells of a partition."""
    return {
        "PartitionName": text(partition, "name"),
        "State": text(partition, "state"),
        "Default": "YES" if partition.is_default else "NO",
        "TotalNodes": text(partition, "total_nodes"),
        "Nodes": text(partition, "nodes"),
        "MaxTime": text(partition, "max_time") or "UNLIMITED",
        "PriorityTier": text(partition, "priority_tier"),
    }


def one_reservation(reservation: Any) -> "dict[str, str]":
    """Return what scontrol tells of a reservation."""
    flags = [word for flag in reservation.flags for word in str(flag).rpartition(".")[2].split("|")]
    return {
        "ReservationName": text(reservation, "name"),
        "State": "ACTIVE" if reservation.is_active else "INACTIVE",
        "Nodes": text(reservation, "nodes"),
        "StartTime": text(reservation, "start_time"),
        "EndTime": text(reservation, "end_time"),
        "Users": text(reservation, "users"),
        "Accounts": text(reservation, "accounts"),
        "Flags": ",".join(RESERVATION_FLAGS.get(flag, flag) for flag in flags),
    }


def statistics(found: Any) -> "dict[str, Any]":
    """Return what sdiag tells, under the names that slurmrestd has for it."""
    return {
        "req_time_start": found.data_since,
        "jobs_submitted": found.jobs_submitted,
        "jobs_started": found.jobs_started,
        "jobs_completed": found.jobs_completed,
        "jobs_canceled": found.jobs_canceled,
        "jobs_failed": found.jobs_failed,
        "rpcs_by_message_type": [
            {"message_type": name, "count": each.count} for name, each in found.rpcs_by_type.items()
        ],
        "rpcs_by_user": [{"user": name, "count": each.count} for name, each in found.rpcs_by_user.items()],
        "server_thread_count": found.server_thread_count,
        "agent_queue_size": found.agent_queue_size,
        "dbd_agent_queue_size": found.dbd_agent_queue_size,
        "schedule_cycle_last": found.schedule_cycle_last,
        "schedule_cycle_mean": found.schedule_cycle_mean,
        "bf_cycle_last": found.backfill_cycle_last,
        "bf_last_depth": found.backfill_last_depth,
        "bf_queue_len": found.backfill_queue_length,
    }


def controllers(pyslurm: Any) -> "list[dict[str, str]]":
    """Return who answers a ping."""
    return [
        {
            "hostname": each.hostname,
            "mode": "primary" if each.is_primary else "backup%s" % (each.index or ""),
            "pinged": "UP" if each.is_responding else "DOWN",
        }
        for each in pyslurm.slurmctld.ping_all()
    ]


def answers(pyslurm: Any, ask: str) -> "Iterator[list[Any]]":
    """Yield what answers a question, a line each."""
    if ask == "jobs":
        counted = any(
            each.startswith("gres/") for each in pyslurm.slurmctld.Config.load().accounting_storage_tres or ()
        )
        jobs = list(pyslurm.Jobs.load().values())
        for start in range(0, len(jobs), SLICE):
            yield [one_job(job, counted) for job in jobs[start : start + SLICE]]
    elif ask == "nodes":
        used = gres_in_use(pyslurm)
        nodes = list(pyslurm.Nodes.load().values())
        for start in range(0, len(nodes), SLICE):
            yield [one_node(node, used) for node in nodes[start : start + SLICE]]
    elif ask == "partitions":
        yield [one_partition(each) for each in pyslurm.Partitions.load().values()]
    elif ask == "reservations":
        yield [one_reservation(each) for each in pyslurm.Reservations.load().values()]
    elif ask == "pulse":
        yield [statistics(pyslurm.slurmctld.diag())]
    elif ask == "config":
        config = pyslurm.slurmctld.Config.load()
        private = [str(each) for each in config.private_data or ()]
        yield [{"cluster": config.cluster_name, "version": config.version, "private": private}]
    elif ask == "ping":
        yield controllers(pyslurm)


def main() -> None:
    """Answer until nobody asks any more."""
    # Whatever libslurm prints by itself must not stand among the answers.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    os.dup2(2, 1)

    def say(thing: Any) -> None:
        out.write(json.dumps(thing) + "\n")
        out.flush()

    try:
        import pyslurm  # type: ignore[import-not-found]
    except Exception as error:  # not installed, or for another release; libslurm may also just end the process
        say({"error": str(error) or repr(error), "end": 1})
        return
    say({"pyslurm": str(getattr(pyslurm, "__version__", "")), "end": 1})
    for line in sys.stdin:
        try:
            for answer in answers(pyslurm, json.loads(line)["ask"]):
                say(answer)
            say({"end": 1})
        except Exception as error:  # its own errors, and what a new release may have changed
            say({"error": str(error) or repr(error), "end": 1})


if __name__ == "__main__":
    main()
