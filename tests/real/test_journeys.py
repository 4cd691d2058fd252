"""The journeys of the three users, end to end: the real command, real sshd hosts, a real Slurm."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.real.fleet import SshFleet
from tests.real.qd import qd
from tests.real.slurm_cluster import SlurmCluster, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_twenty_hosts_of_which_three_are_dead(tmp_path: Path) -> None:
    with SshFleet(20, tmp_path, prefix="h") as fleet:
        for dead in (3, 8, 14):
            fleet.kill(dead)
        started = time.monotonic()
        done = qd("snapshot", "--json", "--hosts", "h[1-20]", "--ssh-config", str(fleet.ssh_config))
        seconds = time.monotonic() - started
        killed = {fleet.names[index] for index in (3, 8, 14)}
        assert done.returncode == 1, done.stderr
        state = json.loads(done.stdout)
        assert state["schema"] == "quarterdeck/snapshot/1"
        assert state["simulated"] is False
        nodes = {node["name"]: node for node in state["nodes"]}
        assert set(nodes) == set(fleet.names)
        assert {name for name, node in nodes.items() if node["state"] == "unreachable"} == killed
        for name, node in nodes.items():
            if name in killed:
                assert f"{name}:" in done.stderr or f" {name}" in done.stderr
                assert node["host"] is None
                assert node["missing"]
            else:
                assert node["state"] in ("up", "busy")
                assert node["host"]["memory_available_bytes"] > 0
        assert seconds < 20, "dead hosts may not hold up the answer"


def gpus(tres: str) -> int:
    """Return the GPUs of squeue's %b of one node and job."""
    total = 0
    for part in tres.split(","):
        if "gpu" in part:
            tail = part.rsplit(":", 1)[-1].split("(")[0]
            total += int(tail) if tail.isdigit() else 1
    return total


ODD_NAMES = ("odd|name", "two\nlines", "grün \x1b[31mrot", "train 7", "", "100%_[1-3]")
CLEAN_NAMES = {"odd|name", "two lines", "grün rot", "train 7", "100%_[1-3]"}


def squeue(slurm: SlurmCluster) -> dict[str, tuple[str, int]]:
    """Return what squeue says: job id (without the limit of an array's tasks) to state and GPUs."""
    lines = slurm.run("squeue", "-h", "-a", "-o", "%i|%T|%D|%b").stdout.splitlines()
    rows = [line.split("|", 3) for line in lines]
    return {re.sub(r"%\d+\]", "]", row[0]): (row[1], gpus(row[3]) * int(row[2])) for row in rows}


def test_jobs_equal_squeue(slurm: SlurmCluster) -> None:
    for arguments in (
        ("--gres=gpu:a100:2", "-N1"),
        ("--gres=gpu:1", "-N2"),
        ("--gres=gpu:h100:6", "-N1"),
        ("--gres=gpu:1", "-N1", "-p", "gpu", "--array=1-9:2%2", "--hold"),
        ("-p", "debug", "--array=0-7%2"),
        ("--gres=gpu:1", "-n1", ":", "-p", "debug", "-n1"),
        *(("-N1", "--hold", "--gres=gpu:2", "-J", name) for name in ODD_NAMES),
    ):
        slurm.submit("-p", "gpu", "--mem=100", *arguments)
    try:
        wait_until(
            lambda: [state for state, _ in squeue(slurm).values()].count("RUNNING") == 7, 30, "what can run runs"
        )
        before = squeue(slurm)
        done = qd("jobs", "--json", env=slurm.environ)
        assert done.returncode == 0, done.stderr
        assert before == squeue(slurm), "nothing changed meanwhile, else this compares two moments"
        ours = json.loads(done.stdout)["jobs"]
        assert len(ours) == len(before)
        assert {job["id"]: (job["scheduler_state"].split("+")[0], job["accelerators"]) for job in ours} == before
        assert {job["name"] for job in ours} >= CLEAN_NAMES
        assert "\x1b" not in done.stdout
        assert {job["array"]["tasks"] for job in ours if job["id"].endswith("]")} == {5, 6}
    finally:
        slurm.cancel_all()


def test_a_drain_from_outside_is_seen(slurm: SlurmCluster) -> None:
    subprocess.run(
        ["scontrol", "update", "NodeName=n4", "State=DRAIN", "Reason=bad fan 7"], check=True, env=slurm.environ
    )
    try:
        done = qd("nodes", "--json", "n4", env=slurm.environ)
        node = next(node for node in json.loads(done.stdout)["nodes"] if node["name"] == "n4")
        assert node["state"] in ("drained", "draining")
        assert node["reason"] == "bad fan 7"
        assert node["reason_by"] == "root"
        assert "DRAIN" in node["scheduler_state"]
    finally:
        subprocess.run(["scontrol", "update", "NodeName=n4", "State=RESUME"], check=False, env=slurm.environ)


def test_nothing_reachable_is_exit_three(tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text("Host gone\n  HostName 127.0.0.1\n  Port 1\n")
    done = qd("snapshot", "--json", "--hosts", "gone", "--ssh-config", str(config))
    assert done.returncode == 3
    assert "gone" in done.stderr
    assert json.loads(done.stdout)["nodes"][0]["state"] == "unreachable"
