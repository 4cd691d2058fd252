"""A small Ray as its dashboard tells it: four nodes, some jobs. Made by hand, in the form of Ray 2.60."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from console.errors import UsageError
from console.transport.base import Transport
from console.transport.pool import TransportPool
from plugins.ray.backend import RayBackend
from plugins.ray.settings import RaySettings
from tests.unit.http_server import Answer, Asked, Server, answer, as_json

NOW = 1_795_600_000.0
HEAD, ONE, TWO, GONE = ("a" * 56, "b" * 56, "c" * 56, "d" * 56)
USAGE = {
    HEAD: "0.0/1.0 CPU\n0B/2.00GiB memory\n0B/1.00GiB object_store_memory",
    ONE: "1.0/2.0 CPU\n3.0/4.0 GPU (2.0 used of 2.0 reserved in placement groups)\n0.0/1.0 accelerator_type:H100",
    TWO: "0.0/2.0 CPU\n0.0/4.0 GPU\n0.0/1.0 accelerator_type:H100\n1.0/2.0 rack_a",
}


def node(identity: str, host: str, state: str = "ALIVE", **raylet: Any) -> dict[str, Any]:
    """Return one entry of /nodes?view=summary."""
    return {
        "hostname": host,
        "bootTime": NOW - 9000,
        "raylet": {
            "nodeId": identity,
            "nodeName": "10.0.0.1",
            "nodeManagerAddress": "10.0.0.1",
            "nodeManagerHostname": host,
            "state": state,
            "startTimeMs": str(int(NOW - 100) * 1000),
            "resourcesTotal": {"CPU": 2.0},
            **raylet,
        },
    }


def nodes(*rows: Any, usage: Any = USAGE) -> bytes:
    """Return an answer of /nodes?view=summary."""
    return as_json({"result": True, "msg": "", "data": {"summary": list(rows), "nodeLogicalResources": usage}})


NODES = (
    node(HEAD, "head", isHeadNode=True),
    node(ONE, "gpu01.lab", labels={"slurm_job_id": "8812"}),
    node(TWO, "gpu02.lab"),
    node(
        GONE, "gpu03.lab", "DEAD", endTimeMs=str(int(NOW - 50) * 1000), stateMessage="Unexpected termination: raylet died",
        deathInfo={"reason": "UNEXPECTED_TERMINATION"},
    ),
)  # fmt: skip


def job(identity: str, status: str, **more: Any) -> dict[str, Any]:
    """Return one entry of /api/jobs/."""
    row = {"type": "SUBMISSION", "submission_id": identity, "job_id": None, "status": status}
    return {**row, "entrypoint": f"python {identity}.py", "start_time": int(NOW - 600) * 1000, **more}


RUNNING = job(
    "run-1", "RUNNING", job_id="03000000", driver_node_id=HEAD, metadata={"team": "llm", "job_submission_id": "run-1"},
    driver_info={"id": "03000000", "node_ip_address": "10.0.0.1", "pid": "77"},
    runtime_env={"env_vars": {"SLURM_JOB_ID": "8812", "WANDB_API_KEY": "hunter2"}},
)  # fmt: skip
FAILED = job(
    "fail-1", "FAILED", end_time=int(NOW - 60) * 1000, driver_exit_code=3, driver_node_id=HEAD, job_id="04000000",
    error_type="JOB_ENTRYPOINT_COMMAND_ERROR",
    message="Job entrypoint command failed with exit code 3, last available logs (truncated to 20,000 chars):\nboom",
)  # fmt: skip
PENDING = job("wait-1", "PENDING", message="Job has not started yet. It may be waiting for resources.")
DRIVER = {**job("x", "RUNNING"), "type": "DRIVER", "submission_id": None, "job_id": "05000000"}
OLD = job("old-1", "SUCCEEDED", end_time=int(NOW - 9e5) * 1000)


def state(*rows: Any, **more: Any) -> bytes:
    """Return an answer of the state API."""
    return as_json({"result": True, "msg": "", "data": {"result": {"result": list(rows), **more}}})


GROUPS = (
    {
        "placement_group_id": "e" * 36, "name": "trainers", "creator_job_id": "03000000", "state": "CREATED",
        "bundles": [{"unit_resources": {"GPU": 2.0, "CPU": 1.0}, "node_id": ONE}],
    },
    {
        "placement_group_id": "f" * 36, "name": "too-big", "creator_job_id": "03000000", "state": "PENDING",
        "stats": {"scheduling_state": "INFEASIBLE"}, "bundles": [{"unit_resources": {"GPU": 8.0}, "node_id": ""}],
    },
)  # fmt: skip
ACTORS: tuple[dict[str, Any], ...] = (
    {"actor_id": "1", "class_name": "Trainer", "state": "ALIVE", "job_id": "03000000", "node_id": ONE, "pid": 501,
     "placement_group_id": "e" * 36, "required_resources": {"GPU": 2.0}},
    {"actor_id": "2", "class_name": "Trainer", "name": "lonely", "state": "ALIVE", "job_id": "03000000", "node_id": ONE,
     "pid": 502, "required_resources": {"GPU": 1.0}},
    {"actor_id": "3", "class_name": "JobSupervisor", "name": "_ray_internal_job_actor_wait-1", "job_id": "01000000",
     "state": "PENDING_CREATION", "required_resources": {"GPU": 6.0}},
    {"actor_id": "4", "class_name": "Fragile", "state": "DEAD", "job_id": "04000000",
     "death_cause": {"actor_died_error_context": {"error_message": "The actor is dead.\nworker was killed"}}},
    {"actor_id": "5", "class_name": "Helper", "state": "DEAD", "job_id": "04000000",
     "death_cause": {"actor_died_error_context": {"error_message": "out of scope", "reason": "OUT_OF_SCOPE"}}},
)  # fmt: skip
TASKS: tuple[dict[str, Any], ...] = (
    *({"name": "wide", "func_or_class_name": "wide", "state": "PENDING_NODE_ASSIGNMENT", "job_id": "03000000",
       "required_resources": {"GPU": 3.0}} for _ in range(2)),
    {"name": "load", "func_or_class_name": "load", "state": "FAILED", "job_id": "04000000", "error_type": "OUT_OF_MEMORY"},
)  # fmt: skip
WORKER = "worker-" + "9" * 56


def _filtered(rows: tuple[dict[str, Any], ...]) -> Callable[[Asked, asyncio.StreamWriter], Any]:
    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        wanted = dict(zip(asked.all("filter_keys"), asked.all("filter_values"), strict=True))
        writer.write(state(*(row for row in rows if all(row.get(key) == value for key, value in wanted.items()))))

    return reply


def one_job(row: Mapping[str, Any]) -> dict[str, Answer]:
    """Return the answer about a single job."""
    return {f"/api/jobs/{row.get('submission_id') or row['job_id']}": as_json(row)}


async def _files(asked: Asked, writer: asyncio.StreamWriter) -> None:
    listed = {"worker_out": [f"{WORKER}-03000000-501.out", f"{WORKER}-99000000-9.out"], "internal": [7]}
    listed["worker_err"] = [f"{WORKER}-03000000-501.err"]
    writer.write(as_json({"data": {"result": listed if asked.query["node_id"] == ONE else {}}}))


def answers() -> dict[str, Answer]:
    """Return the whole world, to be changed at will."""
    counts = {"wide": {"state_counts": {"PENDING_NODE_ASSIGNMENT": 2, "RUNNING": 1}}}
    summary = {"result": {"result": {"node_id_to_summary": {"cluster": {"summary": counts}}}}}
    return {
        "/api/version": as_json({"version": "4", "ray_version": "2.60.0", "session_name": "session_x"}),
        "/nodes": nodes(*NODES),
        "/api/jobs/": as_json([RUNNING, FAILED, PENDING, DRIVER, OLD]),
        "/api/v0/placement_groups": state(*GROUPS),
        "/api/v0/actors": _filtered(ACTORS),
        "/api/v0/tasks": _filtered(TASKS),
        "/api/v0/tasks/summarize": as_json({"data": summary}),
        "/api/cluster_status": as_json({"data": {"autoscalingError": None, "clusterStatus": None}}),
        "/api/v0/logs": _files,
        "/api/jobs/nobody": answer("Job nobody does not exist", 404, "text/plain"),
        **one_job(RUNNING), **one_job(FAILED), **one_job(PENDING), **one_job(DRIVER),
    }  # fmt: skip


class Site:
    """A host whose clock stands still until it is set."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ: Mapping[str, str] = environ or {}
        self.cluster = "lab"
        self.time = NOW
        self.pool = TransportPool(environ={})

    def which(self, program: str) -> str | None:
        return None

    def transport(self, via: str | None = None) -> Transport:
        return self.pool.get(via) if via else self.pool.local()

    def expand(self, nodeset: str) -> list[str]:
        raise UsageError("no nodesets here")

    def now(self) -> float:
        return self.time


def opened(server: Server, site: Site | None = None, **settings: Any) -> RayBackend:
    """Return a backend of a server."""
    return RayBackend(RaySettings(url=server.url, **settings), site or Site())


async def until(condition: Callable[[], Any], what: str, seconds: float = 20) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.01)
