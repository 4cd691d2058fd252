"""What slurmctld is asked, by its own count, beside `watch -n2 squeue` and `watch -n2 sinfo`."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.programs import app, home
from benchmarks.pty import Terminal
from benchmarks.report import Part, Row
from tests.real.slurm_cluster import SlurmCluster, missing


def follow(terminals: Sequence[Terminal], seconds: float) -> None:
    """Let programs run for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for terminal in terminals:
            terminal.run(0.2)
        time.sleep(0.02)


def asked(slurm: SlurmCluster, commands: Sequence[tuple[str, ...]], env: dict[str, str], seconds: float) -> float:
    """Return the requests a minute that slurmctld counts while the commands run, without those of the counting."""
    terminals = [Terminal(command, env=env) for command in commands]
    try:
        follow(terminals, 10)
        before, began = sum(slurm.requests().values()), time.perf_counter()
        follow(terminals, seconds)
        # The first counting stands in the second one's figures, so it is taken away.
        return (sum(slurm.requests().values()) - before - 1) / (time.perf_counter() - began) * 60
    finally:
        for terminal in terminals:
            terminal.close()


def churn(slurm: SlurmCluster, seconds: int) -> subprocess.Popen[bytes]:
    """Submit a short job every ten seconds, so that there is something to see."""
    script = f"for i in $(seq {seconds // 10 + 2}); do sbatch -Q -o /dev/null --wrap 'sleep 5'; sleep 10; done"
    environ = {**os.environ, **slurm.environ}
    return subprocess.Popen(["sh", "-c", script], env=environ, stdin=subprocess.DEVNULL)


def run(quick: bool = False) -> Part:
    """Measure both on one real Slurm, idle and with jobs coming and going."""
    seconds = 20 if quick else 60
    part = Part("Requests to slurmctld")
    if why := missing():
        part.notes.append(f"Not run: {why}.")
        return part
    watches = [("watch", "-n2", "squeue"), ("watch", "-n2", "sinfo")]
    with (
        tempfile.TemporaryDirectory(prefix="qd-bench-slurm-") as directory,
        home() as empty,
        SlurmCluster(Path(directory)) as slurm,
    ):
        env = {**slurm.environ, **empty}
        quiet_watch = asked(slurm, watches, env, seconds)
        quiet = asked(slurm, [app("headless")], env, seconds)
        submitting = churn(slurm, 3 * seconds + 40)
        try:
            jobs = asked(slurm, [], env, seconds)
            busy_watch = asked(slurm, watches, env, seconds) - jobs
            busy = asked(slurm, [app("headless")], env, seconds) - jobs
        finally:
            submitting.terminate()
            submitting.wait()
    unit = "requests/min"
    beside = "watch squeue + watch sinfo"
    part.rows += [
        Row("nothing changes", quiet, unit, beside, quiet_watch, limit_ratio=0.2),
        Row("a job every 10 s", busy, unit, beside, busy_watch, limit_ratio=0.2),
    ]
    part.notes.append(
        f"By sdiag. What submitting and ending the jobs asks ({jobs:.0f}/min) is taken from both figures of row two."
    )
    return part
