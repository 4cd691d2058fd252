"""The probe on real sshd hosts that are not as they should be: no Python, noise, a full disk, a wrong clock."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from console.config import Overrides, load
from console.errors import TimedOut
from console.model import Sample
from console.probes import Probe, bundle, open_probe
from console.render.cells import line_text
from console.render.node_page import node_sections
from console.render.view import View
from console.session import Session
from console.transport.pool import TransportPool
from tests.needs import need
from tests.real.fleet import PATH, SshFleet, missing
from tests.real.test_probe_here import until

pytestmark = pytest.mark.real

HOURS_OFF = 3
SHIFTED = f"""#!/bin/sh
for code; do :; done
exec {{python}} -I -S -B -c "import time
true_time = time.time
time.time = lambda: true_time() + {HOURS_OFF * 3600}
$code"
"""
"""A Python whose clock is off: the last argument is the program, as the console's own command has it."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory outside /tmp, so that a host's /tmp can be taken from under it."""
    with tempfile.TemporaryDirectory(prefix="qd-hosts-", dir="/var/tmp") as name:
        yield Path(name)


@pytest.fixture
def fleet(folder: Path) -> Iterator[SshFleet]:
    """One host, h1, that a test may spoil."""
    need(missing())
    with SshFleet(1, folder) as fleet:
        yield fleet


def within(fleet: SshFleet, *argv: str) -> str:
    """Run a program as root of the host sees its files; return what it printed."""
    need(None if fleet.namespaces else "no namespaces to spoil a host in")
    pid = str(fleet.pids(0)[0])
    done = subprocess.run(
        ["nsenter", "--target", pid, "--mount", *argv], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@asynccontextmanager
async def probed(fleet: SshFleet) -> AsyncIterator[Probe]:
    """Lend a probe of the host; afterwards nothing of it runs there."""
    before = fleet.commands(0)
    pool = TransportPool(fleet.ssh_config)
    try:
        probe = await open_probe(pool.get("ssh:h1"), period_s=0.3, node="h1")
        yield probe
        await probe.close()
    finally:
        await pool.close()
    until(lambda: fleet.commands(0) == before, 30.0)


async def second_sample(probe: Probe) -> Sample:
    """Return the second sample, which has rates, of a probe that works."""
    await probe.next(20.0)
    sample = await probe.next(20.0)
    assert sample.host is not None
    assert sample.host.cpus == os.cpu_count()
    assert sample.host.cpu_percent is not None
    assert sample.host.memory_available_bytes
    return sample


def hide_pythons(fleet: SshFleet) -> None:
    """Leave none of the interpreters that are looked for on the host."""
    for name in bundle.PYTHONS:
        found = shutil.which(name, path=PATH)
        if found is not None:
            within(fleet, "mount", "--bind", "/dev/null", os.path.realpath(found))


async def test_a_host_without_python_is_read_by_its_shell(fleet: SshFleet) -> None:
    hide_pythons(fleet)
    async with probed(fleet) as probe:
        sample = await second_sample(probe)
        assert sample.cost is not None
        assert sample.cost.python == "none: read by sh"
        assert any("nvidia-smi" in line or "read -r x" in line for line in fleet.commands(0))
        await probe.pause(True)
        with pytest.raises(TimedOut):
            await probe.next(1.0)
        assert fleet.commands(0) == [], "paused, nothing runs there"
        await probe.pause(False)
        assert (await probe.next(20.0)).host is not None
        assert sample.missing["rdma"] == "not read without Python on the node"


@pytest.mark.parametrize("python", [True, False])
async def test_noise_of_start_up_files_and_banners_costs_nothing(python: bool, folder: Path) -> None:
    need(missing())
    banner = folder / "banner"
    banner.write_text("AUTHORISED USE ONLY \x1b[2J\n" * 200)
    with SshFleet(1, folder, sshd_options=(f"Banner {banner}",)) as fleet:
        # Words, errors, an escape sequence, what looks like a tick of ours, and no line end.
        fleet.nodes[0].home.joinpath(".bashrc").write_text(
            "echo module load cuda; echo oops >&2; printf '\\033]0;owned\\007'\n"
            'echo \'{"n":1,"t":1,"w":1,"p":{},"full":1}\'; echo E; printf "no line end"\n'
        )
        if not python:
            hide_pythons(fleet)
        async with probed(fleet) as probe:
            sample = await second_sample(probe)
            assert sample.cost is not None
            assert ((sample.cost.python or "").startswith("3.")) is python


async def test_a_full_disk_stops_no_probe_for_it_writes_nothing(fleet: SshFleet) -> None:
    places = ["/tmp", str(fleet.nodes[0].home)]
    for place in places:
        within(fleet, "mount", "-t", "tmpfs", "-o", "size=8k,nr_inodes=8", "tmpfs", place)
        within(fleet, "sh", "-c", f"cat /dev/zero >{place}/full 2>/dev/null; ! echo x >>{place}/more 2>/dev/null")
        assert within(fleet, "df", "--output=avail", place).split()[1] == "0"
    before = [within(fleet, "ls", "-laR", "--full-time", place) for place in places]
    async with probed(fleet) as probe:
        sample = await second_sample(probe)
        assert sample.cost is not None
        assert (sample.cost.python or "").startswith("3.")
        full = next(mount for mount in sample.mounts if mount.path == "/tmp")
        assert full.free_bytes == 0
    assert [within(fleet, "ls", "-laR", "--full-time", place) for place in places] == before


async def test_a_clock_that_is_hours_off_is_measured_and_said(folder: Path) -> None:
    need(missing())
    python = shutil.which("python3", path=PATH)
    need(None if python else "no python3 for the hosts")
    tools = folder / "tools"
    tools.mkdir()
    wrapper = tools / "python3"
    wrapper.write_text(SHIFTED.format(python=python))
    wrapper.chmod(0o755)
    fleet = SshFleet(1, folder)
    fleet.nodes[0].extra.append(f"SetEnv HOME={fleet.nodes[0].home} PATH={tools}:{PATH}")
    with fleet:
        config = load(Overrides(hosts="h1", ssh_config=str(fleet.ssh_config)), os.environ)
        session = Session(config, headless=True)
        await session.start()
        try:
            await session.settle(40.0)
            now = time.time()
            node = session.store.nodes["h1"]
            assert node.sample is not None, session.store.sources
            offset = node.sample.clock_offset_s
            assert offset is not None
            assert abs(offset - HOURS_OFF * 3600) < 60
            # What it says of itself is wrong; when it was seen is our own time.
            assert abs(node.sample.observed_at - now) < 60
            lines = [line for section in node_sections(View(session.store, now), "h1", 100) for line in section.lines]
            warning = next(line for line in lines if line_text(line).startswith("its clock"))
            assert re.search(r"(2h59m|3h00m) ahead of this one", line_text(warning))
            assert any(cell.style == "warn" for cell in warning)
        finally:
            await session.close()
