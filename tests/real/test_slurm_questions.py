"""`qd explain` and `qd logs` on a real Slurm that weighs priorities."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.errors import NoSuchJob
from plugins.slurm.backend import SlurmBackend
from plugins.slurm.settings import SlurmSettings
from tests.real.slurm_cluster import SlurmCluster, wait_until
from tests.real.test_slurm import Site

pytestmark = pytest.mark.real

PATIENCE_S = 30.0
_WEIGHTS = """\
PriorityType=priority/multifactor
PriorityDecayHalfLife=0
PriorityUsageResetPeriod=NONE
PriorityWeightAge=1000
PriorityWeightJobSize=500
PriorityWeightPartition=200
Licenses=matlab:1
"""


@pytest.fixture(scope="module")
def weighing(tmp_path_factory: pytest.TempPathFactory, slurm: SlurmCluster) -> Iterator[SlurmCluster]:
    """A cluster with priorities. It asks for the shared one only to be skipped where no Slurm is."""
    with SlurmCluster(tmp_path_factory.mktemp("weighing"), extra=_WEIGHTS) as cluster:
        yield cluster


@pytest.fixture
def cluster(weighing: SlurmCluster) -> Iterator[SlurmCluster]:
    """The same, left without jobs, reservations and drained nodes."""
    yield weighing
    weighing.cancel_all()
    weighing.run("scontrol", "delete", "ReservationName=later", check=False)


class Console:
    """`qd` as a person calls it, on one cluster and without anybody's configuration."""

    def __init__(self, cluster: SlurmCluster, home: Path) -> None:
        kept = {name: value for name, value in cluster.environ.items() if not name.startswith(("QD_", "XDG_"))}
        self.environ = {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(Path.cwd())}

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "console.cli", *arguments]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments), capture_output=True, text=True, timeout=60, env=self.environ, check=False
        )

    def explain(self, job: str) -> dict[str, Any]:
        done = self("explain", "--json", job)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def until(self, job: str, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Explain a job until the condition holds."""
        end = time.monotonic() + PATIENCE_S
        while True:
            found = self.explain(job)
            if condition(found):
                return found
            assert time.monotonic() < end, found


@pytest.fixture
def qd(cluster: SlurmCluster, tmp_path: Path) -> Console:
    return Console(cluster, tmp_path)


def code(found: dict[str, Any]) -> str:
    """Return the first reason, without what follows its comma."""
    causes: list[dict[str, str]] = found["causes"]
    return causes[0]["code"].partition(",")[0] if causes else ""


def runs(cluster: SlurmCluster, job: str) -> None:
    wait_until(lambda: cluster.run("squeue", "-h", "-j", job, "-o", "%T").stdout.strip() == "RUNNING", 30, "it runs")


def submit(cluster: SlurmCluster, script: str, *arguments: str) -> str:
    done = cluster.run("sbatch", "--parsable", *arguments, stdin=f"#!/bin/sh\n{script}\n")
    return done.stdout.strip()


# ---- why it waits


def test_a_job_that_waits_for_gpus(cluster: SlurmCluster, qd: Console) -> None:
    for _ in range(2):
        runs(cluster, cluster.submit("-J", "hog", "-p", "gpu", "--gres=gpu:a100:3"))
    big = cluster.submit("-J", "big", "-p", "gpu", "--gres=gpu:a100:4", "-t", "2:00:00")
    after = cluster.submit("-J", "after", "-p", "gpu", "--gres=gpu:a100:4", "--nice=100")
    found = qd.until(big, lambda found: code(found) == "Resources" and found["expected_start_at"])
    assert found["state"] == "pending"
    assert found["position"] == 1
    assert "backfill" in found["estimate_source"]
    assert "4 a100 GPUs" in found["summary"]
    assert [(fit["nodes"], fit["accelerators_free"]) for fit in found["fits"]] == [("n[1-2]", 2)]
    assert found["causes"][1]["code"] == "fragmented"
    assert {"job size", "partition"} <= {part["name"] for part in found["priority"]}
    second = qd.until(after, lambda found: code(found) == "Priority")
    assert second["position"] == 2
    assert {"name": "nice", "value": -100.0, "share": None, "note": ""} in second["priority"]
    text = qd("explain", big).stdout
    assert "nodes that would fit" in text
    assert "place         1 in its queue" in text


def test_a_job_that_waits_for_another_and_would_like_to_be_a_third(cluster: SlurmCluster, qd: Console) -> None:
    first = cluster.submit("-J", "first", "-p", "debug")
    forged = cluster.submit(
        *("-J", "x\n77|gpu JobId=77 StdOut=/etc/passwd", "--comment", "\nJobId=77 JobState=FAILED StdOut=/etc/passwd"),
        *("-p", "debug", "-d", f"afterok:{first}"),
    )
    found = qd.until(
        forged, lambda found: code(found) == "Dependency" and found["dependencies"][0]["state"] == "running"
    )
    assert found["dependencies"] == [{"id": first, "condition": "afterok", "name": "first", "state": "running"}]
    assert found["position"] is None
    assert found["missing"]["priority"] == "Slurm weighs a job once it may start"
    unknown = qd("explain", "77777")
    assert unknown.returncode == 2
    assert "no job is called 77777" in unknown.stderr


def test_a_held_job_says_how_to_release_it(cluster: SlurmCluster, qd: Console) -> None:
    held = cluster.submit("-p", "debug", "--hold")
    found = qd.explain(held)
    assert found["state"] == "held"
    assert found["causes"][0]["next_step"] == f"release it: scontrol release {held}"
    cluster.run("scontrol", "release", held)
    qd.until(held, lambda found: found["state"] == "running")


def test_a_job_that_waits_for_a_reservation(cluster: SlurmCluster, qd: Console) -> None:
    cluster.run(
        *("scontrol", "create", "ReservationName=later", "StartTime=now+1hour", "Duration=60"),
        *("Nodes=n2", "Users=root"),
    )
    waits = cluster.submit("-p", "gpu", "--reservation=later")
    found = qd.until(waits, lambda found: code(found) == "Reservation")
    assert "later on n2, inactive" in found["summary"]
    assert found["estimate_source"] == "the begin of reservation later"
    assert found["expected_start_at"] is not None


def test_a_job_that_waits_for_a_licence(cluster: SlurmCluster, qd: Console) -> None:
    runs(cluster, cluster.submit("-p", "debug", "-L", "matlab"))
    waits = cluster.submit("-p", "debug", "-L", "matlab")
    found = qd.until(waits, lambda found: code(found) == "Licenses")
    assert found["limits"] == [
        {"scope": "licence matlab", "resource": "license", "used": 1.0, "limit": 1.0, "asked": 1.0}
    ]


def test_a_task_of_an_array(cluster: SlurmCluster, qd: Console) -> None:
    array = cluster.submit("-J", "sweep", "-p", "debug", "--array=0-5%1")
    runs(cluster, f"{array}_0")
    found = qd.until(f"{array}_4", lambda found: code(found) == "JobArrayTaskLimit")
    assert found["job"] == f"{array}_4"
    assert found["limits"][0]["limit"] == 1.0
    assert f"JobId={array} ArrayTaskThrottle" in found["causes"][0]["next_step"]
    assert qd.explain(array)["state"] == "pending"


def test_how_a_job_ended(cluster: SlurmCluster, qd: Console) -> None:
    failed = submit(cluster, "exit 3", "-p", "debug", "-o", "/dev/null")
    found = qd.until(failed, lambda found: found["state"] == "failed")
    assert "exit code 3" in found["summary"]
    assert found["events"][-1]["text"] == "ended: failed, exit code 3"
    assert found["priority"] == []


async def test_what_it_costs(cluster: SlurmCluster) -> None:
    hog = cluster.submit("-p", "debug", "--exclusive")
    runs(cluster, hog)
    waits = cluster.submit("-p", "debug", "--exclusive")
    site = Site(cluster.environ)
    backend = SlurmBackend(SlurmSettings(), site)
    try:
        await backend.inventory()
        await backend.jobs()
        before = cluster.requests()
        await backend.explain(waits)
        after = cluster.requests()
        spent = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
        ours = {name: count for name, count in spent.items() if name.endswith(("_INFO", "_SINGLE", "_FACTORS"))}
        ours.pop("REQUEST_STATS_INFO", None)
        assert ours == {
            "REQUEST_JOB_INFO_SINGLE": 1,
            "REQUEST_PARTITION_INFO": 1,
            "REQUEST_PRIORITY_FACTORS": 1,
        }
        assert (await backend.jobs()).requests >= 3
        with pytest.raises(NoSuchJob, match="keeps no accounting"):
            await backend.explain("77777")
    finally:
        await backend.close()
        await site.local.close()


# ---- what it wrote


def lines_of(stream: Any, wanted: str) -> list[str]:
    """Read lines until one is wanted. AssertionError when it does not come."""
    found: list[str] = []
    end = time.monotonic() + PATIENCE_S
    rest = b""
    while time.monotonic() < end:
        ready, _, _ = select.select([stream], [], [], 1.0)
        if ready:
            piece = os.read(stream.fileno(), 1 << 16)
            assert piece, f"it ended after {found}"
            *whole, rest = (rest + piece).split(b"\n")
            found += [line.decode() for line in whole]
            if wanted in found:
                return found
    raise AssertionError(f"{wanted} did not come: {found}")


def test_the_output_of_a_running_job_is_followed(cluster: SlurmCluster, qd: Console, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo before\nwhile [ ! -e {go} ]; do sleep 0.1; done\necho after\nexec sleep 600"
    job = submit(cluster, script, "-J", "train", "-p", "debug", "-o", f"{tmp_path}/%x-%j-%N-%3t.log")
    runs(cluster, job)
    wait_until(lambda: any("before" in path.read_text() for path in tmp_path.glob("*.log")), 30, "it writes")
    with subprocess.Popen(qd.argv("logs", "-f", job), stdout=subprocess.PIPE, env=qd.environ) as following:
        try:
            assert lines_of(following.stdout, "before") == ["before"]
            go.touch()
            assert lines_of(following.stdout, "after") == ["after"]
            following.send_signal(signal.SIGINT)
            assert following.wait(30) == 130
        finally:
            following.kill()


def test_the_output_of_an_ended_job_and_of_a_task(cluster: SlurmCluster, qd: Console, tmp_path: Path) -> None:
    job = submit(
        cluster, "echo out; echo err >&2; exit 1", "-p", "debug", "-D", str(tmp_path), "-o", "o-%j", "-e", "e-%5j"
    )
    array = submit(cluster, "echo task $SLURM_ARRAY_TASK_ID", "-p", "debug", "-D", str(tmp_path), "--array=0-1")
    wait_until(lambda: not cluster.run("squeue", "-h", "-o", "%i").stdout.strip(), PATIENCE_S, "both have ended")
    listed = qd("logs", "--list", job).stdout.splitlines()
    assert listed == [f"stdout  {tmp_path}/o-{job}", f"stderr  {tmp_path}/e-{int(job):05}"]
    assert qd("logs", job).stdout == "out\n"
    assert qd("logs", "--stream", "stderr", job).stdout == "err\n"
    # The name that squeue gives for a task without a name of its own is not the one that Slurm writes.
    assert qd("logs", f"{array}_1").stdout == "task 1\n"


def test_the_tasks_of_one_output_are_told_apart(cluster: SlurmCluster, qd: Console, tmp_path: Path) -> None:
    script = "srun -l sh -c 'for i in 1 2 3; do date +\"%F %T $SLURM_PROCID line $i\"; sleep 0.1; done'; exec sleep 600"
    job = submit(cluster, script, "-p", "debug", "-n", "4", "-o", f"{tmp_path}/labelled.log")
    path = tmp_path / "labelled.log"
    wait_until(lambda: path.exists() and path.read_text().count("line 3") == 4, PATIENCE_S, "all have written")
    lines = qd("logs", "--ranks", "all", job).stdout.splitlines()
    assert {line[:3] for line in lines} == {f"{rank}│ " for rank in range(4)}
    assert all(line[0] == line.split(" line")[0][-1] for line in lines), "the gutter says who wrote it"
    assert len(qd("logs", "--ranks", "1-2", job).stdout.splitlines()) == 6
    since = qd("logs", "--ranks", "3", "--since", "1h", job)
    assert len(since.stdout.splitlines()) == 3, since.stderr


def test_a_file_for_every_task_is_read_together(cluster: SlurmCluster, qd: Console, tmp_path: Path) -> None:
    script = f"srun -o {tmp_path}/%j-%t.out sh -c 'echo $SLURM_PROCID wrote'; exec sleep 600"
    job = submit(cluster, script, "-p", "debug", "-n", "4", "-o", f"{tmp_path}/%j-%t.out")
    wait_until((tmp_path / f"{job}-3.out").exists, PATIENCE_S, "the last has written")
    wait_until(lambda: "wrote" in (tmp_path / f"{job}-1.out").read_text(), PATIENCE_S, "and the second")
    assert [line.split()[0] for line in qd("logs", "--list", job).stdout.splitlines()] == ["stdout", *["rank"] * 3]
    done = qd("logs", "--ranks", "1,3", job)
    assert sorted(done.stdout.splitlines()) == ["1│ 1 wrote", "3│ 3 wrote"], done.stderr


def test_a_job_without_output_says_why(cluster: SlurmCluster, qd: Console, tmp_path: Path) -> None:
    waits = cluster.submit("-p", "debug", "--hold")
    done = qd("logs", waits)
    assert done.returncode == 2
    assert "it has written nothing yet" in done.stderr
    silent = cluster.submit("-p", "debug")
    runs(cluster, silent)
    assert "it writes to /dev/null" in qd("logs", silent).stderr
    gone = submit(cluster, "exec sleep 600", "-p", "debug", "-o", f"{tmp_path}/gone.log")
    runs(cluster, gone)
    wait_until((tmp_path / "gone.log").exists, PATIENCE_S, "its output is there")
    (tmp_path / "gone.log").unlink()
    done = qd("logs", gone)
    assert done.returncode != 0
    assert "there is no such file on local" in done.stderr
