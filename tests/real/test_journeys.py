"""The journeys of the three users, end to end: the real command, real sshd hosts, a real Slurm."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.real.fleet import SshFleet
from tests.real.qd import qd
from tests.real.slurm_cluster import SlurmCluster

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


def test_jobs_equal_squeue(slurm: SlurmCluster) -> None:
    script = "#!/bin/sh\nsleep 300\n"
    for arguments in (
        ["--gres=gpu:a100:2", "-N1"],
        ["--gres=gpu:1", "-N2"],
        ["-N1", "--hold"],
        ["--gres=gpu:h100:8", "-N1", "-J", "odd|name"],
    ):
        subprocess.run(
            ["sbatch", "-p", "gpu", "--mem=100", "-o", "/dev/null", *arguments],
            input=script, text=True, check=True, capture_output=True, env=slurm.environ,
        )  # fmt: skip
    try:
        done = qd("jobs", "--json", env=slurm.environ)
        assert done.returncode == 0, done.stderr
        ours = json.loads(done.stdout)["jobs"]
        lines = subprocess.run(
            ["squeue", "-h", "-a", "-o", "%i %T %D %b"],
            capture_output=True, text=True, check=True, env=slurm.environ,
        ).stdout.splitlines()  # fmt: skip
        theirs = [line.split(None, 3) for line in lines]
        assert {job["id"] for job in ours} == {row[0] for row in theirs}
        assert Counter(job["scheduler_state"].split("+")[0] for job in ours) == Counter(row[1] for row in theirs)
        assert {job["id"]: job["accelerators"] for job in ours} == {
            row[0]: gpus(row[3]) * int(row[2]) for row in theirs
        }
    finally:
        subprocess.run(["scancel", "-u", "root"], check=False, env=slurm.environ)


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
