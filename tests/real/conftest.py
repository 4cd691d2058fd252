"""Real systems that several tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import need
from tests.real import fleet as ssh
from tests.real import pbs_cluster
from tests.real.slurm_cluster import SlurmCluster
from tests.real.slurm_cluster import missing as slurm_missing


@pytest.fixture(scope="session")
def ssh_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssh.SshFleet]:
    """Six sshd nodes, n1 to n6, for tests that leave them as they were."""
    need(ssh.missing())
    with ssh.SshFleet(6, tmp_path_factory.mktemp("ssh"), prefix="n") as fleet:
        yield fleet


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A running cluster of four nodes, shared by the session. Who uses it leaves no job and no drained node."""
    need(slurm_missing())
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def pbs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pbs_cluster.PbsCluster]:
    """A running OpenPBS of three MoMs, shared by the session. Who uses it leaves no job and all as it was."""
    if pbs_cluster.archive() is None:
        pytest.skip("there is no archive of OpenPBS: QD_TEST_OPENPBS names its directory")
    need(pbs_cluster.missing())
    with pbs_cluster.PbsCluster(tmp_path_factory.mktemp("pbs") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SlurmCluster]:
    """A Slurm cluster of two nodes to break."""
    need(slurm_missing())
    with SlurmCluster(tmp_path / "own", nodes=2) as cluster:
        yield cluster
