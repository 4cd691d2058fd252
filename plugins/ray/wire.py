"""What the dashboard answers, as far as it is read here. Pure.

Ray's answers differ from release to release and hold what users wrote. So an answer is taken apart leniently: fields
that are not known are passed over, a row that does not fit is counted and left out, and only an answer that is no
such answer at all is a BadAnswer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from console.errors import BadAnswer
from console.text import clean
from console.transport.http_failures import gist

Resources = dict[str, float]
T = TypeVar("T")


class DriverInfo(msgspec.Struct, frozen=True):
    """The process that a job's script runs in."""

    id: str | None = None
    node_ip_address: str | None = None
    pid: str | None = None


class JobRow(msgspec.Struct, frozen=True):
    """One entry of /api/jobs/."""

    type: str | None = None
    """SUBMISSION | DRIVER"""
    job_id: str | None = None
    submission_id: str | None = None
    status: str | None = None
    entrypoint: str | None = None
    message: str | None = None
    error_type: str | None = None
    start_time: float | None = None
    """Milliseconds; of a submission: when it was submitted."""
    end_time: float | None = None
    metadata: dict[str, Any] | None = None
    runtime_env: dict[str, Any] | None = None
    """Holds secrets (`env_vars`): nothing of it is shown but the number of a job of another scheduler."""
    driver_info: DriverInfo | None = None
    driver_node_id: str | None = None
    driver_exit_code: int | None = None

    @property
    def id(self) -> str | None:
        """Return the id that `ray job` takes."""
        return self.submission_id or self.job_id


class Snapshot(msgspec.Struct, frozen=True):
    """What the autoscaler thinks of a node."""

    state: str | None = None
    """IDLE | ACTIVE | DRAINING"""


class Raylet(msgspec.Struct, frozen=True, rename="camel"):
    """Ray's process on a node, as its head knows it. Names of resources and labels are in camel case here."""

    node_id: str | None = None
    node_name: str | None = None
    node_manager_address: str | None = None
    node_manager_hostname: str | None = None
    state: str | None = None
    """ALIVE | DEAD"""
    state_message: str | None = None
    state_snapshot: Snapshot | None = None
    is_head_node: bool = False
    start_time_ms: float | None = None
    end_time_ms: float | None = None
    resources_total: Resources | None = None
    labels: dict[str, Any] | None = None
    node_type_name: str | None = None
    instance_id: str | None = None
    session_dir: str | None = None
    """Directory of its logs and sockets."""
    death_info: dict[str, Any] | None = None


class NodeRow(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of /nodes?view=summary; all but `raylet` is absent when the node's agent does not report."""

    raylet: Raylet
    hostname: str | None = None
    boot_time: float | None = None


class ActorRow(msgspec.Struct, frozen=True):
    """One entry of /api/v0/actors."""

    actor_id: str | None = None
    class_name: str | None = None
    state: str | None = None
    job_id: str | None = None
    name: str | None = None
    node_id: str | None = None
    pid: int | None = None
    required_resources: Resources | None = None
    placement_group_id: str | None = None
    num_restarts: int | None = None
    death_cause: dict[str, Any] | None = None


class Bundle(msgspec.Struct, frozen=True):
    """What a placement group wants at one place."""

    unit_resources: Resources | None = None
    node_id: str | None = None


class GroupStats(msgspec.Struct, frozen=True):
    """How its placement goes."""

    scheduling_state: str | None = None
    """QUEUED | NO_RESOURCES | INFEASIBLE | FINISHED | …"""


class GroupRow(msgspec.Struct, frozen=True):
    """One entry of /api/v0/placement_groups."""

    placement_group_id: str | None = None
    name: str | None = None
    creator_job_id: str | None = None
    state: str | None = None
    """PENDING | PREPARED | CREATED | REMOVED | RESCHEDULING"""
    bundles: tuple[Bundle, ...] | None = None
    stats: GroupStats | None = None


class TaskRow(msgspec.Struct, frozen=True):
    """One entry of /api/v0/tasks."""

    name: str | None = None
    func_or_class_name: str | None = None
    state: str | None = None
    job_id: str | None = None
    node_id: str | None = None
    required_resources: Resources | None = None
    placement_group_id: str | None = None
    error_type: str | None = None


class Version(msgspec.Struct, frozen=True):
    """Answer of /api/version."""

    ray_version: str
    session_name: str | None = None


@dataclass(slots=True, frozen=True)
class Rows(Generic[T]):
    """A listing."""

    rows: tuple[T, ...]
    unreadable: int = 0
    """Rows that were left out because they do not fit."""
    total: int | None = None
    """How many there are, where the dashboard says that it left some out."""


@dataclass(slots=True, frozen=True)
class NodeListing:
    """Nodes, and what is in use on each."""

    nodes: Rows[NodeRow]
    usage: dict[str, str]
    """Ray node id to the words of the autoscaler: `1.0/4.0 CPU`, one resource a line. Names are as they are."""


def loads(data: bytes, what: str) -> Any:
    """Return JSON as plain values. BadAnswer when it is none.

    Python writes JSON that others do not read: NaN, and halves of characters where a command line was no UTF-8.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(data.decode("utf-8", "replace"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise _other(what, data) from None


def rows(values: Any, kind: type[T], what: str) -> Rows[T]:
    """Return a list of plain values as structs. BadAnswer when it is no list."""
    if not isinstance(values, list):
        raise _other(what, b"")
    found = []
    for value in values:
        try:
            found.append(msgspec.convert(value, kind, strict=False))
        except (msgspec.ValidationError, RecursionError):
            continue
    return Rows(tuple(found), len(values) - len(found))


def one(data: bytes, kind: type[T], what: str) -> T:
    """Return the one struct of an answer. BadAnswer when it is another one."""
    found = rows([loads(data, what)], kind, what)
    if not found.rows:
        raise _other(what, data)
    return found.rows[0]


def jobs(data: bytes) -> Rows[JobRow]:
    """Read /api/jobs/."""
    return rows(loads(data, "jobs"), JobRow, "jobs")


def nodes(data: bytes) -> NodeListing:
    """Read /nodes?view=summary."""
    answer = _inner(data, "nodes")
    usage = answer.get("nodeLogicalResources")
    usage = usage if isinstance(usage, dict) else {}
    return NodeListing(
        rows(answer.get("summary"), NodeRow, "nodes"),
        {node: text for node, text in usage.items() if isinstance(text, str)},
    )


def state_rows(data: bytes, kind: type[T], what: str) -> Rows[T]:
    """Read a listing of the state API (/api/v0/…)."""
    result = _inner(data, what).get("result")
    if not isinstance(result, dict):
        raise _other(what, data)
    found = rows(result.get("result"), kind, what)
    total, kept = result.get("total"), result.get("num_after_truncation")
    if isinstance(total, int) and isinstance(kept, int) and total > kept:
        return Rows(found.rows, found.unreadable, total)
    return found


def task_counts(data: bytes) -> dict[str, int]:
    """Read /api/v0/tasks/summarize: state to how many tasks are in it."""
    try:
        summary = _inner(data, "tasks")["result"]["result"]["node_id_to_summary"]["cluster"]["summary"]
        found: dict[str, int] = {}
        for entry in summary.values():
            for state, count in entry["state_counts"].items():
                found[state] = found.get(state, 0) + int(count)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise _other("task counts", data) from None
    return found


def autoscaler(data: bytes) -> tuple[str, ...]:
    """Read /api/cluster_status: what the autoscaler does about what is lacking; nothing without one."""
    answer = _inner(data, "the state of the autoscaler")
    status = answer.get("clusterStatus")
    report = status.get("autoscalerReport") if isinstance(status, dict) else None
    report = report if isinstance(report, dict) else {}
    launches, pending, failed = (report.get(name) for name in ("pendingLaunches", "pendingNodes", "failedNodes"))
    starting = sum(count for count in launches.values() if isinstance(count, int)) if isinstance(launches, dict) else 0
    starting += len(pending) if isinstance(pending, list) else 0
    said = [f"nodes that the autoscaler is starting: {starting}"] if starting else []
    if isinstance(failed, list) and failed:
        said.append(f"nodes that the autoscaler started and that failed: {len(failed)}")
    if isinstance(error := answer.get("autoscalingError"), str) and error:
        said.append(f"the autoscaler has an error: {clean(error, limit=300)}")
    return tuple(said)


def log_files(data: bytes) -> list[str]:
    """Read /api/v0/logs: the names of all files, whatever kind the dashboard takes them for."""
    result = _inner(data, "log files").get("result")
    if not isinstance(result, dict):
        raise _other("log files", data)
    return [name for names in result.values() if isinstance(names, list) for name in names if isinstance(name, str)]


def message(words: str) -> str:
    """Return what a failure of the dashboard says: `msg` where its body was JSON."""
    try:
        said = json.loads(words)["msg"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return words
    return clean(str(said), limit=300)


def _inner(data: bytes, what: str) -> dict[str, Any]:
    answer = loads(data, what)
    inner = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(inner, dict):
        raise _other(what, data)
    return inner


def _other(what: str, data: bytes) -> BadAnswer:
    said = clean(gist(data[:400]), limit=100)
    return BadAnswer(
        f"the dashboard answered something else than {what}" + (f": {said}" if said else ""),
        "dashboard",
        "is this the dashboard of Ray? is its release older than 2.9?",
    )
