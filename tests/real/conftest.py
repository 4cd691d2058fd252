"""Real systems that several tests share. An absent one is a skip with a reason, and a failure where CI=true."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.real import fleet as ssh
from tests.real.slurm_cluster import slurm  # noqa: F401 - a fixture


def need(reason: str | None) -> None:
    """Skip the test when `reason` says why something is not there; fail it where CI=true."""
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def ssh_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssh.SshFleet]:
    """Six sshd nodes, n1 to n6, for tests that leave them as they were."""
    need(ssh.missing())
    with ssh.SshFleet(6, tmp_path_factory.mktemp("ssh"), prefix="n") as fleet:
        yield fleet
