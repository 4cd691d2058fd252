"""Acting on a real Ray: jobs that were submitted are stopped by plan, and nothing else is offered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.actions.desk import ActionDesk
from console.errors import UsageError
from console.model import JobState, OutcomeState
from console.store import Store
from plugins.ray.backend import RayBackend
from plugins.ray.settings import RaySettings
from tests.needs import need
from tests.real.ray_cluster import RayCluster, missing
from tests.real.slurm_cluster import wait_until
from tests.unit.acting_world import desk_of
from tests.unit.ray_world import Site

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]

SLEEPS = "import time\ntime.sleep(3600)"
CONNECTS = "import ray, time; ray.init(log_to_driver=False); time.sleep(600)"


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A Ray whose head dies in the last test."""
    need(missing())
    with RayCluster(tmp_path_factory.mktemp("ray")) as cluster:
        yield cluster


def opened(ray: RayCluster) -> RayBackend:
    site = Site()
    site.time = time.time()
    return RayBackend(RaySettings(url=ray.url), site)


def door(directory: Path, backend: RayBackend) -> ActionDesk:
    return desk_of(directory, backend, store=Store())  # type: ignore[arg-type]


async def test_a_job_is_stopped_by_plan_and_stands_in_the_journal(ray: RayCluster, tmp_path: Path) -> None:
    ray.submit("doomed", SLEEPS)
    ray.submit("spared", SLEEPS)
    ray.wait_for("doomed", "RUNNING")
    ray.wait_for("spared", "RUNNING")
    backend = opened(ray)
    desk = door(tmp_path, backend)
    assert desk.able(backend.cluster) == {"cancel"}
    plan = await desk.plan(desk.job_orders("cancel", [(backend.cluster, "doomed")], reason="INC-1; rm -rf / 'x'"))
    assert (plan.confirm, plan.interrupts[0].effect.value) == ("doomed", "ended")
    assert ray.status("doomed") == "RUNNING", "a plan changes nothing"
    result = await desk.carry_out(plan, desk.execution(plan))
    assert result.verified, result.unmet
    assert (ray.status("doomed"), ray.status("spared")) == ("STOPPED", "RUNNING")
    attempt = (await desk.attempts())[plan.id]
    assert attempt.reason == "INC-1; rm -rf / 'x'"
    assert [seen.state for seen in (*attempt.plan.before, *attempt.after)] == ["running", "cancelled"]
    with pytest.raises(UsageError, match="cannot be undone"):
        await desk.undo_plan(attempt)
    again = await desk.plan(desk.job_orders("cancel", [(backend.cluster, "doomed")]))
    assert "ended already" in again.unchanged[backend.cluster]["doomed"]
    for nobody in ("nobody/../spared", "spared/stop", "-W force", "\u202enobody"):
        with pytest.raises(UsageError, match="knows no such jobs"):
            await desk.plan(desk.job_orders("cancel", [(backend.cluster, nobody)]))
    with pytest.raises(UsageError, match="cannot hold"):
        desk.job_orders("hold", [(backend.cluster, "spared")])
    await backend.close()


async def test_a_driver_that_connected_by_itself_is_left_to_who_started_it(ray: RayCluster, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(ray.work), "RAY_ADDRESS": f"127.0.0.1:{ray.port}"}
    with (tmp_path / "driver.out").open("wb") as out:
        process = subprocess.Popen([ray.python, "-c", CONNECTS], env=environ, stdout=out, stderr=out, cwd=ray.work)
    try:

        def drivers() -> list[str]:
            return [row["job_id"] for row in ray.get("/api/jobs/") if row["type"] == "DRIVER"]

        wait_until(lambda: bool(drivers()), 60, "the driver shows")
        (driver,) = drivers()
        backend = opened(ray)
        desk = door(tmp_path, backend)
        plan = await desk.plan(desk.job_orders("cancel", [(backend.cluster, driver)]))
        assert plan.steps == ()
        assert "end it where it runs" in plan.unchanged[backend.cluster][driver]
        (seen,) = await backend.look_jobs([driver])
        assert seen.state is JobState.RUNNING
        await backend.close()
    finally:
        process.kill()
        process.wait()


def test_the_command_line_stops_what_a_filter_finds(ray: RayCluster, tmp_path: Path) -> None:
    names = ("sweep-1", "sweep-2")
    for name in names:
        ray.submit(name, SLEEPS)
    for name in names:
        ray.wait_for(name, "RUNNING")
    config = tmp_path / "config.toml"
    config.write_text(f'[[cluster]]\nname = "hall"\nkind = "ray"\nurl = "{ray.url}"\ntelemetry = "off"\n')

    def qd(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "console.cli", "--config", str(config), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    refused = qd("cancel", "name:sweep", "--yes", "--read-only")
    assert refused.returncode == 4, refused.stderr
    assert {ray.status(name) for name in names} == {"RUNNING"}
    done = qd("cancel", "name:sweep", "--yes", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout)
    assert told["verified"] is True
    assert {step["run"]["path"] for step in told["steps"]} == {f"/api/jobs/{name}/stop" for name in names}
    assert {ray.status(name) for name in names} == {"STOPPED"}
    assert ray.status("spared") == "RUNNING"


async def test_a_head_that_dies_before_the_step_is_told(ray: RayCluster, tmp_path: Path) -> None:
    backend = opened(ray)
    desk = door(tmp_path, backend)
    plan = await desk.plan(desk.job_orders("cancel", [(backend.cluster, "spared")]))
    ray.kill("head")
    result = await desk.carry_out(plan, desk.execution(plan))
    (outcome,) = result.outcomes
    assert outcome.state is OutcomeState.FAILED
    assert outcome.hint
    assert not result.verified
    await backend.close()
