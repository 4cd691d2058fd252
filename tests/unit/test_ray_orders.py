"""Stopping jobs of Ray: what is asked of the jobs API, of which jobs nothing, and what its answers mean."""

from __future__ import annotations

import pytest

from console.errors import Denied, SourceError, TimedOut, Unreachable
from console.model import Call, Effect, Job, JobState, Order, Step
from console.plugin import CheckState, Drainer, JobControl
from console.transport.http import HttpFailure
from plugins.ray import orders
from plugins.ray.backend import RayBackend
from plugins.ray.jobs import CONNECTED
from plugins.ray.settings import RaySettings
from tests.unit import ray_world as world
from tests.unit.http_server import answer, never, serving
from tests.unit.ray_world import Site, opened


def job(job_id: str = "run-1", state: JobState = JobState.RUNNING, kind: str = "submitted") -> Job:
    return Job(id=job_id, cluster="lab", state=state, scheduler_state=state.name, detail={"kind": kind})


def test_jobs_are_stopped_one_by_one_and_nothing_takes_that_back() -> None:
    draft = orders.stopping([job(), job("wait-1", JobState.PENDING)], "lab", "http://ray")
    assert [step.run for step in draft.steps] == [
        Call(method="POST", path="/api/jobs/run-1/stop"),
        Call(method="POST", path="/api/jobs/wait-1/stop"),
    ]
    assert [step.undo for step in draft.steps] == [None, None]
    assert draft.effects == {"run-1": Effect.ENDED}


@pytest.mark.parametrize("job_id", ["a/../b", "x?y=1#z", "\u00fc 1", "%2e%2e", "a\nb"])
def test_any_id_is_one_part_of_a_path(job_id: str) -> None:
    (step,) = orders.stopping([job(job_id)], "lab", "").steps
    assert step.run.path.startswith("/api/jobs/")
    assert step.run.path.endswith("/stop")
    assert step.run.path.count("/") == 4
    assert not set("?# \n") & set(step.run.path)


def test_what_cannot_be_stopped_says_why() -> None:
    driver = job("05000000", kind=CONNECTED)
    draft = orders.stopping([job(state=JobState.FAILED), driver], "lab", "")
    assert draft.steps == ()
    assert "ended already (FAILED)" in draft.unchanged["run-1"]
    assert "end it where it runs" in draft.unchanged["05000000"]


async def test_a_driver_is_known_by_the_fresh_look() -> None:
    async with serving(world.answers()) as server:
        backend = opened(server)
        found = await backend.look_jobs(["05000000", "run-1", "nobody"])
        order = Order(action="cancel", cluster="lab", names=("05000000", "run-1"))
        draft = await backend.plan_jobs(order, found)
        await backend.close()
    assert [one.id for one in found] == ["05000000", "run-1"]
    assert [step.names for step in draft.steps] == [("run-1",)]
    assert "05000000" in draft.unchanged


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer("Job run-1 does not exist", 404, "text/plain"), SourceError),
        (answer("Can only stop submission type jobs", 400, "text/plain"), HttpFailure),
        (answer("no", 403, "text/plain"), Denied),
        (never, TimedOut),
    ],
)
async def test_a_refusal_is_told_in_the_words_of_ray(reply: object, kind: type[SourceError]) -> None:
    async with serving({**world.answers(), "/api/jobs/run-1/stop": reply}) as server:  # type: ignore[dict-item]
        backend = opened(server)
        step = Step(
            cluster="lab", names=("run-1",), run=Call(method="POST", path="/api/jobs/run-1/stop"), timeout_s=0.3
        )
        with pytest.raises(kind) as error:
            await backend.perform(step)
        await backend.close()
    assert len(server.asked) == 1, "nothing is tried twice by itself"
    if kind is TimedOut:
        assert "whether it happened is not known" in str(error.value)
    if kind is HttpFailure:
        assert "Can only stop submission type jobs" in str(error.value)


async def test_a_dashboard_that_is_gone_stops_nothing() -> None:
    backend = RayBackend(RaySettings(url="http://127.0.0.1:9"), Site())
    with pytest.raises(Unreachable) as error:
        await backend.perform(Step(cluster="lab", names=("x",), run=Call(method="POST", path="/api/jobs/x/stop")))
    await backend.close()
    assert error.value.hint


async def test_nodes_are_not_drained_and_the_doctor_says_why() -> None:
    async with serving(world.answers()) as server:
        backend = opened(server)
        assert isinstance(backend, JobControl)
        assert not isinstance(backend, Drainer)
        checks = {check.subject: check for check in await backend.doctor()}
        await backend.close()
    assert checks["draining nodes"].state is CheckState.ABSENT
    assert "leaves for good" in checks["draining nodes"].detail
    assert "ray drain-node" in checks["draining nodes"].remedy
