"""The whole console over real sshd hosts of which some are dead, and its own sudden death."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from console.config import Overrides, load
from console.model import SourceState
from console.session import Session
from tests.needs import need
from tests.real.fleet import SshFleet, missing
from tests.real.test_probe_here import until

pytestmark = [pytest.mark.real, pytest.mark.slow]

QD = [sys.executable, "-m", "console.cli"]
LIVING = 30
STOPPED, KILLED = 4, 3
BLACKHOLES = 3


# ---- dead hosts


@contextmanager
def blackhole() -> Iterator[tuple[str, int]]:
    """Lend an address that answers nothing at all, not even a refusal: its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address: tuple[str, int] = listener.getsockname()
        callers = [socket.socket() for _ in range(8)]
        try:
            for caller in callers:
                caller.setblocking(False)
                caller.connect_ex(address)
            until(lambda: not _connects(address), 30.0)
            yield address
        finally:
            for caller in callers:
                caller.close()


def _connects(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=0.5).close()
    except TimeoutError:
        return False
    return True


class DeadAndAlive:
    """A fleet of forty names, ten of which are dead in three ways."""

    def __init__(self, fleet: SshFleet, config: Path) -> None:
        self.ssh_config = str(config)
        self.stopped = set(fleet.names[:STOPPED])
        self.killed = set(fleet.names[STOPPED : STOPPED + KILLED])
        self.silent = {f"b{number}" for number in range(1, BLACKHOLES + 1)}
        self.living = set(fleet.names) - self.stopped - self.killed
        self.hosts = f"b[1-{BLACKHOLES}],{fleet.names[0][0]}[1-{len(fleet.names)}]"
        """The dead ones first, so that they are asked first."""

    @property
    def dead(self) -> set[str]:
        """All that never answer."""
        return self.stopped | self.killed | self.silent


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeadAndAlive]:
    """Thirty hosts that live, four that are frozen, three that refuse and three that say nothing at all."""
    need(missing())
    folder = tmp_path_factory.mktemp("forty")
    with SshFleet(LIVING + STOPPED + KILLED, folder) as fleet, blackhole() as (address, port):
        for index in range(STOPPED):
            fleet.stop(index)
        for index in range(STOPPED, STOPPED + KILLED):
            fleet.kill(index)
        config = folder / "ssh_config"
        entries = (f"Host b{n}\n  HostName {address}\n  Port {port}\n" for n in range(1, BLACKHOLES + 1))
        config.write_text("".join(entries) + fleet.ssh_config.read_text())
        yield DeadAndAlive(fleet, config)


async def test_the_living_are_shown_while_the_dead_are_still_waited_for(forty: DeadAndAlive) -> None:
    config = load(Overrides(hosts=forty.hosts, ssh_config=forty.ssh_config), os.environ)
    # Fewer connects at a time than there are dead hosts, and each of these is waited for two minutes.
    config = msgspec.structs.replace(
        config, ssh=msgspec.structs.replace(config.ssh, max_connects=4, connect_timeout_s=120.0)
    )
    session = Session(config, headless=True)
    await session.start()
    try:
        nodes = session.store.nodes

        def measured() -> set[str]:
            return {name for name, node in nodes.items() if node.sample is not None and node.sample.host is not None}

        end = time.monotonic() + 60
        while measured() != forty.living:
            assert time.monotonic() < end, f"not yet: {sorted(forty.living - measured())}"
            await asyncio.sleep(0.1)
        assert set(nodes) == forty.living | forty.dead
        sources = session.store.sources
        for name in forty.stopped | forty.silent:
            assert sources[f"ssh:{name}"].state is SourceState.CONNECTING, "nobody waited for these"
        for name in forty.killed:
            assert sources[f"ssh:{name}"].state is SourceState.UNREACHABLE
        for name in forty.living:
            assert sources[f"ssh:{name}"].state is SourceState.OK
    finally:
        await session.close()


def test_snapshot_names_the_dead_and_ends_with_one(forty: DeadAndAlive) -> None:
    done = subprocess.run(
        [*QD, "snapshot", "--json", "--wait", "25", "--hosts", forty.hosts, "--ssh-config", forty.ssh_config],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    nodes = {node["name"]: node for node in json.loads(done.stdout)["nodes"]}
    assert set(nodes) == forty.living | forty.dead
    assert {name for name, node in nodes.items() if node["host"] is not None} == forty.living
    for name in forty.dead:
        assert nodes[name]["state"] == "unreachable"
        assert nodes[name]["missing"]["host"]
        assert f"ssh:{name}:" in done.stderr or f" {name}" in done.stderr, f"{name} is not named"
    assert not any(f"ssh:{name}:" in done.stderr for name in forty.living)


# ---- a console that is killed


@contextmanager
def console(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the console on a pty of its own, whose output is read and thrown away."""
    master, slave = pty.openpty()
    process = subprocess.Popen([*QD, *arguments], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)

    def swallow() -> None:
        with suppress(OSError):
            while os.read(master, 65536):
                pass

    reader = threading.Thread(target=swallow, daemon=True)
    reader.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        reader.join(20)
        os.close(master)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_console_that_is_killed_leaves_no_probe_on_any_host(number: signal.Signals, tmp_path: Path) -> None:
    need(missing())
    with SshFleet(4, tmp_path) as fleet:
        indexes = range(len(fleet.nodes))

        def probed() -> bool:
            return all(any("quarterdeck-probe" in line for line in fleet.commands(index)) for index in indexes)

        before = [fleet.commands(index) for index in indexes]
        with console("--hosts", "h[1-4]", "--ssh-config", str(fleet.ssh_config)) as process:
            until(probed, 30.0)
            process.send_signal(number)
            process.wait(30)
            until(lambda: [fleet.commands(index) for index in indexes] == before, 30.0)
