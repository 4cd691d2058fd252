"""The PBS plugin against a real OpenPBS: what it shows of a cluster that works, and of one that breaks."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from console.errors import Denied, NoSuchJob, TimedOut, Unreachable, Unsupported
from console.model import Job, JobState, Node, NodeState, Records
from console.plugin import CheckState
from console.transport.base import Transport
from plugins.pbs.backend import PbsBackend
from plugins.pbs.settings import PbsSettings
from tests.real.pbs_cluster import SERVER, PbsCluster, wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

T = TypeVar("T")
WAIT_S = 30.0


class Site:
    """A login node of the cluster (its server) and its hosts, as one user."""

    environ: Mapping[str, str] = {}
    cluster = "lab"

    def __init__(self, pbs: PbsCluster, user: str) -> None:
        self._pbs, self._user = pbs, user
        self.later_s = 0.0

    def which(self, program: str) -> str | None:
        return None

    def transport(self, via: str | None = None) -> Transport:
        return self._pbs.transport((via or SERVER).removeprefix("ssh:"), self._user)

    def expand(self, nodeset: str) -> list[str]:
        return [nodeset]

    def now(self) -> float:
        return time.time() + self.later_s

    def wait(self) -> None:
        """Let so much time pass that all that was listed is old."""
        self.later_s += 200.0


class Seen:
    """What a store would hold of a backend's answers."""

    def __init__(self, pbs: PbsCluster, user: str = "alice") -> None:
        self.pbs = pbs
        self.site = Site(pbs, user)
        self.backend = PbsBackend(PbsSettings(), self.site)
        self.nodes: dict[str, Node] = {}
        self.jobs: dict[str, Job] = {}
        self.last = Records()

    async def look(self) -> Seen:
        """List everything, as the feed does when it is old."""
        self.site.wait()
        inventory, jobs = await self.backend.inventory(), await self.backend.jobs()
        self.last = inventory
        if "nodes" in inventory.complete:
            self.nodes.clear()
        if "jobs" in jobs.complete:
            self.jobs.clear()
        self.nodes.update((node.name, node) for node in inventory.nodes)
        self.jobs.update((job.id, job) for job in jobs.jobs)
        for name in inventory.gone_nodes:
            self.nodes.pop(name, None)
        for job_id in jobs.gone_jobs:
            self.jobs.pop(job_id, None)
        return self

    async def until(self, what: str, ready: Callable[[Seen], bool]) -> Seen:
        """Look until it is so."""
        end = time.monotonic() + WAIT_S
        while not ready(await self.look()):
            if time.monotonic() > end:
                raw = self.pbs.run("qstat", "-t", "-f").stdout
                raise AssertionError(f"not within {WAIT_S:.0f} s: {what}: {self.nodes} {self.jobs}\n{raw}")
            await asyncio.sleep(0.2)
        return self


async def eventually(ask: Callable[[], Awaitable[T]], ready: Callable[[T], bool], what: str) -> T:
    """Ask until the answer is as it should be; return it."""
    end = time.monotonic() + WAIT_S
    while not ready(answer := await ask()):
        assert time.monotonic() < end, f"not within {WAIT_S:.0f} s: {what}: {answer}"
        await asyncio.sleep(0.2)
    return answer


@pytest.fixture
def clean(pbs: PbsCluster) -> Iterator[PbsCluster]:
    """The cluster, without jobs before and after."""
    pbs.delete_all()
    yield pbs
    pbs.delete_all()


@pytest.fixture
def seen(clean: PbsCluster) -> Seen:
    return Seen(clean)


async def test_an_empty_cluster(seen: Seen) -> None:
    await seen.look()
    assert {name: node.state for name, node in seen.nodes.items()} == dict.fromkeys(
        ("gpu001", "gpu002", "gpu003"), NodeState.UP
    )
    assert {node.accelerators_total for node in seen.nodes.values()} == {8}
    assert seen.jobs == {}
    assert {queue.name: queue.state for queue in seen.last.queues} == {
        **{"workq": "started", "gpu": "started", "long": "stopped", "route": "route to gpu"},
    }
    assert seen.last.cluster is not None
    assert seen.last.cluster.version == "23.06.06"


async def test_jobs_of_every_kind(clean: PbsCluster, seen: Seen) -> None:
    began = time.time()
    train = clean.submit("-N", "train", "-q", "gpu", "-l", "select=2:ncpus=4:ngpus=8,walltime=2:00:00,place=scatter")
    array = clean.submit("-N", "sweep", "-J", "1-3", "-l", "select=1:ncpus=1:ngpus=2")
    held = clean.submit("-h", "-N", "held")
    await seen.until("they run", lambda s: {s.jobs[each].state for each in (train, array)} == {JobState.RUNNING})
    await seen.until("hosts of the array are known", lambda s: bool(s.jobs[array].node_names))
    job = seen.jobs[train]
    assert (job.name, job.user, job.queue, job.accelerators, job.node_count) == ("train", "alice", "gpu", 16, 2)
    assert len(job.node_names) == 2
    assert job.time_limit_s == 7200
    assert job.started_at is not None
    assert began - 5 <= job.started_at <= time.time() + 5, "times are UTC, whatever the zone of the cluster"
    sweep = seen.jobs[array]
    assert sweep.array is not None
    assert sweep.array.tasks == 3
    assert sweep.array.running == 3
    assert sweep.accelerators == 6
    assert seen.jobs[held].state is JobState.HELD
    await seen.until("22 GPUs are held", lambda s: sum(n.accelerators_allocated or 0 for n in s.nodes.values()) == 22)
    clean.run("qdel", train, user="alice")
    await seen.until("it is gone", lambda s: train not in s.jobs)


async def test_bytes_that_are_no_text_cost_nothing(clean: PbsCluster, seen: Seen) -> None:
    odd = clean.submit("-h", "-N", "007", "-v", os.fsdecode(b"L=caf\xe9,A=007,B=1e400,C=nan,Q='a,b'"), "-A", "α/β")
    other = clean.submit("-h", "-N", "plain")
    await seen.until("both are seen", lambda s: {odd, other} <= s.jobs.keys())
    assert seen.jobs[odd].name == "007"
    assert seen.jobs[odd].state is JobState.HELD


async def test_a_host_taken_away_by_somebody_else(clean: PbsCluster, seen: Seen) -> None:
    job = clean.submit("-l", "select=1:ngpus=8:host=gpu002")
    await seen.until("it runs", lambda s: s.jobs[job].node_names == ("gpu002",))
    try:
        clean.run("pbsnodes", "-o", "-C", "bad dimm, ticket 7", "gpu002", user="oper")
        await seen.until("it drains", lambda s: s.nodes["gpu002"].state is NodeState.DRAINING)
        assert seen.nodes["gpu002"].reason == "bad dimm, ticket 7"
        clean.run("qdel", job, user="alice")
        await seen.until("it is drained", lambda s: s.nodes["gpu002"].state is NodeState.DRAINED)
    finally:
        clean.run("pbsnodes", "-r", "-C", "", "gpu002", user="oper")
    await seen.until("it is back", lambda s: s.nodes["gpu002"].state is NodeState.UP)


async def test_a_mom_that_dies_and_comes_back(clean: PbsCluster, seen: Seen) -> None:
    await seen.look()
    clean.signal("pbs_mom", "KILL", "gpu003")
    try:
        await seen.until("its host is down", lambda s: s.nodes["gpu003"].state is NodeState.DOWN)
        assert "node down" in (seen.nodes["gpu003"].reason or "")
    finally:
        clean.start_mom("gpu003")
    await seen.until("it is back", lambda s: s.nodes["gpu003"].state is NodeState.UP)


async def test_a_server_that_hangs_is_told_and_leaves_no_command_behind(clean: PbsCluster, seen: Seen) -> None:
    await seen.look()
    clean.signal("pbs_server.bin", "STOP")
    try:
        with pytest.raises(TimedOut, match="answers nothing"):
            await seen.look()
        assert _commands("qstat") == []
    finally:
        clean.signal("pbs_server.bin", "CONT")
    await seen.until("it answers", lambda s: len(s.nodes) == 3)


async def test_a_server_that_dies_loses_nobody_a_job(clean: PbsCluster, seen: Seen) -> None:
    job = clean.submit("-h")
    await seen.until("it is seen", lambda s: job in s.jobs)
    clean.signal("pbs_server.bin", "KILL")
    try:
        wait_until(lambda: clean.run("qstat", "-B", check=False).returncode != 0, WAIT_S, "the server is gone")
        for ask in (seen.look, lambda: seen.backend.explain(job)):
            with pytest.raises(Unreachable):
                await ask()
    finally:
        clean.restart_server()
    await seen.until("it is seen again", lambda s: job in s.jobs)
    await seen.until("all hosts are back", lambda s: {n.state for n in s.nodes.values()} == {NodeState.UP})


async def test_why_jobs_wait(clean: PbsCluster, seen: Seen) -> None:
    holder = clean.submit("-N", "holder", "-q", "gpu", "-l", "select=3:ngpus=7,place=scatter")
    await seen.until("all but three GPUs are held", lambda s: s.jobs[holder].state is JobState.RUNNING)
    waits = clean.submit("-q", "gpu", "-l", "select=1:ngpus=4")
    never = clean.submit("-q", "gpu", "-l", "select=1:ngpus=9")
    after = clean.submit("-W", f"depend=afterok:{holder}")
    stopped = clean.submit("-q", "long")
    held = clean.submit("-h")
    await seen.until("PBS says why", lambda s: all(s.jobs[each].reason for each in (waits, never, stopped)))
    told = await seen.backend.explain(waits)
    assert told.state is JobState.PENDING
    assert "ngpus" in told.causes[0].text
    assert told.causes[0].next_step
    assert [(fit.why.partition(":")[0], fit.nodes, fit.accelerators_free) for fit in told.fits] == [
        ("fragmented", "gpu[001-003]", 3),
    ]
    assert any(cause.nodes == 0 for cause in (await seen.backend.explain(never)).causes)
    told = await seen.backend.explain(after)
    assert [(each.id, each.name, each.state) for each in told.dependencies] == [(holder, "holder", JobState.RUNNING)]
    assert (await seen.backend.explain(stopped)).causes[0].code == "Queue not started."
    assert "qrls" in (await seen.backend.explain(held)).causes[0].next_step
    number = held.partition(".")[0]
    assert (await seen.backend.explain(number)).job == held
    with pytest.raises(NoSuchJob):
        await seen.backend.explain("999999")
    clean.run("qdel", holder, user="alice")
    told = await eventually(lambda: seen.backend.explain(holder), lambda e: e.state is JobState.CANCELLED, "it is over")
    assert "deleted" in told.summary


async def test_a_limit_is_explained_with_its_amounts(clean: PbsCluster, seen: Seen) -> None:
    clean.run("qmgr", "-c", "set queue gpu max_run_res.ngpus = [u:PBS_GENERIC=4]")
    try:
        first = clean.submit("-q", "gpu", "-l", "select=1:ngpus=4")
        await seen.until("it runs", lambda s: s.jobs[first].state is JobState.RUNNING)
        second = clean.submit("-q", "gpu", "-l", "select=1:ngpus=2")
        await seen.until("PBS says why it waits", lambda s: "limit" in (s.jobs[second].reason or ""))
        (limit,) = (await seen.backend.explain(second)).limits
        assert (limit.used, limit.limit, limit.asked, limit.resource) == (4, 4, 2, "ngpus")
    finally:
        clean.run("qmgr", "-c", "unset queue gpu max_run_res.ngpus")


async def test_a_reservation_is_shown_and_explains_its_jobs(clean: PbsCluster, seen: Seen) -> None:
    start = time.strftime("%m%d%H%M", time.localtime(time.time() + 7200))
    made = clean.run("pbs_rsub", "-R", start, "-D", "3600", "-N", "maint", "-l", "select=1:ngpus=2", user="alice")
    name = made.stdout.split()[0]
    try:
        await eventually(lambda: _reservation_state(Seen(clean)), lambda state: state == "confirmed", "it is confirmed")
        await seen.look()
        (found,) = seen.last.reservations
        assert (found.name, found.users) == (name, ("alice",))
        assert found.starts_at is not None
        assert abs(found.starts_at - time.time() - 7200) < 120
        job = clean.submit("-q", name.partition(".")[0])
        told = await seen.backend.explain(job)
        assert told.causes[0].code == f"reservation {name}"
        assert told.expected_start_at == found.starts_at
    finally:
        clean.run("pbs_rdel", name)


async def _reservation_state(seen: Seen) -> str | None:
    await seen.look()
    return seen.last.reservations[0].state if seen.last.reservations else None


WORDS = "for i in 1 2 3; do echo line $i; sleep 0.2; done; echo oops >&2; exec sleep {seconds}\n"


async def test_the_log_of_a_running_job_and_of_one_that_is_over(clean: PbsCluster, seen: Seen) -> None:
    job = clean.submit("-N", "talk", script=WORDS.format(seconds=600))
    streams = await eventually(lambda: seen.backend.log_streams(job), bool, "it has outputs")
    assert [stream.name for stream in streams] == ["stdout", "stderr"]
    reader = await eventually(lambda: _opened(seen, job), bool, "its output is there")
    assert reader is not None
    chunk = await eventually(lambda: reader.tail(1000), lambda c: b"line 3" in c.data, "it has written three lines")
    assert chunk.data == b"line 1\nline 2\nline 3\n"
    stranger = Seen(clean, "bob")
    with pytest.raises(Denied):
        await stranger.backend.open_log(streams[0])
    clean.run("qdel", job, user="alice")
    await eventually(lambda: seen.backend.explain(job), lambda e: e.state is JobState.CANCELLED, "it is over")
    after = (await seen.backend.log_streams(job))[0]
    assert after.path == f"/home/alice/talk.o{job.partition('.')[0]}"
    reader = await eventually(lambda: _opened(seen, job), bool, "it has been copied")
    assert reader is not None
    assert (await reader.tail(7)).data == b"line 3\n"


async def _opened(seen: Seen, job: str):  # type: ignore[no-untyped-def]
    """Return a reader of the first output of a job, None while there is none."""
    from console.errors import NoSuchFile

    try:
        return await seen.backend.open_log((await seen.backend.log_streams(job))[0])
    except NoSuchFile:
        return None


@pytest.mark.parametrize("options", [("-k", "oed"), ("-k", "oe"), ("-W", "sandbox=private"), ("-j", "oe")])
async def test_where_output_goes_is_known(clean: PbsCluster, seen: Seen, options: tuple[str, ...]) -> None:
    job = clean.submit("-N", "talk", *options, script=WORDS.format(seconds=600))
    await seen.until("it runs", lambda s: s.jobs[job].state is JobState.RUNNING)
    reader = await eventually(lambda: _opened(seen, job), bool, "its output is there")
    await eventually(lambda: reader.tail(1000), lambda c: b"line 3\n" in c.data, "it is read")


async def test_the_logs_of_an_array(clean: PbsCluster, seen: Seen) -> None:
    array = clean.submit("-N", "sweep", "-J", "1-2", script="echo task $PBS_ARRAY_INDEX; exec sleep 600\n")
    await seen.until("it runs", lambda s: s.jobs[array].array.running == 2)  # type: ignore[union-attr]
    streams = [s for s in await seen.backend.log_streams(array) if s.name.endswith("stdout")]
    assert [stream.rank for stream in streams] == [1, 2]
    for stream in streams:
        reader = await seen.backend.open_log(stream)
        want = f"task {stream.rank}\n".encode()
        await eventually(lambda: reader.tail(100), lambda c: c.data == want, "the task has spoken")  # noqa: B023
    task = array.replace("[]", "[2]")
    assert [stream.rank for stream in await seen.backend.log_streams(task)] == [2, 2]


async def test_the_requests_are_as_many_as_it_says(clean: PbsCluster, seen: Seen) -> None:
    """Connecting and identifying oneself (types 0 and 95) come with every command and ask for nothing."""
    log = clean.base / SERVER / "spool" / "server_logs" / time.strftime("%Y%m%d")
    await seen.look()
    before = _requests(log)
    seen.site.wait()
    told = [await seen.backend.inventory(), await seen.backend.jobs()]
    assert _requests(log) - before == sum(records.requests for records in told) == 7
    before = _requests(log)
    seen.site.later_s += 10
    quiet = [await seen.backend.inventory(), await seen.backend.jobs()]
    assert _requests(log) - before == sum(records.requests for records in quiet) == 1


async def test_what_ended_is_listed_once_with_what_it_used(clean: PbsCluster, seen: Seen) -> None:
    log = clean.base / SERVER / "spool" / "server_logs" / time.strftime("%Y%m%d")
    began = time.time()
    worked = clean.submit("-l", "select=1:ncpus=2", script="python3 -c 'x = bytearray(40 << 20)\nwhile 1: pass'\n")
    ended = clean.submit("-J", "1-2", "-l", "select=1:ncpus=1", script="exit 3\n")
    dropped = clean.submit("-h")
    wait_until(lambda: clean.used(worked, "cput") not in ("", "00:00:00"), WAIT_S, "its CPU time is looked at")
    clean.run("qdel", worked, dropped)
    wait_until(lambda: {clean.state(job) for job in (worked, ended, dropped)} == {"F"}, WAIT_S, "they end")
    before = _requests(log)
    records = await seen.backend.finished(began - 5)
    assert _requests(log) - before == records.requests
    found = {job.id: job for job in records.ended_jobs}
    assert {worked, ended, dropped} <= found.keys()
    assert found[worked].state is found[dropped].state is JobState.CANCELLED
    assert found[ended].array is not None
    assert found[dropped].usage is None
    usage = found[worked].usage
    assert usage is not None
    assert usage.cpu_percent is not None
    assert 0 < usage.cpu_percent <= 60, "one of two CPUs"
    assert (usage.memory_peak_bytes or 0) > 40 << 20
    assert began - 5 <= (found[worked].ends_at or 0) <= time.time() + 1
    again = await seen.backend.finished(began - 5)
    assert again.requests == 1, "what is known is not asked for again"
    assert {job.id for job in again.ended_jobs} == found.keys()
    assert (await seen.backend.finished(time.time() + 3600)).ended_jobs == ()
    clean.run("qmgr", "-c", "set server job_history_enable=False")
    try:
        with pytest.raises(Unsupported, match="keeps no history"):
            await seen.backend.finished(began)
    finally:
        clean.run("qmgr", "-c", "set server job_history_enable=True")


def _requests(log: Path) -> int:
    kinds = [f"Type {kind} request received from alice" for kind in (16, 19, 20, 21, 58, 71)]
    return sum(any(kind in line for kind in kinds) for line in log.read_text(errors="replace").splitlines())


def _commands(name: str) -> list[str]:
    """Return the command lines of our own children of this name that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid() and any(word.rpartition(b"/")[2] == name.encode() for word in words):
            found.append(b" ".join(words).decode(errors="replace"))
    return found


async def test_the_doctor_is_content(seen: Seen) -> None:
    checks = await seen.backend.doctor()
    assert {check.state for check in checks} == {CheckState.OK}, checks


def test_the_command_line_shows_lists_and_explains(clean: PbsCluster, tmp_path: Path) -> None:
    """Through wrappers of PBS's commands, as a site could have them."""
    for program in ("qstat", "pbsnodes", "pbs_rstat", "qselect"):
        words = shlex.join([*clean.prefix(user="alice"), "env", "TZ=UTC", program])
        (tmp_path / program).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (tmp_path / program).chmod(0o755)
    config = tmp_path / "config.toml"
    config.write_text(f'[[cluster]]\nname = "hall"\nkind = "pbs"\nbin = "{tmp_path}"\ntelemetry = "off"\n')
    job = clean.submit("-h", "-N", "wait")

    def qd(*arguments: str) -> str:
        command = [sys.executable, "-m", "console.cli", "--config", str(config), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (row,) = (row for row in json.loads(qd("jobs", "--json"))["jobs"] if row["state"] == "held")
    assert (row["id"], row["state"], row["cluster"]) == (job, "held", "hall")
    assert len(json.loads(qd("nodes", "--json"))["nodes"]) == 3
    assert "held by its owner" in qd("explain", job)
