"""Jobs that are over: what is asked of pbs_server for them, and what is made of their amounts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from console.errors import CommandFailed, Denied, Unsupported
from console.model import JobState, JobUsage
from console.plugin import Accounting
from console.transport.base import Completed
from plugins.pbs import history, rows
from plugins.pbs.backend import PbsBackend
from plugins.pbs.history import AT_ONCE, MOST
from plugins.pbs.settings import PbsSettings
from tests.unit.test_pbs_backend import Script, Site

NO_HISTORY = b"qselect: Server is not configured to maintain job history\n"
NOON = 1_795_694_400.0


def done(stdout: bytes = b"", stderr: bytes = b"", status: int = 0) -> Completed:
    return Completed(exit_status=status, stdout=stdout, stderr=stderr, seconds=0.01)


def ended(job_id: str, **more: Any) -> dict[str, Any]:
    row = {
        "Job_Name": f"job {job_id}",
        "Job_Owner": "alice@pbs01",
        "job_state": "F",
        "stime": "Thu Nov 26 11:00:00 2026",
        "obittime": "Thu Nov 26 11:01:40 2026",
        "Exit_status": 0,
        "resources_used": {"cput": "00:01:40", "mem": "64mb", "ncpus": 2, "walltime": "00:01:40"},
    }
    return row | more


class Server(Script):
    """A pbs_server with jobs that are over."""

    def __init__(self, *ids: str) -> None:
        super().__init__()
        self.jobs = {job_id: ended(job_id) for job_id in ids}
        self.words = b""

    async def run(self, argv: Any, **_: Any) -> Completed:
        self.argv.append(list(argv))
        if "qselect" in argv:
            return done("".join(f"{job_id}\n" for job_id in self.jobs).encode(), self.words)
        asked = [word for word in argv if word in self.jobs]
        table = {job_id: self.jobs[job_id] for job_id in asked}
        return done(msgspec.json.format(msgspec.json.encode({"Jobs": table}), indent=4))

    def shown(self) -> list[int]:
        """Return how many jobs each qstat since the last time named."""
        counts = [len(argv) - argv.index("json") - 1 for argv in self.argv if "qselect" not in argv]
        self.argv.clear()
        return counts


def opened(server: Script) -> PbsBackend:
    return PbsBackend(PbsSettings(), Site(server))


async def test_it_is_asked_for_what_ended_since_and_says_what_that_used() -> None:
    server = Server("1.pbs01", "2[].pbs01")
    backend = opened(server)
    assert isinstance(backend, Accounting)
    records = await backend.finished(NOON)
    assert server.argv[0][-5:] == ["qselect", "-x", "-s", "F", "-tm.ge.202611261200.00"]
    assert "TZ=UTC" in server.argv[0]
    (first, second) = records.ended_jobs
    assert (first.id, first.state, first.user) == ("1.pbs01", JobState.COMPLETED, "alice")
    assert first.usage == JobUsage(cpu_percent=50.0, memory_peak_bytes=64 << 20)
    assert second.array is not None
    assert records.requests == 4


async def test_many_are_shown_the_latest_first_and_none_twice() -> None:
    ids = [f"{number}.pbs01" for number in range(MOST + 70)]
    server = Server(*ids)
    backend = opened(server)
    records = await backend.finished(NOON)
    assert [job.id for job in records.ended_jobs] == ids[70:]
    assert "70 earlier ones" in (records.detail or "")
    assert server.shown() == [AT_ONCE] * (MOST // AT_ONCE)
    server.jobs = {job_id: ended(job_id) for job_id in [*ids[-10:], "999.pbs01"]}
    server.jobs |= {job_id: ended(job_id) for job_id in ids[:70]}
    records = await backend.finished(NOON + 60)
    assert {job.id for job in records.ended_jobs} == {*ids[:70], *ids[-10:], "999.pbs01"}
    assert sum(server.shown()) == 71
    assert "earlier" not in (records.detail or "")


async def test_what_cannot_be_read_runs_again_or_has_no_end_is_left_out() -> None:
    server = Server("1.pbs01", "2.pbs01", "3.pbs01")
    server.jobs["1.pbs01"] = ended("1.pbs01", job_state="R")
    server.jobs["2.pbs01"] = ended("2.pbs01", obittime="yesterday")
    server.jobs["-Wforce"] = server.jobs["; rm -rf"] = ended("x")
    assert [job.id for job in (await opened(server).finished(NOON)).ended_jobs] == ["3.pbs01"]
    assert all("-Wforce" not in argv for argv in server.argv), "what is no job id is never run"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (done(stderr=NO_HISTORY), Unsupported),
        (done(stderr=b"qselect: Unauthorized Request\n", status=159), Denied),
        (done(stderr=b"qselect: no idea\n", status=1), CommandFailed),
    ],
)
async def test_a_server_that_does_not_tell_says_why(answer: Completed, kind: type[Exception]) -> None:
    script = Script()
    script.answers = {"qselect": answer, **script.answers}
    with pytest.raises(kind) as error:
        await opened(script).finished(NOON)
    assert error.value.hint  # type: ignore[attr-defined]


async def test_nothing_is_lost_when_the_server_dies_in_the_middle() -> None:
    server = Server("1.pbs01", "2.pbs01")
    backend = opened(server)
    whole, broken = server.run, Script()
    broken.answers = {
        "qselect": await whole(["qselect"]),
        "qstat": done(stderr=b"qstat: cannot connect to server pbs01\n", status=255),
    }
    server.run = broken.run  # type: ignore[method-assign, assignment]
    with pytest.raises(Exception, match="pbs_server"):
        await backend.finished(NOON)
    server.run = whole  # type: ignore[method-assign]
    assert len((await backend.finished(NOON)).ended_jobs) == 2


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ({}, None),
        ({"cput": "00:00:00", "mem": "0kb", "ncpus": 8, "walltime": "00:00:00"}, None),
        ({"cput": "01:00:00", "ncpus": 2, "walltime": "01:00:00"}, JobUsage(cpu_percent=50.0)),
        ({"cput": "09:00:00", "ncpus": 2, "walltime": "01:00:00"}, JobUsage(cpu_percent=100.0)),
        ({"cput": "01:00:00", "ncpus": 0, "walltime": "01:00:00", "mem": "1gb"}, JobUsage(memory_peak_bytes=1 << 30)),
        ({"cput": ["x"], "mem": "much", "ncpus": None, "walltime": {}}, None),
    ],
)
def test_amounts(used: dict[str, Any], expected: JobUsage | None) -> None:
    row = rows.decode(msgspec.json.encode({"resources_used": used}))
    assert row is not None
    assert history.usage(row) == expected


def test_amounts_that_are_no_table() -> None:
    row = rows.decode(b'{"resources_used": "none"}')
    assert row is not None
    assert history.usage(row) is None
