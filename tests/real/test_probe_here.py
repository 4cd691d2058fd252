"""The probe on this machine: what it says against what other tools say, every Python, and its end."""

from __future__ import annotations

import array
import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from console.errors import ConnectionLost, TimedOut
from console.model import Sample
from console.probes import Probe, bundle, open_probe
from console.transport.local import LocalTransport
from tests.needs import need, need_program

pytestmark = pytest.mark.real

SETTINGS: dict[str, str | float] = {"period_s": 0.3, "budget_percent": 100.0, "root": ""}
PYENV = Path("~/.pyenv/versions").expanduser()
VERSIONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


@pytest.fixture
async def local() -> AsyncIterator[LocalTransport]:
    transport = LocalTransport()
    yield transport
    await transport.close()


async def two(local: LocalTransport, **options: Any) -> tuple[Sample, Sample]:
    """Return two samples of this machine, the second with rates."""
    probe = await open_probe(local, period_s=0.3, node="here", budget_percent=100.0, **options)
    try:
        return await probe.next(20.0), await probe.next(20.0)
    finally:
        await probe.close()


def said(*argv: str) -> str:
    need_program(argv[0])
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_processors_and_memory_as_nproc_and_free_say(local: LocalTransport) -> None:
    host = (await two(local))[1].host
    assert host is not None
    assert host.cpus == int(said("nproc", "--all"))
    assert len(host.cores_percent) == host.cpus
    assert host.cpu_percent is not None
    assert 0 <= host.cpu_percent <= 100
    rows = {line.split(":")[0]: line.split() for line in said("free", "-b").splitlines()[1:]}
    assert host.memory_total_bytes == int(rows["Mem"][1])
    assert host.memory_available_bytes is not None
    assert abs(host.memory_available_bytes - int(rows["Mem"][6])) < 0.1 * host.memory_total_bytes
    assert host.swap_total_bytes == int(rows["Swap"][1])
    assert host.kernel == os.uname().release
    assert host.hostname == os.uname().nodename
    assert host.uptime_s is not None
    assert abs(host.uptime_s - time.clock_gettime(time.CLOCK_BOOTTIME)) < 30


async def test_mounts_as_df_says(local: LocalTransport) -> None:
    mounts = {mount.path: mount for mount in (await two(local))[1].mounts}
    rows = said("df", "-B1", "--output=size,avail,target", "/").splitlines()[1].split()
    assert mounts["/"].total_bytes == int(rows[0])
    free = mounts["/"].free_bytes
    assert free is not None
    assert abs(free - int(rows[1])) < 0.05 * int(rows[0])
    assert mounts["/"].state == "ok"


async def test_links_as_ip_says(local: LocalTransport) -> None:
    before = {entry["ifname"]: entry for entry in json.loads(said("ip", "-s", "-j", "link"))}
    links = (await two(local))[1].links
    assert links, "a machine without any interface would not run these tests"
    for link in links:
        assert link.name != "lo"
        entry = before[link.name]
        assert link.mtu == entry["mtu"]
        assert link.rx_bytes_per_s is not None
        assert link.errors is not None
        assert link.errors >= entry["stats64"]["rx"]["errors"] + entry["stats64"]["tx"]["errors"]


async def test_the_first_sample_is_quick_and_the_second_soon_after(local: LocalTransport) -> None:
    probe = await open_probe(local, period_s=30.0, node="here")
    try:
        await probe.next(10.0)
        assert (await probe.next(10.0)).host is not None, "rates do not wait for a whole period"
        await probe.set_period(0.3)
        await probe.next(10.0)
        sample = await probe.next(10.0)
        assert sample.cost is not None
        assert sample.cost.period_s == 0.3
    finally:
        await probe.close()


async def test_paused_nothing_is_read_and_resumed_it_goes_on_at_once(local: LocalTransport) -> None:
    before = set(children(os.getpid()))
    probe = await open_probe(local, period_s=0.2, node="here", budget_percent=100.0)
    try:
        await probe.next(20.0)
        (pid,) = set(children(os.getpid())) - before
        await probe.pause(True)
        await silence(probe)
        assert alive(pid)
        calls = system_calls(pid)
        with pytest.raises(TimedOut):
            await probe.next(2.0)
        assert system_calls(pid) == calls, "it sleeps"
        await probe.set_period(30.0)
        await probe.pause(False)
        await probe.next(20.0)
        sample = await probe.next(20.0)
        assert sample.host is not None
        assert sample.host.cpu_percent is not None, "a second one soon after, not after thirty seconds"
    finally:
        await probe.close()


async def silence(probe: Probe) -> None:
    """Take what was on its way and return when nothing comes any more."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            await probe.next(2.0)
        except TimedOut:
            return
    raise AssertionError("it samples on")


def system_calls(pid: int) -> int:
    """Return how many calls that read anything a process has made."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["syscr"])


LEASED = """
import console.probes.node.main as main
main.LEASE_S, main.CHECK_EVERY_S = 4.0, 0.1
main.run({"period_s": 3600.0, "budget_percent": 100.0}, None)
"""


def test_paused_too_it_ends_when_its_console_falls_silent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LEASED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        read_tick(process)
        assert process.stdin is not None
        process.stdin.write(b"pause\n")
        for _ in range(30):
            # A word now and then is all it takes.
            time.sleep(0.2)
            process.stdin.write(b"here\n")
        assert process.poll() is None, "six seconds are more than its lease"
        assert process.wait(30) == 0, "nobody says anything any more"


def interpreters() -> dict[str, str]:
    """Return every Python that is installed here, by version."""
    found = {}
    for folder in sorted(PYENV.glob("3.*")):
        found[".".join(folder.name.split(".")[:2])] = str(folder / "bin" / "python3")
    for version in VERSIONS:
        path = shutil.which(f"python{version}")
        if version not in found and path is not None and ".pyenv/shims" not in path:
            found[version] = path
    return found


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_python(version: str, local: LocalTransport) -> None:
    interpreter = interpreters().get(version)
    if interpreter is None:
        pytest.skip(f"Python {version} is not installed here")
    sample = (await two(local, interpreter=[interpreter], nvml=True))[1]
    assert sample.host is not None
    assert sample.host.cpu_percent is not None
    assert sample.links
    assert sample.mounts
    assert sample.cost is not None
    assert (sample.cost.python or "").startswith(version + ".")


async def test_a_search_for_python_ends_in_the_shell_where_there_is_none(
    local: LocalTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalTransport, "name", "remote")
    monkeypatch.setattr(bundle, "FIND_PYTHON", bundle.FIND_PYTHON.replace("python3", "no-python"))
    monkeypatch.setattr(bundle, "FIND_PYTHON", bundle.FIND_PYTHON.replace("platform-python", "no-python"))
    sample = (await two(local))[1]
    assert sample.cost is not None
    assert sample.cost.python == "none: read by sh"
    assert sample.host is not None
    assert sample.host.cpus == os.cpu_count()
    assert sample.host.memory_total_bytes


async def test_a_search_for_python_finds_one(local: LocalTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    need(None if shutil.which("python3") else "no python3 in the path")
    monkeypatch.setattr(LocalTransport, "name", "remote")
    sample = (await two(local))[1]
    assert sample.cost is not None
    assert (sample.cost.python or "").startswith("3.")


# The end


def start(*, stdin: int = subprocess.PIPE, **options: Any) -> subprocess.Popen[bytes]:
    """Start a probe without a console and hand it the bundle."""
    process = subprocess.Popen(
        bundle.python_command((sys.executable,)), stdin=stdin, stdout=subprocess.PIPE, bufsize=0, **options
    )
    assert process.stdin is not None
    process.stdin.write(bundle.payload(SETTINGS, nvml=False))
    return process


def read_tick(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    buffer = b""
    while not (buffer.endswith(b"\n") and b'{"n":' in buffer):
        data = process.stdout.read(65536)
        assert data, "the probe ended"
        buffer += data
    found: dict[str, Any] = json.loads(buffer[buffer.index(b'{"n":') :].splitlines()[0])
    return found


def test_it_ends_with_its_standard_input() -> None:
    with start() as process:
        read_tick(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def test_it_ends_when_nobody_reads_any_more() -> None:
    with start() as process:
        read_tick(process)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(10) == -signal.SIGPIPE


def test_it_ends_when_the_line_hangs_up() -> None:
    with start() as process:
        read_tick(process)
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == -signal.SIGHUP


def test_it_does_not_fill_a_line_that_nobody_reads() -> None:
    with start() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        output = process.stdout.fileno()
        # One page: the second line has to wait for somebody who reads the first.
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, 4096)
        until(lambda: waiting(output) > 0)
        process.stdin.write(b"quit\n")
        assert process.wait(10) == 0, "it listens also while its output waits"


def waiting(descriptor: int) -> int:
    """Return how many bytes wait in a pipe."""
    answer = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, answer)
    return answer[0]


PARENT = """
import asyncio
from console.probes import open_probe
from console.transport.local import LocalTransport

async def main():
    probe = await open_probe(LocalTransport(), period_s=0.3, node="here")
    await probe.next(20)
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_it_ends_when_its_console_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as console:
        assert console.stdout is not None
        assert console.stdout.readline() == b"ready\n"
        probes = children(console.pid)
        assert len(probes) == 1
        console.kill()
    until(lambda: not alive(probes[0]))


async def test_a_probe_that_is_killed_is_a_lost_connection(local: LocalTransport) -> None:
    before = set(children(os.getpid()))
    probe = await open_probe(local, period_s=0.3, node="here")
    await probe.next(20.0)
    (pid,) = set(children(os.getpid())) - before
    os.kill(pid, signal.SIGKILL)

    async def read_on() -> None:
        while True:
            await probe.next(5.0)

    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(read_on(), 10)
    await probe.close()


async def test_close_leaves_no_process(local: LocalTransport) -> None:
    before = set(children(os.getpid()))
    probe = await open_probe(local, period_s=0.3, node="here")
    await probe.next(20.0)
    (pid,) = set(children(os.getpid())) - before
    await probe.close()
    until(lambda: not alive(pid))


def test_it_writes_nothing_to_disk(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]}
    with start(env=environ, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        read_tick(process)
        links = [os.readlink(entry) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert all(link.startswith(("pipe:", "/dev/", "/proc/")) for link in links), links
        read_tick(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)
    assert list(tmp_path.iterdir()) == []


def test_it_runs_at_the_lowest_priority() -> None:
    with start() as process:
        read_tick(process)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
        assert process.stdin is not None
        process.stdin.close()
