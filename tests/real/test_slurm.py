"""The Slurm plugin on a real Slurm: what it shows, what it costs, and what it says when things break."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from console.errors import Denied, SourceError, TimedOut, Unreachable
from console.model import ArrayPart, Job, JobState, Node, NodeState, Records
from console.plugin import CheckState
from console.transport.local import LocalTransport
from plugins.slurm.backend import PERIOD_S, SlurmBackend
from plugins.slurm.settings import SlurmSettings
from tests.real.slurm_cluster import SlurmCluster, wait_until

pytestmark = pytest.mark.real

STATES = {
    "idle": NodeState.UP,
    "mixed": NodeState.BUSY,
    "allocated": NodeState.BUSY,
    "completing": NodeState.BUSY,
    "drained": NodeState.DRAINED,
    "draining": NodeState.DRAINING,
    "down": NodeState.DOWN,
    "maint": NodeState.MAINTENANCE,
    "reserved": NodeState.RESERVED,
}


class Site:
    """This host, with one cluster's environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.cluster = "lab"
        self.local = LocalTransport()

    def which(self, program: str) -> str | None:
        return shutil.which(program)

    def transport(self, via: str | None = None) -> LocalTransport:
        return self.local

    def expand(self, nodeset: str) -> list[str]:
        return [nodeset]

    def now(self) -> float:
        return time.time()


class Watcher:
    """A backend and the tables that its answers add up to, as a store would hold them."""

    def __init__(self, cluster: SlurmCluster, settings: SlurmSettings | None = None) -> None:
        self.site = Site(cluster.environ)
        self.backend = SlurmBackend(settings or SlurmSettings(), self.site)
        self.nodes: dict[str, Node] = {}
        self.jobs: dict[str, Job] = {}
        self.requests = 0

    async def look(self) -> None:
        """Ask for both once."""
        await self.look_at_nodes()
        await self.look_at_jobs()

    async def look_at_nodes(self) -> Records:
        records = await self.backend.inventory()
        kept = {} if "nodes" in records.complete else self.nodes
        self.nodes = {**kept, **{node.name: node for node in records.nodes}}
        for name in records.gone_nodes:
            del self.nodes[name]
        self.requests += records.requests
        return records

    async def look_at_jobs(self) -> Records:
        records = await self.backend.jobs()
        kept = {} if "jobs" in records.complete else self.jobs
        self.jobs = {**kept, **{job.id: job for job in records.jobs}}
        for job_id in records.gone_jobs:
            self.jobs.pop(job_id, None)
        self.requests += records.requests
        return records

    async def until(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Look at the pace of the backend until the condition holds; return the seconds that took."""
        began = time.monotonic()
        while True:
            await self.look()
            if condition():
                return time.monotonic() - began
            if time.monotonic() - began > seconds:
                raise AssertionError(f"not within {seconds:.0f} s: {what}")
            await asyncio.sleep(PERIOD_S / 5)


@contextlib.asynccontextmanager
async def watching(cluster: SlurmCluster, settings: SlurmSettings | None = None) -> AsyncIterator[Watcher]:
    watcher = Watcher(cluster, settings)
    try:
        yield watcher
    finally:
        await watcher.backend.close()
        await watcher.site.local.close()


@pytest.fixture
async def watcher(slurm: SlurmCluster) -> AsyncIterator[Watcher]:
    async with watching(slurm) as watcher:
        yield watcher


@pytest.fixture
def tidy(slurm: SlurmCluster) -> Iterator[SlurmCluster]:
    """The shared cluster, left as it was."""
    yield slurm
    slurm.cancel_all()
    slurm.run("scontrol", "delete", "ReservationName=qd-test", check=False)
    for node in slurm.nodes:
        slurm.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
    wait_until(lambda: "drain" not in slurm.run("sinfo", "-h", "-N", "-o", "%T").stdout, 20, "no node is drained")


async def fails(ask: Callable[[], Awaitable[object]]) -> tuple[SourceError, float]:
    """Return how it fails, and after how long."""
    began = time.monotonic()
    with pytest.raises(SourceError) as raised:
        await ask()
    return raised.value, time.monotonic() - began


# ---- what it shows


async def test_tables_equal_sinfo_and_squeue(tidy: SlurmCluster, watcher: Watcher) -> None:
    tidy.submit("-p", "gpu", "--gres=gpu:a100:2", "-J", "odd|na\nme \x1b[31m")
    tidy.submit("-p", "gpu", "--gres=gpu:1", "-N2")
    tidy.submit("-p", "gpu", "--gpus=h100:3", "--comment", "9\x1f9\nRUNNING")
    tidy.submit("-p", "gpu", "--gres=gpu:h100:8", "--hold")
    tidy.submit("-p", "debug", "--array=0-9%2")
    wait_until(lambda: tidy.run("squeue", "-h", "-t", "R").stdout.count("\n") >= 5, 20, "five jobs run")
    await watcher.look()
    rows = [line.split("|") for line in tidy.run("sinfo", "-h", "-N", "-a", "-o", "%N|%T|%c|%P").stdout.splitlines()]
    assert {row[0] for row in rows} == set(watcher.nodes)
    for name, state, cpus, partition in rows:
        node = watcher.nodes[name]
        assert node.state is STATES[state.rstrip("*~#!%$@^-+")]
        assert node.cpus == int(cpus)
        assert partition.rstrip("*") in node.partitions
    rows = [line.split("|") for line in tidy.run("squeue", "-h", "-a", "-o", "%i|%T|%D|%N").stdout.splitlines()]
    assert {row[0].replace("%2", "") for row in rows} == set(watcher.jobs)
    assert Counter(row[1] for row in rows) == Counter(job.scheduler_state for job in watcher.jobs.values())
    assert {row[0]: row[3] or None for row in rows if row[3]} == {
        job.id: job.nodes for job in watcher.jobs.values() if job.nodes
    }
    held = {job.id: job.accelerators for job in watcher.jobs.values() if job.nodes}
    assert sum(filter(None, held.values())) == 2 + 2 + 3
    assert sum(node.accelerators_allocated or 0 for node in watcher.nodes.values()) == 2 + 2 + 3
    assert {node.accelerators_total for node in watcher.nodes.values()} == {4, 8, 0}
    names = {job.name for job in watcher.jobs.values()}
    assert "odd|na me " in names or "odd|na me" in names


async def test_an_array_while_it_runs(tidy: SlurmCluster, watcher: Watcher) -> None:
    number = tidy.submit("-p", "debug", "--array=0-5%2")
    await watcher.until(lambda: f"{number}_1" in watcher.jobs, 20, "two tasks run")
    waits = watcher.jobs[f"{number}_[2-5]"]
    assert waits.array == ArrayPart(id=number, tasks=4, pending=4)
    runs = watcher.jobs[f"{number}_0"]
    assert (runs.array, runs.node_names) == (ArrayPart(id=number, tasks=1, running=1), ("n4",))
    tidy.run("scancel", f"{number}_[2-5]")
    await watcher.until(lambda: f"{number}_[2-5]" not in watcher.jobs, 20, "the rest is cancelled")


async def test_a_heterogeneous_job(tidy: SlurmCluster, watcher: Watcher) -> None:
    script = "#!/bin/sh\nexec sleep 600\n"
    parts = ("-p", "gpu", "--gres=gpu:1", "-n1", ":", "-p", "debug", "-n1")
    number = tidy.run("sbatch", "--parsable", "-o", "/dev/null", *parts, stdin=script).stdout.strip()
    await watcher.until(
        lambda: watcher.jobs.get(f"{number}+1") and watcher.jobs[f"{number}+1"].nodes, 30, "both parts run"
    )
    assert watcher.jobs[f"{number}+0"].accelerators == 1
    assert watcher.jobs[f"{number}+1"].node_names == ("n4",)


async def test_a_drain_from_outside_is_seen_within_its_period(tidy: SlurmCluster, watcher: Watcher) -> None:
    await watcher.look()
    await asyncio.sleep(PERIOD_S)
    tidy.run("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=bad fan | 7 State=IDLE")
    await asyncio.sleep(PERIOD_S)
    await watcher.look_at_nodes()
    node = watcher.nodes["n2"]
    assert node.state is NodeState.DRAINED
    assert (node.reason, node.reason_by) == ("bad fan | 7 State=IDLE", "root")
    assert node.reason_at is not None
    assert abs(node.reason_at - time.time()) < 60
    tidy.run("scontrol", "update", "NodeName=n2", "State=RESUME")
    await watcher.until(lambda: watcher.nodes["n2"].state is NodeState.UP, 20, "n2 is back")
    assert watcher.nodes["n2"].reason is None


async def test_reservations_and_partitions(tidy: SlurmCluster, watcher: Watcher) -> None:
    first = await watcher.look_at_nodes()
    assert {queue.name for queue in first.queues} == {"gpu", "debug"}
    assert first.reservations == ()
    tidy.run(
        *("scontrol", "create", "ReservationName=qd-test", "StartTime=now", "Duration=60"),
        *("Nodes=n2", "Users=root", "Flags=ignore_jobs"),
    )
    await asyncio.sleep(PERIOD_S)
    records = await watcher.look_at_nodes()
    (reservation,) = records.reservations
    assert (reservation.name, reservation.nodes, reservation.users) == ("qd-test", "n2", ("root",))
    assert "reservations" in records.complete
    await watcher.until(lambda: watcher.nodes["n2"].state is NodeState.RESERVED, 60, "n2 is reserved")


async def test_the_users_own_settings_change_nothing(tidy: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    tidy.submit("-p", "debug", "--hold")
    for name, value in {
        "SQUEUE_FORMAT": "%i",
        "SQUEUE_FORMAT2": "JobID",
        "SQUEUE_PARTITION": "nosuch",
        "SQUEUE_USERS": "nobody",
        "SQUEUE_STATES": "RUNNING",
        "SLURM_CLUSTERS": "elsewhere",
        "SLURM_TIME_FORMAT": "relative",
        "SLURM_BITSTR_LEN": "3",
        "SCONTROL_FUTURE": "1",
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "zh_CN.GB18030",
    }.items():
        monkeypatch.setenv(name, value)
    async with watching(tidy) as watcher:
        await watcher.look()
        (job,) = watcher.jobs.values()
        assert job.state is JobState.HELD
        assert job.submitted_at is not None
        assert len(watcher.nodes) == 4


# ---- what it costs


async def test_requests_are_told_as_slurmctld_counts_them(tidy: SlurmCluster, watcher: Watcher) -> None:
    before = Counter(tidy.requests())
    for step in range(4):
        await watcher.look()
        tidy.run("scontrol", "update", "NodeName=n4", f"Comment=step {step}")
        await asyncio.sleep(PERIOD_S * 0.7)
    ours = Counter(tidy.requests()) - before
    asked = {
        name: count
        for name, count in ours.items()
        if name not in ("REQUEST_UPDATE_NODE", "MESSAGE_NODE_REGISTRATION_STATUS")
    }
    assert sum(asked.values()) == watcher.requests + 1, "and one of counting"


async def test_the_first_inventory_is_there_at_once(tidy: SlurmCluster, watcher: Watcher) -> None:
    began = time.process_time()
    records = await asyncio.wait_for(watcher.look_at_nodes(), timeout=5)
    assert len(records.nodes) == 4
    assert time.process_time() - began < 1.0


# ---- what it says when things break


async def test_a_hung_slurmctld(own: SlurmCluster) -> None:
    async with watching(own) as watcher:
        await watcher.look()
        await asyncio.sleep(3.5)
        own.pause("slurmctld")
        try:
            for ask in (watcher.look_at_nodes, watcher.look_at_jobs):
                error, seconds = await fails(ask)
                assert type(error) is TimedOut
                assert "hung" in error.what
                assert seconds < 8, "Slurm's own commands take ten"
            checks = {check.subject: check for check in await watcher.backend.doctor()}
            assert checks["slurmctld"].state is CheckState.FAILED
        finally:
            own.resume("slurmctld")
        await asyncio.sleep(0.5)
        await watcher.look()


async def test_slurmctld_killed_and_started_again(own: SlurmCluster) -> None:
    async with watching(own) as watcher:
        number = own.submit("-p", "gpu", "--gres=gpu:1")
        await watcher.until(lambda: number in watcher.jobs and watcher.jobs[number].nodes, 20, "the job runs")
        await asyncio.sleep(3.5)
        own.kill("slurmctld")
        for _ in range(2):
            error, seconds = await fails(watcher.look_at_jobs)
            assert type(error) is Unreachable
            assert "slurmctld is down" in error.what
            assert seconds < 6
        assert seconds < 1, "the second time nobody waits for Slurm's own patience"
        own.start_ctld()
        seen = await watcher.until(
            lambda: (
                number in watcher.jobs
                and {node.state for node in watcher.nodes.values()} <= {NodeState.UP, NodeState.BUSY}
            ),
            40,
            "everything is as before",
        )
        assert seen < 40


async def test_restarts_under_load_never_show_a_half_table(own: SlurmCluster) -> None:
    async with watching(own) as watcher:
        for _ in range(30):
            own.submit("-p", "gpu", "--hold")
        await watcher.look()
        assert len(watcher.jobs) == 30
        outcomes: Counter[str] = Counter()

        async def ask() -> None:
            for _ in range(40):
                try:
                    await watcher.look()
                    outcomes["answers"] += 1
                except (Unreachable, TimedOut) as error:
                    outcomes[type(error).__name__] += 1
                assert len(watcher.jobs) == 30
                assert len(watcher.nodes) == 2
                await asyncio.sleep(0.1)

        asking = asyncio.ensure_future(ask())
        for how in (signal.SIGTERM, signal.SIGKILL):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(own.kill, "slurmctld", how)
            await asyncio.to_thread(own.start_ctld)
        await asking
        assert outcomes["answers"] > 10


async def test_without_munged(own: SlurmCluster) -> None:
    async with watching(own) as watcher:
        await watcher.look()
        await asyncio.sleep(3.5)
        own.kill("munged", signal.SIGTERM)
        try:
            for _ in range(2):
                error, seconds = await fails(watcher.look_at_jobs)
                assert type(error) is Unreachable
                assert "munged does not run" in error.what
                assert "munge" in error.hint
                assert seconds < 8
        finally:
            own.start_munged()
        await watcher.look()


async def test_a_key_that_differs(own: SlurmCluster, tmp_path: Path) -> None:
    with SlurmCluster(tmp_path / "other", nodes=1) as stranger:
        # A client that speaks to one cluster and gets its credentials from the munged of another.
        conf = tmp_path / "client.conf"
        conf.write_text(own.conf.read_text().replace(f"socket={own.base}/run", f"socket={stranger.base}/run"))
        async with watching(own, SlurmSettings(slurm_conf=str(conf))) as watcher:
            for _ in range(3):
                error, seconds = await fails(watcher.look_at_jobs)
                assert seconds < 6
            assert isinstance(error, Denied)
            assert "credential" in error.what
            assert "munge.key" in error.hint


async def test_the_backup_controller_takes_over(tmp_path: Path, slurm: SlurmCluster) -> None:
    with SlurmCluster(tmp_path / "pair", nodes=1, backup=True) as cluster:
        async with watching(cluster) as watcher:
            records = await watcher.look_at_nodes()
            assert records.detail is not None
            assert "controller" in records.detail
            assert "is at work" in records.detail
            assert set(watcher.nodes) == {"n1"}


def test_nothing_is_left_behind(tmp_path: Path, slurm: SlurmCluster) -> None:
    with SlurmCluster(tmp_path / "gone", nodes=2) as cluster:
        cluster.submit("-p", "gpu")
        wait_until(lambda: "R" in cluster.run("squeue", "-h", "-o", "%t").stdout, 20, "the job runs")
    left = subprocess.run(["pgrep", "-f", str(tmp_path / "gone")], capture_output=True, text=True, check=False)
    assert left.stdout == ""
