"""A Slurm that is asked through a login node: a real slurmctld behind a real sshd."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from console.config import Overrides, load
from console.errors import HostKeyChanged, SourceError, TimedOut, Unreachable
from console.model import SourceState, SourceStatus
from console.session import Session, World
from console.transport.pool import TransportPool
from plugins.slurm.backend import SlurmBackend
from plugins.slurm.settings import SlurmSettings
from tests.needs import need
from tests.real.fleet import SshFleet, missing
from tests.real.qd import qd
from tests.real.slurm_cluster import SlurmCluster, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]

LOGIN = 0
"""The one node of the fleet: login1."""
NAMES = ('it\'s | a "name"', "two\nlines; rm -rf $HOME", "grün \x1b[31m`id`", "9\x1f9")
"""What no shell on the way may read."""
CLEAN_NAMES = {'it\'s | a "name"', "two lines; rm -rf $HOME", "grün `id`", "99"}


@pytest.fixture
def login(tmp_path: Path) -> Iterator[SshFleet]:
    """A login node."""
    need(missing())
    with SshFleet(1, tmp_path, prefix="login") as fleet:
        yield fleet


@pytest.fixture
def odd(slurm: SlurmCluster) -> Iterator[SlurmCluster]:
    """The shared cluster with jobs of odd names, an array and a drained node."""
    for name in NAMES:
        slurm.submit("-p", "gpu", "--gres=gpu:1", "-J", name)
    slurm.submit("-p", "debug", "--array=0-5%2")
    slurm.run("scontrol", "update", "NodeName=n2", "State=DRAIN", 'Reason=it\'s "bad" | $HOME')
    try:
        running = len(NAMES) + 2
        wait_until(
            lambda: slurm.run("squeue", "-h", "-t", "R", "-o", "%i").stdout.count("\n") == running,
            30,
            "all that can run",
        )
        yield slurm
    finally:
        slurm.cancel_all()
        slurm.run("scontrol", "update", "NodeName=n2", "State=RESUME")


def configured(folder: Path, fleet: SshFleet, **settings: str | float) -> Path:
    """Write a configuration of the cluster `far` behind login1; its nodes are not sampled."""
    path = folder / "via.toml"
    keys = {"name": "far", "kind": "slurm", "via": "ssh://login1", "telemetry": "off", **settings}
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    path.write_text("\n".join(["[ssh]", f'config = "{fleet.ssh_config}"', "[[cluster]]", *lines, ""]))
    return path


@asynccontextmanager
async def backend(fleet: SshFleet, **settings: str | float) -> AsyncIterator[SlurmBackend]:
    """Open Slurm through login1, on connections of its own."""
    pool = TransportPool(fleet.ssh_config)
    opened = SlurmBackend(SlurmSettings(via="ssh://login1", **settings), World(pool, {}, "far"))  # type: ignore[arg-type]
    try:
        yield opened
    finally:
        await opened.close()
        await pool.close()


async def until(condition: Callable[[], object], why: str, seconds: float = 60) -> None:
    """Wait until it holds; AssertionError when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {why}"
        await asyncio.sleep(0.05)


async def failure(ask: Callable[[], Awaitable[object]]) -> SourceError:
    """Ask until it fails, and return how: for a moment the last answer serves everybody."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            await ask()
        except SourceError as error:
            return error
        await asyncio.sleep(0.2)
    raise AssertionError("it does not fail")


# ---- what arrives


@pytest.mark.parametrize("how", ["slurm_conf", "environment of the login node"])
def test_nodes_and_jobs_through_a_login_node(odd: SlurmCluster, login: SshFleet, tmp_path: Path, how: str) -> None:
    settings = {"slurm_conf": str(odd.conf)}
    if how != "slurm_conf":
        settings = {}
        home = login.nodes[LOGIN].home
        login.nodes[LOGIN].extra.append(f"SetEnv HOME={home} PATH=/usr/bin:/bin SLURM_CONF={odd.conf}")
        login.restart(LOGIN)
    config = configured(tmp_path, login, **settings)
    # What Slurm's variables say here is about this host, and squeue's format is for somebody's eyes.
    done = qd("snapshot", "--json", "--config", str(config), env={"SLURM_CONF": "/nowhere", "SQUEUE_FORMAT": "%i"})
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert {cluster["name"]: cluster["kind"] for cluster in state["clusters"]} == {"far": "slurm"}
    nodes = {node["name"]: node for node in state["nodes"]}
    assert set(nodes) == set(odd.nodes)
    assert nodes["n2"]["reason"] == 'it\'s "bad" | $HOME'
    assert "DRAIN" in nodes["n2"]["scheduler_state"]
    rows = [line.split("|") for line in odd.run("squeue", "-h", "-a", "-o", "%i|%T").stdout.splitlines()]
    assert {job["id"] for job in state["jobs"]} == {number.replace("%2", "") for number, _ in rows}
    assert Counter(job["scheduler_state"] for job in state["jobs"]) == Counter(word for _, word in rows)
    assert {job["name"] for job in state["jobs"]} >= CLEAN_NAMES
    assert not login.commands(LOGIN), "nothing is left on the login node"


# ---- what hangs, and what dies


async def test_a_squeue_that_hangs_is_ended_on_the_far_side(
    slurm: SlurmCluster, login: SshFleet, tmp_path: Path
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("scontrol", "sdiag"):
        (folder / program).symlink_to(shutil.which(program) or program)
    squeue = folder / "squeue"
    squeue.write_text("#!/bin/sh\ntrap '' TERM HUP INT PIPE\nsleep 1000 &\nsleep 1000\n")
    squeue.chmod(0o755)
    async with backend(login, slurm_conf=str(slurm.conf), bin=str(folder), timeout_s=3.0) as far:
        asking = asyncio.create_task(far.jobs())
        await until(lambda: sum("sleep" in line for line in login.commands(LOGIN)) == 2, "squeue hangs over there")
        error = await failure(lambda: asking)
        assert type(error) is TimedOut
        assert "answers pings" in error.what
        assert error.where.startswith("login1")
        await until(lambda: not login.commands(LOGIN), "nothing of it runs on")
        assert (await far.inventory()).nodes, "the connection serves the others as before"


async def test_a_session_that_ends_leaves_nothing_behind(slurm: SlurmCluster, login: SshFleet, tmp_path: Path) -> None:
    config = configured(tmp_path, login, slurm_conf=str(slurm.conf))
    session = Session(load(Overrides(config=str(config)), {}), environ={})
    await session.start()
    await until(lambda: len(session.store.nodes) == 4, "the nodes")
    slurm.pause("slurmctld")
    try:
        await until(lambda: login.commands(LOGIN), "a command waits for slurmctld")
        await session.close()
        await until(lambda: not login.commands(LOGIN), "nothing of it runs on")
    finally:
        slurm.resume("slurmctld")
        await session.close()


async def test_what_is_dead_is_named(own: SlurmCluster, login: SshFleet) -> None:
    """The login node, its key, slurmctld behind it: each has its own words, and each comes back."""
    async with backend(login, slurm_conf=str(own.conf)) as far:
        assert len((await far.inventory()).nodes) == 2
        login.hang_up(LOGIN)
        await far.jobs()  # a line that drops is made anew, and nobody notices

        login.kill(LOGIN)
        error = await failure(far.jobs)
        assert isinstance(error, Unreachable)
        assert "slurmctld" not in error.what, "nobody can know how that is"
        assert error.where.startswith("login1")
        login.start(LOGIN)
        login.wait(LOGIN)
        await far.jobs()

        own.kill("slurmctld")
        error = await failure(far.jobs)
        assert type(error) is Unreachable
        assert "slurmctld is down" in error.what
        own.start_ctld()
        await far.jobs()

        login.change_key(LOGIN)
        error = await failure(far.jobs)
        assert type(error) is HostKeyChanged


async def test_a_login_node_that_dies_and_comes_back(own: SlurmCluster, login: SshFleet, tmp_path: Path) -> None:
    config = configured(tmp_path, login, slurm_conf=str(own.conf), requests_per_minute=240.0)
    session = Session(load(Overrides(config=str(config)), {}), environ={})

    def states() -> set[SourceState]:
        return {status.state for status in lists()}

    def lists() -> list[SourceStatus]:
        """Return how the lists are doing; this cluster keeps no accounting."""
        return [status for name, status in session.store.sources.items() if not name.endswith("/history")]

    try:
        await session.start()
        await until(lambda: states() == {SourceState.OK} and len(session.store.nodes) == 2, "all is live")
        login.kill(LOGIN)
        await until(lambda: states() == {SourceState.UNREACHABLE}, "the login node is dead")
        for status in lists():
            assert status.error is not None
            assert "login1" in status.error
            assert status.observed_at is not None, "the age of what is shown is known"
        assert set(session.store.nodes) == {"n1", "n2"}, "the last table stays"
        own.run("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=meanwhile")
        login.start(LOGIN)
        login.wait(LOGIN)
        await until(lambda: states() == {SourceState.OK}, "it is back", seconds=90)
        await until(lambda: session.store.nodes["n2"].state.value == "drained", "what happened meanwhile is seen")
    finally:
        await session.close()
