"""What slurmctld is asked, by its own count, beside `watch -n2 squeue` and `watch -n2 sinfo`; and how fresh that is."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.programs import app, home
from benchmarks.pty import Terminal
from benchmarks.report import Part, Row
from console.feed.hub import Feeding, Hub
from console.feed.probing import NodeProbe
from console.model import Batch, NodeState
from console.transport.local import LocalTransport
from plugins.slurm.backend import SlurmBackend
from plugins.slurm.settings import SlurmSettings
from tests.real.slurm_cluster import SlurmCluster, missing

QUESTIONS = ("_INFO", "_STATE", "REQUEST_PING", "REQUEST_STATS_INFO", "_INFO_SINGLE")
"""Ends of the names of requests that only ask; the rest is what jobs and their submission do."""
WATCHES: list[tuple[str, ...]] = [("watch", "-n2", "squeue"), ("watch", "-n2", "sinfo")]


def questions(slurm: SlurmCluster) -> int:
    """Return how many questions slurmctld has been asked."""
    return sum(count for name, count in slurm.requests().items() if name.endswith(QUESTIONS))


def asked(slurm: SlurmCluster, commands: list[tuple[str, ...]], env: dict[str, str], seconds: float) -> float:
    """Return the questions a minute that slurmctld counts while the commands run, without those of the counting."""
    terminals = [Terminal(command, env=env) for command in commands]
    try:
        warm = time.perf_counter() + 10
        while time.perf_counter() < warm:
            for terminal in terminals:
                terminal.run(0.2)
        before, began = questions(slurm), time.perf_counter()
        while time.perf_counter() - began < seconds:
            for terminal in terminals:
                terminal.run(0.2)
        # The first counting stands in the second one's figures, so it is taken away.
        return (questions(slurm) - before - 1) / (time.perf_counter() - began) * 60
    finally:
        for terminal in terminals:
            terminal.close()


def churn(slurm: SlurmCluster, seconds: int) -> subprocess.Popen[bytes]:
    """Submit a short job every ten seconds, so that there is something to see."""
    script = f"for i in $(seq {seconds // 10 + 2}); do sbatch -Q -o /dev/null --wrap 'sleep 5'; sleep 10; done"
    environ = {**os.environ, **slurm.environ}
    return subprocess.Popen(["sh", "-c", script], env=environ, stdin=subprocess.DEVNULL)


class _Site:
    """This host, for one backend without a console around it."""

    cluster = "lab"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.local = LocalTransport()

    def which(self, program: str) -> str | None:
        return shutil.which(program)

    def transport(self, via: str | None = None) -> LocalTransport:
        return self.local

    def expand(self, nodeset: str) -> list[str]:
        return [nodeset]

    def now(self) -> float:
        return time.time()


async def _no_probe(address: str, period_s: float, node: str) -> NodeProbe:
    raise AssertionError(f"no node is probed here: {node} at {address} every {period_s} s")


async def freshness(slurm: SlurmCluster, changes: int) -> tuple[list[float], list[float]]:
    """Drain and resume a node again and again, at odd times; return after how long the feed showed it, and a watch."""
    site = _Site(slurm.environ)
    backend = SlurmBackend(SlurmSettings(), site)
    drained: dict[bool, asyncio.Event] = {True: asyncio.Event(), False: asyncio.Event()}

    def sink(batch: Batch) -> None:
        for node in batch.records.nodes if batch.records else ():
            if node.name == "n4":
                drained[node.state is NodeState.DRAINED].set()

    async def is_drained() -> bool:
        done = await asyncio.to_thread(slurm.run, "sinfo", "-h", "-n", "n4", "-o", "%T")
        return "drained" in done.stdout

    async def seconds(event: asyncio.Event, began: float) -> float:
        await asyncio.wait_for(event.wait(), timeout=60)
        return time.perf_counter() - began

    hub = Hub([Feeding(backend, telemetry="off")], _no_probe)
    running = asyncio.create_task(hub.run(sink))
    ours: list[float] = []
    theirs: list[float] = []
    try:
        await asyncio.wait_for(drained[False].wait(), timeout=20)
        for step in range(changes):
            await asyncio.sleep(11 + 1.7 * (step % 5))
            wanted = step % 2 == 0
            drained[wanted].clear()
            state = ("State=DRAIN", "Reason=benchmark") if wanted else ("State=RESUME",)
            began = time.perf_counter()
            await asyncio.to_thread(slurm.run, "scontrol", "update", "NodeName=n4", *state)
            # A watch has last looked at any moment of the two seconds before.
            await asyncio.sleep(2 * (step + 0.5) / changes)
            while await is_drained() != wanted:  # noqa: ASYNC110 - a watch does just that
                await asyncio.sleep(2)
            theirs.append(time.perf_counter() - began)
            ours.append(await seconds(drained[wanted], began))
    finally:
        running.cancel()
        await asyncio.wait({running})
        await backend.close()
        await site.local.close()
    return ours, theirs


def run(quick: bool = False) -> Part:
    """Measure both on one real Slurm, idle and with jobs coming and going."""
    seconds = 20 if quick else 60
    part = Part("Requests to slurmctld")
    if why := missing():
        part.notes.append(f"Not run: {why}.")
        return part
    with (
        tempfile.TemporaryDirectory(prefix="qd-bench-slurm-") as directory,
        home() as empty,
        SlurmCluster(Path(directory)) as slurm,
    ):
        env = {**slurm.environ, **empty}
        quiet_watch = asked(slurm, WATCHES, env, seconds)
        quiet = asked(slurm, [app("headless")], env, seconds)
        submitting = churn(slurm, 2 * seconds + 30)
        try:
            busy_watch = asked(slurm, WATCHES, env, seconds)
            busy = asked(slurm, [app("headless")], env, seconds)
        finally:
            submitting.terminate()
            submitting.wait()
        slurm.cancel_all()
        ours, theirs = asyncio.run(freshness(slurm, 3 if quick else 12))
    unit = "requests/min"
    beside = "watch squeue + watch sinfo"
    part.rows += [
        Row("nothing changes", quiet, unit, beside, quiet_watch, limit_ratio=0.2),
        Row("a job every 10 s", busy, unit, beside, busy_watch, limit_ratio=0.2),
        Row(
            "a drain or resume is seen after, median", statistics.median(ours), "s", "watch", statistics.median(theirs)
        ),
        Row("… at worst", max(ours), "s", "watch", max(theirs)),
    ]
    part.notes.append(
        "By sdiag, questions only: what jobs and their submission ask is in no figure. We look every four seconds "
        "whether anything changed, with one request that costs slurmctld the same at any size, and list what did."
    )
    return part
