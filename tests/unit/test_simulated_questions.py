"""`qd explain` and `qd logs` of a simulated cluster."""

from __future__ import annotations

import asyncio
import json

import pytest

from console.cli import main
from console.errors import NoSuchJob
from console.model import Job, JobState, LogChunk
from console.plugin import Explainer, Logs
from plugins.simulated.backend import SimulatedBackend
from plugins.simulated.output import LINE_BYTES, LINE_S, SimulatedOutput
from tests.unit.test_simulated import Clock, opened

WAITING = (JobState.PENDING, JobState.HELD)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(clock: Clock) -> SimulatedBackend:
    return opened(clock, nodes=16, seed=3)


async def listed(backend: SimulatedBackend) -> tuple[Job, ...]:
    return (await backend.jobs()).jobs


def test_it_offers_both(backend: SimulatedBackend) -> None:
    assert isinstance(backend, Explainer)
    assert isinstance(backend, Logs)


async def test_every_job_is_explained(backend: SimulatedBackend) -> None:
    jobs = await listed(backend)
    assert {job.state for job in jobs} >= {JobState.RUNNING, JobState.PENDING, JobState.HELD}
    for job in jobs:
        found = await backend.explain(job.id)
        assert (found.job, found.state) == (job.id, job.state)
        assert found.summary.endswith(".")
        assert found.events[0].at == job.submitted_at
        if job.state in WAITING:
            assert found.causes[0].code == job.reason
            assert found.causes[0].text != job.reason
            assert found.fits
            assert sum(part.value for part in found.priority) == pytest.approx(job.priority or 0, abs=1)
            assert (found.expected_start_at is None) == ("expected_start_at" in found.missing)
        for limit in found.limits:
            assert limit.used is not None
            assert limit.limit is not None
            assert limit.asked is not None
            assert limit.used + limit.asked > limit.limit >= limit.used


async def test_places_and_dependencies(backend: SimulatedBackend) -> None:
    jobs = {job.id: job for job in await listed(backend)}
    next_ones = [job for job in jobs.values() if job.reason == "Resources"]
    assert next_ones
    for job in next_ones:
        position = (await backend.explain(job.id)).position
        assert position is not None
        assert 1 <= position <= 4
    for job in jobs.values():
        if job.reason == "Dependency":
            (needed,) = (await backend.explain(job.id)).dependencies
            assert f"{needed.condition}:{needed.id}" == job.dependency
            assert needed.id not in jobs or needed.name == jobs[needed.id].name


async def test_a_task_that_has_not_started_waits_as_its_array_does(backend: SimulatedBackend) -> None:
    array = next(job for job in await listed(backend) if job.array is not None and job.array.pending > 1)
    assert array.array is not None
    found = await backend.explain(f"{array.array.id}_9999")
    assert found.state in WAITING
    assert found.job == f"{array.array.id}_9999"


@pytest.mark.parametrize("job", ["", "foo", "1", "811203x", "811203_1"])
async def test_what_is_no_job(backend: SimulatedBackend, job: str) -> None:
    for question in (backend.explain(job), backend.log_streams(job)):
        with pytest.raises(NoSuchJob):
            await question


async def test_a_job_that_waits_has_written_nothing(backend: SimulatedBackend) -> None:
    waits = next(job for job in await listed(backend) if job.state is JobState.PENDING)
    assert await backend.log_streams(waits.id) == ()


async def test_a_job_that_runs_writes_while_time_goes_by(backend: SimulatedBackend, clock: Clock) -> None:
    runs = next(job for job in await listed(backend) if job.state is JobState.RUNNING)
    streams = await backend.log_streams(runs.id)
    assert streams[0].name == "stdout"
    assert len(streams) == runs.node_count
    reader = await backend.open_log(streams[0])
    before = await reader.tail(1 << 20)
    clock.time += 3 * LINE_S
    after = await reader.tail(1 << 20)
    assert after.end is not None
    assert before.end is not None
    assert after.end - before.end == 3 * LINE_BYTES
    assert b"loss" in after.data


async def test_any_part_is_the_same_part() -> None:
    reader = SimulatedOutput("seed", 1000, lambda: (400.0, False))
    whole = await reader.read(0, 1 << 20)
    assert len(whole.data) == 100 * LINE_BYTES
    assert whole.data.count(b"\n") == 100
    for start, length in ((0, 1), (5, LINE_BYTES), (LINE_BYTES - 1, 3), (99 * LINE_BYTES + 7, 500), (1 << 20, 9)):
        assert (await reader.read(start, length)).data == whole.data[start : start + length]
    assert (await reader.tail(10)).data == whole.data[-10:]


async def test_following_ends_with_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.simulated.output.LOOK_S", 0.001)
    state = {"elapsed": 10 * LINE_S, "runs": True}
    reader = SimulatedOutput("seed", 1000, lambda: (state["elapsed"], bool(state["runs"])))
    seen = b""
    async with asyncio.timeout(20):
        async for chunk in reader.follow(LogChunk(data=b"", start=0)):
            seen += chunk.data
            if len(seen) == 10 * LINE_BYTES:
                state |= {"elapsed": 12 * LINE_S, "runs": False}
    assert seen == (await reader.read(0, 1 << 20)).data


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "--simulate", "16:3", "--json", "state:running"]) == 0
    running = json.loads(capsys.readouterr().out)["jobs"][0]["id"]
    assert main(["explain", "--simulate", "16:3", running]) == 0
    assert "It runs on" in capsys.readouterr().out
    assert main(["explain", "--simulate", "16:3", "--json", running]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "running"
    assert main(["logs", "--simulate", "16:3", "-n", "3", running]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(" step " in line for line in lines)
    assert main(["logs", "--simulate", "16:3", "1"]) == 2
