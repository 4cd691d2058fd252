"""The Ray plugin on a real Ray: a head and two workers, jobs that run, wait and fail, their logs, and a death."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from console.errors import NoSuchJob, Unreachable
from console.model import Job, JobState, Node, NodeState
from console.plugin import CheckState
from plugins.ray.backend import RayBackend
from plugins.ray.settings import RaySettings
from tests.needs import need
from tests.real.fleet import SshFleet
from tests.real.ray_cluster import FAILING, RUNNING, RayCluster, missing
from tests.unit.ray_world import Site

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]

T = TypeVar("T")
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A Ray with a job that runs and one that failed; tests leave these two alone."""
    need(missing())
    with RayCluster(tmp_path_factory.mktemp("ray")) as cluster:
        cluster.submit("running", RUNNING, metadata={"team": "llm"}, runtime_env={"env_vars": {"SLURM_JOB_ID": "8812"}})
        cluster.submit("failing", FAILING)
        cluster.wait_for("failing", "FAILED")
        cluster.wait_for("running", "RUNNING")
        yield cluster


@pytest.fixture
async def backend(ray: RayCluster) -> AsyncIterator[RayBackend]:
    backend = opened(ray)
    yield backend
    await backend.close()


def opened(ray: RayCluster, **settings: Any) -> RayBackend:
    site = Site()
    site.time = time.time()
    return RayBackend(RaySettings(url=ray.url, **settings), site)


async def eventually(look: Callable[[], Awaitable[T]], wanted: Callable[[T], Any], what: str) -> T:
    """Ask until the answer is the wanted one; fail with the last one when it is not in time."""
    end = time.monotonic() + PATIENCE_S
    while True:
        answer = await look()
        if wanted(answer):
            return answer
        assert time.monotonic() < end, f"{what}: {answer}"
        await asyncio.sleep(0.5)


async def nodes_of(backend: RayBackend) -> dict[str, Node]:
    return {node.name: node for node in (await backend.inventory()).nodes}


async def job_of(backend: RayBackend, name: str) -> Job:
    # What jobs hold is asked anew only when it is old; the clock of the site stands still.
    backend._holdings = None
    return next(job for job in (await backend.jobs()).jobs if job.id == name)


async def test_nodes_by_their_host_names_with_what_is_in_use(ray: RayCluster, backend: RayBackend) -> None:
    found = await eventually(
        lambda: nodes_of(backend),
        lambda nodes: any(node.accelerators_allocated for node in nodes.values()),
        "GPUs in use",
    )
    assert sum(node.accelerators_total or 0 for node in found.values()) == 8
    assert sum(node.cpus or 0 for node in found.values()) == 5
    if not ray.namespaces:
        return
    assert set(found) == {"head", "w1", "w2"}
    assert found["head"].features == ("head",)
    assert found["w1"].accelerator_model == "H100"
    assert found["w1"].memory_total_bytes
    assert found["w1"].detail["rack w1"] == "0 of 2"
    records = await backend.inventory()
    assert records.cluster is not None
    assert records.cluster.version == ray.get("/api/version")["ray_version"]


async def test_a_running_job_holds_and_waits(ray: RayCluster, backend: RayBackend) -> None:
    job = await eventually(
        lambda: job_of(backend, "running"), lambda job: (job.accelerators or 0) >= 3 and job.reason, "what it holds"
    )
    assert job.state is JobState.RUNNING
    assert job.name.endswith("running.py")
    assert job.detail["held by"] == "Slurm job 8812"
    assert job.detail["metadata"] == "team=llm"
    assert "too-big (8 GPU)" in (job.reason or "")
    assert job.submitted_at == pytest.approx(time.time(), abs=3600)
    names = set(await nodes_of(backend))
    assert set(job.node_names) <= names
    assert job.node_names


async def test_why_it_waits(backend: RayBackend) -> None:
    told = await eventually(
        lambda: backend.explain("running"), lambda told: len(told.causes) >= 2, "both things that it waits for"
    )
    codes = {cause.text.split(" wants ")[0].split(" × ")[-1]: cause for cause in told.causes}
    assert codes["placement group too-big"].code == "INFEASIBLE"
    assert "no node has 8 GPU: the most that one has is 4 GPU" in codes["placement group too-big"].text
    assert any("wide" in name for name in codes)
    assert "actors: 2 alive" in told.summary
    assert told.missing.keys() == {"expected_start_at", "position", "priority", "limits"}


async def test_a_job_that_failed(backend: RayBackend) -> None:
    job = await job_of(backend, "failing")
    assert (job.state, job.exit_code) == (JobState.FAILED, 3)
    assert "exit code 3" in (job.reason or "")
    assert job.ends_at
    told = await eventually(lambda: backend.explain("failing"), lambda told: len(told.causes) > 1, "its tasks")
    assert told.causes[0].code == "JOB_ENTRYPOINT_COMMAND_ERROR"
    assert any("Fragile" in cause.text and "failed" in cause.text for cause in told.causes)
    assert "\x1b" not in str(told)


async def test_a_job_that_waits_for_its_driver(ray: RayCluster, backend: RayBackend) -> None:
    ray.submit("waiting", "print(1)", entrypoint_num_gpus=6)
    told = await eventually(
        lambda: backend.explain("waiting"), lambda told: told.causes[0].code == "INFEASIBLE", "its driver is found"
    )
    assert told.state is JobState.PENDING
    assert "no node has" in told.summary
    assert "6 GPU" in told.summary
    assert (await job_of(backend, "waiting")).started_at is None
    assert await backend.log_streams("waiting") == ()


async def test_a_job_that_is_stopped(ray: RayCluster, backend: RayBackend) -> None:
    ray.submit("stopped", "import time\ntime.sleep(3600)")
    ray.wait_for("stopped", "RUNNING")
    ray.cancel("stopped")
    job = await eventually(
        lambda: job_of(backend, "stopped"), lambda job: job.state is JobState.CANCELLED, "it is stopped"
    )
    assert job.ends_at
    assert (await backend.explain("stopped")).summary == "It was stopped on purpose."


async def test_the_log_of_a_driver_and_of_its_workers(backend: RayBackend) -> None:
    streams = await eventually(
        lambda: backend.log_streams("running"),
        lambda streams: any("Trainer" in stream.name for stream in streams),
        "the workers' files",
    )
    assert streams[0].name == "driver"
    reader = await backend.open_log(streams[0])
    tail = await reader.tail(200)
    assert len(tail.data) <= 200
    assert b"step" in tail.data
    got = b""
    async with asyncio.timeout(PATIENCE_S):
        async for piece in reader.follow(tail):
            got += piece.data
            if got.count(b"\n") > 4:
                break
    steps = [int(line.split()[1]) for line in (tail.data + got).splitlines()[1:-1]]
    assert steps == list(range(steps[0], steps[0] + len(steps))), "nothing twice, nothing lost"
    trainer = next(stream for stream in streams if "Trainer" in stream.name and "stderr" not in stream.name)
    worker = await backend.open_log(trainer)
    assert b"trainer says" in (await worker.tail(65536)).data


async def test_following_ends_with_the_job(ray: RayCluster, backend: RayBackend) -> None:
    ray.submit("short", "import time\nfor n in range(8):\n    print('word', n, flush=True)\n    time.sleep(0.5)\n")
    ray.wait_for("short", "RUNNING", "SUCCEEDED")
    (driver,) = [stream for stream in await backend.log_streams("short") if stream.name == "driver"]
    reader = await backend.open_log(driver)
    tail = await eventually(lambda: reader.tail(65536), lambda tail: tail.data, "its first word")
    data = tail.data
    async with asyncio.timeout(PATIENCE_S):
        async for piece in reader.follow(tail):
            data += piece.data
    words = [line for line in data.splitlines() if line.startswith(b"word")]
    assert words == [b"word %d" % number for number in range(8)]
    assert (await job_of(backend, "short")).state is JobState.COMPLETED


async def test_a_driver_that_connects_by_itself(ray: RayCluster, backend: RayBackend) -> None:
    import subprocess

    script = "import ray, time; ray.init(log_to_driver=False); time.sleep(120)"
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(ray.work), "RAY_ADDRESS": f"127.0.0.1:{ray.port}"}
    process = subprocess.Popen(
        [ray.python, "-c", script], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ray.work
    )
    try:

        async def drivers() -> list[Job]:
            return [job for job in (await backend.jobs()).jobs if job.detail.get("kind", "").startswith("driver")]

        (driver,) = await eventually(drivers, lambda found: len(found) == 1, "the driver shows")
        assert driver.state is JobState.RUNNING
        assert driver.id == driver.detail["Ray job"]
        assert (await backend.explain(driver.id)).state is JobState.RUNNING
    finally:
        process.kill()
        process.wait()


async def test_through_a_host(ray: RayCluster, ssh_fleet: SshFleet) -> None:
    from console.transport.pool import TransportPool

    site = Site()
    site.pool = TransportPool(ssh_fleet.ssh_config)
    backend = RayBackend(RaySettings(url=ray.url, via="ssh://n1"), site)
    records = await backend.inventory()
    assert len(records.nodes) == len(await nodes_of(backend))
    assert "through ssh://n1" in (records.detail or "")
    await backend.close()
    await site.pool.close()


async def test_the_doctor(backend: RayBackend) -> None:
    checks = await backend.doctor()
    assert {check.state for check in checks} <= {CheckState.OK, CheckState.ABSENT}, checks


async def test_a_job_that_nobody_knows(backend: RayBackend) -> None:
    for asked in (backend.explain, backend.log_streams):
        with pytest.raises(NoSuchJob):
            await asked("no-such-job")


async def test_the_death_of_a_worker_then_of_the_head(tmp_path: Path) -> None:
    need(missing())
    with RayCluster(tmp_path) as ray:
        backend = opened(ray)
        if ray.namespaces:
            ray.kill("w2")
            dead = (
                await eventually(lambda: nodes_of(backend), lambda nodes: nodes["w2"].state is NodeState.DOWN, "w2")
            )["w2"]
            assert dead.scheduler_state == "DEAD"
            assert dead.reason
            assert dead.reason_at
        ray.kill("head")

        async def asked() -> str:
            try:
                await backend.jobs()
            except Unreachable as error:
                return error.hint
            return ""

        assert await eventually(asked, bool, "nobody answers")
        await backend.close()
