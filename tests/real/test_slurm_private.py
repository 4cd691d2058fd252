"""PrivateData on a real Slurm, as seen by somebody who is no operator."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from console.errors import Denied
from console.plugin import CheckState
from console.session import World
from console.transport.pool import TransportPool
from plugins.slurm.backend import SlurmBackend
from plugins.slurm.settings import SlurmSettings
from tests.needs import need
from tests.real.qd import qd
from tests.real.slurm_cluster import SlurmCluster, missing, wait_until

pytestmark = pytest.mark.real

NOBODY = 65534


class Private(SlurmCluster):
    """A cluster that hides something from `nobody`, who has the commands in a folder of his own."""

    def __init__(self, base: Path, hidden: str) -> None:
        super().__init__(base, nodes=2, extra=f"PrivateData={hidden}")
        self.commands = base / "as-nobody"

    def start(self) -> None:
        """Start it, with wrappers of its commands that run as nobody."""
        super().start()
        self.commands.mkdir()
        for program in ("squeue", "scontrol", "sdiag", "sbatch"):
            wrapper = self.commands / program
            real = shutil.which(program)
            wrapper.write_text(
                f'#!/bin/sh\nexec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {real} "$@"\n'
            )
            wrapper.chmod(0o755)

    def submit_as_nobody(self) -> str:
        """Submit a job of nobody; return its id."""
        words = ("--parsable", "-p", "gpu", "--gres=gpu:1", "-o", "/dev/null", "-J", "mine")
        script = "#!/bin/sh\nexec sleep 600\n"
        return self.run(str(self.commands / "sbatch"), *words, stdin=script).stdout.strip()


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder that everybody may enter; those of pytest are for its own user."""
    need(missing())
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, and setpriv, to become somebody else")
    folder = Path("/tmp") / f"qd-private-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def as_nobody(cluster: Private) -> AsyncIterator[SlurmBackend]:
    """Open the cluster as nobody."""
    pool = TransportPool()
    backend = SlurmBackend(SlurmSettings(bin=str(cluster.commands)), World(pool, cluster.environ, "lab"))
    try:
        yield backend
    finally:
        await backend.close()
        await pool.close()


async def test_nodes_and_jobs_of_others_are_hidden(base: Path) -> None:
    with Private(base, "jobs,nodes") as cluster:
        cluster.submit("-p", "gpu")
        async with as_nobody(cluster) as backend:
            records = await backend.jobs()
            assert records.jobs == (), "Slurm hides them without a word"
            with pytest.raises(Denied) as raised:
                await backend.inventory()
            assert "PrivateData" in raised.value.hint
            records = await backend.jobs()
            assert records.detail is not None
            assert "PrivateData=jobs" in records.detail
            checks = {check.subject: check for check in await backend.doctor()}
            assert checks["PrivateData"].state is CheckState.WARNING


async def test_ones_own_jobs_are_shown_and_what_is_hidden_is_said(base: Path) -> None:
    with Private(base, "jobs") as cluster:
        cluster.submit("-p", "gpu", "--gres=gpu:2", "-w", "n1")
        mine = cluster.submit_as_nobody()
        wait_until(lambda: cluster.run("squeue", "-h", "-t", "R").stdout.count("\n") == 2, 20, "both run")
        async with as_nobody(cluster) as backend:
            inventory = await backend.inventory()
            assert {node.name for node in inventory.nodes} == {"n1", "n2"}
            assert sum(node.accelerators_allocated or 0 for node in inventory.nodes) == 3, "the GPUs of all are at work"
            records = await backend.jobs()
            assert [(job.id, job.user) for job in records.jobs] == [(mine, pwd.getpwuid(NOBODY).pw_name)]
            assert records.detail is not None
            assert "PrivateData=jobs: what others own may be hidden" in records.detail


@pytest.mark.slow
def test_the_command_lists_what_it_may_see_and_says_what_is_denied(base: Path) -> None:
    with Private(base, "jobs,nodes") as cluster:
        cluster.submit("-p", "gpu")
        mine = cluster.submit_as_nobody()
        config = base / "private.toml"
        lines = ("[[cluster]]", 'name = "lab"', 'kind = "slurm"', f'bin = "{cluster.commands}"', 'telemetry = "off"')
        config.write_text("\n".join(lines) + "\n")
        done = qd("snapshot", "--json", "--config", str(config), env={"SLURM_CONF": str(cluster.conf)})
        assert done.returncode == 1, done.stderr
        state = json.loads(done.stdout)
        assert [job["id"] for job in state["jobs"]] == [mine]
        assert state["nodes"] == []
        states = {source["name"]: source["state"] for source in state["sources"]}
        assert states == {
            "slurm:lab/jobs": "ok", "slurm:lab/nodes": "denied", "slurm:lab/history": "unsupported"
        }  # fmt: skip
        assert "slurm:lab/nodes" in done.stderr
        assert "does not show this to this user" in done.stderr
        assert "PrivateData" in done.stderr
        done = qd("nodes", "--config", str(config), env={"SLURM_CONF": str(cluster.conf)})
        assert done.returncode in (1, 4)
        assert "PrivateData" in done.stderr
