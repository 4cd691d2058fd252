"""The console on a real Slurm, as somebody watches it: changes from outside, and a slurmctld that fails."""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from console.config import Overrides, load
from console.session import Session
from tests.needs import need_program
from tests.real.slurm_cluster import SlurmCluster
from tests.terminal import DEADLINE_S, Tmux, wait_for

pytestmark = [pytest.mark.real, pytest.mark.slow]

KEY_S = 5.0
"""A key is answered in milliseconds; a console that waits for slurmctld would take eight seconds and more."""
BACK_S = 90.0
"""What failed several times is asked again within this time: the back-off has grown meanwhile."""
_FRESH = re.compile(r"(\d+)/(\d+) live, (\w+) (\d+)([smh])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600}


class Watched(Tmux):
    """`qd` on a login node of a cluster."""

    def __init__(self, cluster: SlurmCluster, folder: Path, *arguments: str) -> None:
        super().__init__(folder, (110, 30), *arguments, environ=cluster.environ)

    def title(self) -> str:
        """The first line of the screen."""
        return self.text().partition("\n")[0]

    def all_live(self, seconds: float = DEADLINE_S) -> None:
        """Wait until the header says that everything answers."""
        wait_for(lambda: self.title().endswith("● live"), "all is live", seconds)

    def trouble(self) -> tuple[str, int] | None:
        """The word for the worst source and the age of its last answer in seconds; None when all is live."""
        found = _FRESH.search(self.title())
        return None if found is None else (found[3], int(found[4]) * _UNIT_S[found[5]])

    def fails_as(self, *words: str) -> None:
        """Wait until the header says one of these words, with an age."""
        wait_for(lambda: (now := self.trouble()) is not None and now[0] in words, f"the header says one of {words}")

    def grows_older(self) -> None:
        """Wait until what is shown is two seconds older than now, still said to be so."""
        before = self.trouble()
        assert before is not None
        wait_for(
            lambda: (now := self.trouble()) is not None and now[1] >= before[1] + 2, f"the age grows from {before}"
        )


@pytest.fixture
def brisk(tmp_path: Path) -> Path:
    """A configuration that lets the console ask often: these tests are about what it shows, not about its thrift."""
    path = tmp_path / "brisk.toml"
    path.write_text('[[cluster]]\nname = "lab"\nkind = "slurm"\nrequests_per_minute = 240\n')
    return path


def test_a_drain_from_outside_without_a_word_of_configuration(own: SlurmCluster, tmp_path: Path) -> None:
    need_program("tmux")
    own.submit("-p", "gpu", "--gres=gpu:3", "-w", "n1", "-J", "train | 7")
    with Watched(own, tmp_path) as screen:
        screen.all_live()
        screen.shows("nodes 2/2 up", "gpus 3/8 busy", "jobs 1 run")
        wait_for(lambda: "busy" in screen.line("n1"), "the node that works says so")
        own.run("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=bad fan 7")
        wait_for(lambda: "drained" in screen.line("n2"), "the drain is seen")
        screen.keys("j")
        screen.shows("bad fan 7")


def test_a_slurmctld_that_stands_still(own: SlurmCluster, tmp_path: Path, brisk: Path) -> None:
    need_program("tmux")
    own.run("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=bad fan 7")
    number = own.submit("-p", "gpu", "--gres=gpu:3", "-J", "train | 7")
    with Watched(own, tmp_path, "--config", str(brisk)) as screen:
        screen.all_live()
        screen.shows("jobs 1 run", "gpus 3/8 busy", "drained")

        own.pause("slurmctld")
        screen.fails_as("late", "unreachable", "error")
        screen.keys("g")
        screen.shows(" 1/2", seconds=KEY_S)
        screen.keys("j")
        screen.shows(" 2/2", seconds=KEY_S)
        screen.keys("2")
        screen.shows(number, "train | 7", "running", seconds=KEY_S)
        screen.grows_older()
        screen.keys("9")
        screen.shows("slurm:lab/jobs", "slurm:lab/nodes", seconds=KEY_S)
        screen.shows("hung")
        screen.keys("1")
        screen.shows("drained", "busy", " 2/2", seconds=KEY_S)
        screen.grows_older()

        own.resume("slurmctld")
        own.run("scontrol", "update", "NodeName=n2", "State=RESUME")
        screen.all_live(BACK_S)
        wait_for(lambda: " up" in screen.line("n2"), "n2 is back")


def test_a_slurmctld_that_is_killed_and_started_again(own: SlurmCluster, tmp_path: Path, brisk: Path) -> None:
    need_program("tmux")
    first = own.submit("-p", "gpu", "--gres=gpu:1", "-J", "before")
    with Watched(own, tmp_path, "--config", str(brisk)) as screen:
        screen.all_live()
        screen.keys("2")
        screen.shows(f" {first} ", "before", "running")

        own.kill("slurmctld")
        screen.fails_as("unreachable")
        screen.grows_older()
        screen.shows(f" {first} ", "before", "running")
        screen.keys("9")
        screen.shows("slurmctld", "down", seconds=KEY_S)

        own.start_ctld()
        screen.all_live(BACK_S)
        second = own.submit("-p", "gpu", "--hold", "-J", "after")
        screen.keys("2")
        screen.shows(f" {first} ", "before", "running", f" {second} ", "after", "held")


SHAPES = (("--hold",), ("--gres=gpu:1",), ("--array=0-3%2",), ("--hold", "--gres=gpu:2"))
Rows = Counter[tuple[str, str, str]]
"""Jobs as (id, state, name)."""


async def submit_for_ever(cluster: SlurmCluster) -> None:
    """Submit one job after the other and cancel some, whether slurmctld is there or not."""
    for step in itertools.count():
        words = ("-p", "gpu", "-o", "/dev/null", "-J", f"step-{step}", *SHAPES[step % len(SHAPES)])
        script = "#!/bin/sh\nexec sleep 600\n"
        await asyncio.to_thread(cluster.run, "sbatch", *words, check=False, stdin=script)
        if step % 5 == 4:
            await asyncio.to_thread(cluster.run, "scancel", "-n", f"step-{step - 3}", check=False)


def shown(session: Session) -> Rows:
    """Return the jobs that the console has."""
    return Counter((job.id, job.scheduler_state or "", job.name or "") for job in session.store.jobs.values())


def has_jobs(session: Session, count: int) -> bool:
    """Whether the console has at least so many jobs."""
    return len(session.store.jobs) >= count


def listed(cluster: SlurmCluster) -> Rows:
    """Return the jobs that squeue lists; a task limit is no part of an id."""
    lines = cluster.run("squeue", "-h", "-a", "-o", "%i|%T|%j", check=False).stdout.splitlines()
    return Counter((number.replace("%2", ""), state, name) for number, state, name in (row.split("|") for row in lines))


async def until(condition: Callable[[], object], why: str) -> None:
    """Wait until it holds; AssertionError when it does not in time."""
    end = asyncio.get_running_loop().time() + BACK_S
    while not condition():
        assert asyncio.get_running_loop().time() < end, why
        await asyncio.sleep(0.2)


async def test_restarts_while_jobs_come_and_go(own: SlurmCluster, brisk: Path) -> None:
    """A slurmctld that is killed forgets what it had not saved, and gives the numbers away again."""
    session = Session(load(Overrides(config=str(brisk)), own.environ), environ=own.environ)
    await session.start()
    submitting = asyncio.create_task(submit_for_ever(own))
    try:
        for how in (signal.SIGTERM, signal.SIGKILL):
            before = len(session.store.jobs)
            await until(partial(has_jobs, session, before + 3), "three more jobs")
            await asyncio.to_thread(own.kill, "slurmctld", how)
            await until(lambda: session.outcome().failed, "the console sees that slurmctld is gone")
            await asyncio.to_thread(own.start_ctld)
        submitting.cancel()
        await asyncio.wait({submitting})
        await until(lambda: listed(own) and shown(session) == listed(own), "the console has what squeue lists")
        await until(lambda: not session.outcome().failed, "and says that all is live")
    finally:
        submitting.cancel()
        await session.close()
