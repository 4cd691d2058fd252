"""What a real Ray answered, through the whole backend: tests/fixtures/ray says how it was recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console.model import JobState, NodeState
from plugins.ray.backend import RayBackend
from tests.unit.http_server import Answer, Asked, answer, as_json, serving
from tests.unit.ray_world import Site, opened

RECORDED = Path(__file__).parent.parent / "fixtures" / "ray" / "2.60.0"


def read(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


def told(name: str) -> bytes:
    return answer((RECORDED / f"{name}.json").read_bytes())


def job(name: str) -> bytes:
    return as_json(next(row for row in read("jobs") if row["submission_id"] == name))


async def actors(asked: Asked, writer: asyncio.StreamWriter) -> None:
    of = {"ALIVE": "alive", "PENDING_CREATION": "waiting", "02000000": "of-running", "03000000": "of-failing"}
    writer.write(told(f"actors-{of[asked.query['filter_values']]}"))


async def tasks(asked: Asked, writer: asyncio.StreamWriter) -> None:
    of = {"RUNNING": "running", "PENDING_NODE_ASSIGNMENT": "waiting", "FAILED": "failed"}
    (state,) = set(asked.all("filter_values")) & set(of)
    writer.write(told(f"tasks-{of[state]}"))


@pytest.fixture
async def backend() -> AsyncIterator[RayBackend]:
    answers: dict[str, Answer] = {
        "/api/version": told("version"),
        "/nodes": told("nodes"),
        "/api/jobs/": told("jobs"),
        **{f"/api/jobs/{name}": job(name) for name in ("running", "failing", "waiting")},
        "/api/v0/placement_groups": told("groups"),
        "/api/v0/actors": actors,
        "/api/v0/tasks": tasks,
        "/api/v0/tasks/summarize": told("task-counts"),
        "/api/v0/logs": told("log-files"),
        "/api/cluster_status": told("status"),
    }
    site = Site()
    site.time = read("jobs")[0]["start_time"] / 1000 + 60
    async with serving(answers) as server:
        backend = opened(server, site)
        yield backend
        await backend.close()


async def test_nodes(backend: RayBackend) -> None:
    records = await backend.inventory()
    assert records.cluster is not None
    assert records.cluster.version == "2.60.0"
    found = {node.name: node for node in records.nodes}
    assert set(found) == {"head", "w1", "w2"}, "Ray forgot the name of w2, its agent's last report has it"
    assert (found["head"].cpus, found["head"].accelerators_total, found["head"].features) == (1, 0, ("head",))
    busy = found["w1"]
    assert (busy.state, busy.accelerators_total, busy.accelerator_model) == (NodeState.BUSY, 4, "H100")
    assert busy.accelerators_allocated
    (raylet,) = [node["raylet"] for node in read("nodes")["data"]["summary"] if node.get("hostname") == "w1"]
    assert busy.memory_total_bytes == raylet["resourcesTotal"]["memory"], "not as the autoscaler rounds it"
    assert busy.detail["rack w1"] == "0 of 2"
    assert found["w2"].state is NodeState.DOWN
    assert (found["w2"].reason or "").startswith("Unexpected termination: ")
    assert found["w2"].cpus is None
    assert found["w2"].missing["cpus"]


async def test_jobs(backend: RayBackend) -> None:
    found = {job.id: job for job in (await backend.jobs()).jobs}
    assert {name: job.state for name, job in found.items()} == {
        "running": JobState.RUNNING,
        "failing": JobState.FAILED,
        "waiting": JobState.PENDING,
    }
    running = found["running"]
    assert running.reason == "waits for room: placement group too-big (8 GPU)"
    assert running.detail["placement groups"] == "1 created, 1 pending"
    assert running.detail["metadata"] == "team=llm"
    at_work = len(read("tasks-running")["data"]["result"]["result"])
    assert running.accelerators == 3 + 3 * at_work, "a group of two, an actor with one, tasks with three each"
    assert "head" in running.node_names
    assert (found["failing"].exit_code, found["failing"].reason) == (
        3,
        "Job entrypoint command failed with exit code 3",
    )


async def test_explanations(backend: RayBackend) -> None:
    running = await backend.explain("running")
    assert running.causes[0].code == "INFEASIBLE"
    assert "no node has 8 GPU: the most that one has is 4 GPU" in running.causes[0].text
    assert "task wide wants 3 GPU" in running.causes[1].text
    waiting = await backend.explain("waiting")
    assert "its driver wants 6 GPU; no node has 6 GPU" in waiting.summary
    failing = await backend.explain("failing")
    assert [cause.code for cause in failing.causes] == ["JOB_ENTRYPOINT_COMMAND_ERROR", "TASK_EXECUTION_EXCEPTION"]


async def test_logs(backend: RayBackend) -> None:
    names = [stream.name for stream in await backend.log_streams("running")]
    assert names[0] == "driver"
    assert len(names) > 2
    assert len(set(names)) == len(names)
