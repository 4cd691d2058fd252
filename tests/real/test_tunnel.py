"""HTTP through a real sshd: nothing of it is open to others here, and every way in which it fails."""

from __future__ import annotations

import asyncio
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.errors import ConfigError, Denied, Unreachable
from console.transport import http
from console.transport.http import HttpClient
from console.transport.pool import TransportPool
from console.transport.tunnel import dig
from tests.needs import need
from tests.real.fleet import SshFleet, missing
from tests.unit.http_server import answer, serving

pytestmark = pytest.mark.real


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SshFleet]:
    """One node, h1, of this test alone."""
    need(missing())
    with SshFleet(1, tmp_path) as fleet:
        yield fleet


async def until(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


async def test_a_service_of_another_host_is_reached_by_a_private_socket(ssh_fleet: SshFleet) -> None:
    pool = TransportPool(ssh_fleet.ssh_config)
    async with serving({"/x": answer(b"through")}) as server:
        tunnel = dig(pool.get("ssh:n1"), *http.address(server.url))
        assert tunnel is not None
        client = HttpClient(server.url, timeout_s=20, tunnel=tunnel)
        assert await client.get("/x") == b"through"
        path = Path(await tunnel.socket())
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert client.name == f"{server.url} through n1"
        await client.close()
        assert not path.parent.exists()
    assert server.asked[0].headers["host"] == f"127.0.0.1:{server.port}"
    await pool.close()


async def test_the_way_is_dug_anew_when_the_line_died(fleet: SshFleet) -> None:
    pool = TransportPool(fleet.ssh_config)
    async with serving({"/x": answer(b"1")}) as server:
        tunnel = dig(pool.get("h1"), *http.address(server.url))
        assert tunnel is not None
        client = HttpClient(server.url, timeout_s=20, tunnel=tunnel)
        assert await client.get("/x") == b"1"
        first = Path(await tunnel.socket())
        fleet.kill(0)
        fleet.restart(0)

        async def asked() -> bool:
            try:
                return await client.get("/x") == b"1"
            except Unreachable:
                return False

        end = time.monotonic() + 20
        while not await asked():
            assert time.monotonic() < end, "it never comes back"
            await asyncio.sleep(0.05)
        assert Path(await tunnel.socket()) != first
        assert not first.exists()
        await client.close()
    await pool.close()


async def test_nobody_behind_it_and_a_host_that_forwards_nothing(tmp_path: Path) -> None:
    need(missing())
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        for options, kind in (((), Unreachable), (("AllowTcpForwarding no",), Denied)):
            directory = tmp_path / kind.__name__
            directory.mkdir()
            with SshFleet(1, directory, sshd_options=options) as fleet:
                pool = TransportPool(fleet.ssh_config)
                tunnel = dig(pool.get("h1"), "127.0.0.1", port)
                client = HttpClient(f"http://127.0.0.1:{port}", timeout_s=20, tunnel=tunnel)
                with pytest.raises(kind) as caught:
                    await client.get("/x")
                assert caught.value.hint
                assert "h1" in caught.value.where
                await client.close()
                await pool.close()


async def test_what_cannot_be_a_way(ssh_fleet: SshFleet) -> None:
    pool = TransportPool(ssh_fleet.ssh_config)
    assert dig(pool.local(), "127.0.0.1", 1) is None
    with pytest.raises(ConfigError, match="https"):
        HttpClient("https://127.0.0.1:1", tunnel=dig(pool.get("n1"), "127.0.0.1", 1))
    await pool.close()
