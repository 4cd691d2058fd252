"""The probe on real sshd hosts: nothing installed, nothing left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from console.probes import open_probe
from console.transport.pool import TransportPool
from tests.real import fleet as ssh
from tests.real.test_probe_here import until

pytestmark = pytest.mark.real


def samplers() -> set[int]:
    """Return the processes that run our sampler anywhere on this machine, for the nodes share its kernel."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"quarterdeck-probe" in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


async def test_nodes_are_read_over_ssh_and_left_as_they_were(ssh_fleet: ssh.SshFleet) -> None:
    before = samplers()
    pool = TransportPool(ssh_fleet.ssh_config)
    try:
        names = ssh_fleet.names[:3]
        probes = await asyncio.gather(*(open_probe(pool.get(f"ssh:{name}"), period_s=0.3, node=name) for name in names))
        assert len(samplers() - before) >= len(names)
        for name, probe in zip(names, probes, strict=True):
            await probe.next(20.0)
            sample = await probe.next(20.0)
            assert sample.node == name
            assert sample.host is not None
            assert sample.host.cpu_percent is not None
            assert [link.name for link in sample.links], "the interface of its own network namespace"
            assert sample.cost is not None
            assert (sample.cost.python or "").startswith("3.")
        await probes[0].close()
    finally:
        # The others are not closed: the connection goes, as it does when a console is killed.
        await pool.close()
    until(lambda: not samplers() - before, 20.0)
