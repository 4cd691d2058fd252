"""Slurm, Kubernetes, PBS and Ray at once, and one configuration that names them all.

    python -m tests.real.four run COMMAND …      with QD_TEST_FOUR_CONFIG and HOME set, e.g. qd --config …

One machine is a node of two of them: Slurm's n2 is Kubernetes' n2.hall-1.example.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.real import kube_cluster, pbs_cluster, ray_cluster, slurm_cluster
from tests.real.kube_cluster import KubeCluster, furnish, job, node, pod_spec
from tests.real.pbs_cluster import PbsCluster
from tests.real.ray_cluster import RUNNING, RayCluster
from tests.real.slurm_cluster import SlurmCluster

JOBS = "/apis/batch/v1/namespaces/lab/jobs"
SHARED = "n2"
_WEIGHTS = "PriorityType=priority/multifactor\nPriorityWeightAge=1000\n"


def missing() -> str | None:
    """Return why the four cannot run here together; None: they can."""
    whys = (slurm_cluster.missing(), kube_cluster.missing(), pbs_cluster.missing(), ray_cluster.missing())
    return next((why for why in whys if why is not None), None)


def wait(done: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait until something holds; AssertionError when it does not in time."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.2)


class Four:
    """The four clusters: `slurm`, `kube`, `pbs`, `ray`. A context manager."""

    def __init__(self, base: Path) -> None:
        self._stack = ExitStack()
        self.base = base
        self.home = base / "home"
        self.config = base / "four.toml"

    def __enter__(self) -> Self:
        for folder in (self.home, self.base / "ray"):
            folder.mkdir(parents=True)
        with ExitStack() as stack:
            self.slurm = stack.enter_context(SlurmCluster(self.base / "slurm", name="hall-2", extra=_WEIGHTS))
            self.kube = stack.enter_context(KubeCluster(self.base / "kube"))
            self.pbs = stack.enter_context(PbsCluster(self.base / "pbs"))
            self.ray = stack.enter_context(RayCluster(self.base / "ray"))
            furnish(self.kube)
            self.kube.create("/api/v1/nodes", node(f"{SHARED}.hall-1.example"))
            self._write()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environ(self) -> dict[str, str]:
        """What `qd` runs with: nobody's own configuration."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("QD_", "XDG_", "SLURM", "KUBE"))
        }
        return {**kept, "HOME": str(self.home), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(Path.cwd())}

    def _write(self) -> None:
        ssh_config = self.pbs.ssh_config(self.base / "pbs-ssh")
        self.config.write_text(
            f"""
            [ssh]
            config = "{ssh_config}"

            [[cluster]]
            name = "hall-2"
            kind = "slurm"
            slurm_conf = "{self.slurm.conf}"
            telemetry = "off"

            [[cluster]]
            name = "cloud"
            kind = "kubernetes"
            kubeconfig = "{self.kube.kubeconfig("admin", "lab")}"

            [[cluster]]
            name = "old-hall"
            kind = "pbs"
            via = "ssh://pbs01"
            bin = "/opt/pbs/bin"
            telemetry = "off"

            [[cluster]]
            name = "ray"
            kind = "ray"
            url = "{self.ray.url}"
            telemetry = "off"
            """
        )

    def work(self) -> None:
        """Let a job run and one wait in each."""
        self.slurm.submit("-J", "pretrain-7b", "--gres=gpu:4", "-N2")
        self.slurm.submit("-J", "finetune", "--gres=gpu:a100:4", "-N2")
        self.kube.create(JOBS, job("sft-13b", 2, pod_spec(8)), job("too-wide", 1, pod_spec(64)))
        self.pbs.submit("-N", "cfd", "-l", "select=1:ncpus=1")
        self.pbs.submit("-N", "waits", "-h", "-l", "select=1:ncpus=1")
        self.ray.submit("rlhf", RUNNING)
        self.ray.wait_for("rlhf", "RUNNING")

    def kill(self, which: str) -> None:
        """End a control plane at once."""
        match which:
            case "hall-2":
                self.slurm.kill("slurmctld")
            case "cloud":
                self.kube.stop("apiserver")
            case "old-hall":
                self.pbs.signal("pbs_server.bin", "KILL")
            case "ray":
                self.ray.kill("head")

    def revive(self, which: str) -> None:
        """Start it again; a Ray that lost its head is gone for good."""
        match which:
            case "hall-2":
                self.slurm.start_ctld()
            case "cloud":
                self.kube.start("apiserver")
                self.kube.ready()
            case "old-hall":
                self.pbs.restart_server()


def main() -> int:
    """Run a command beside the four, which have work; by default the console."""
    if why := missing():
        sys.exit(why)
    command = sys.argv[2:] or [sys.executable, "-m", "console.cli"]
    with tempfile.TemporaryDirectory(prefix="four") as base, Four(Path(base)) as four:
        four.work()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        environ = four.environ
        done = subprocess.run(
            [part.replace("@CONFIG@", str(four.config)) for part in command], env=environ, check=False
        )
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
