"""Output that lies on a file system of the node alone, read through SSH: end, place, time, words, growth, denial."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from console.errors import Denied, NoSuchFile
from console.logs import seek
from console.logs.merged import open_merged
from console.logs.stamps import moment
from console.model import LogStream
from console.transport import files
from console.transport.base import Completed, Transport
from console.transport.files import FileReader, find_file
from console.transport.local import LocalTransport
from console.transport.pool import TransportPool
from tests.needs import need
from tests.real.fleet import SshFleet, can_unshare

pytestmark = pytest.mark.real

AT = 1_795_528_800
ONLY_THERE = "/mnt/qd-only-there"
"""A directory that is empty here; the node mounts a file system of its own over it."""


@pytest.fixture
async def node(ssh_fleet: SshFleet, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Transport]:
    """A node with /mnt of its own."""
    need(None if can_unshare() else "this user may make no namespaces")
    monkeypatch.setattr(files, "FOLLOW_FAST_S", 0.05)
    monkeypatch.setattr(files, "FOLLOW_SLOW_S", 0.1)
    monkeypatch.setattr(files, "GONE_S", 0.2)
    pool = TransportPool(ssh_config=ssh_fleet.ssh_config)
    host = pool.get("ssh:n1")
    await shell(host, f"mount -t tmpfs tmpfs /mnt && mkdir {ONLY_THERE}")
    try:
        yield host
    finally:
        await shell(host, "umount /mnt")
        await pool.close()


async def shell(host: Transport, script: str, stdin: bytes = b"") -> None:
    done = await host.run(["sh", "-c", script], timeout_s=60, stdin=stdin)
    assert done.exit_status == 0, done.stderr


async def test_a_log_that_only_the_node_has(node: Transport) -> None:
    path = f"{ONLY_THERE}/slurm-8812.out"
    assert not Path(path).exists()
    lines = [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(AT + at)) + f" step {at}" for at in range(100_000)]
    lines[10] += " the Needle"
    data = "".join(f"{line}\n" for line in lines).encode()
    await shell(node, f"cat > {path}", data)
    reader = await find_file([LocalTransport(), node], path)
    assert (await reader.tail(11)).data == data[-11:]
    assert (await reader.read(1000, 50)).data == data[1000:1050]
    found = await seek.find_last(reader, "needle", len(data))
    assert found == data.index(b"Needle")
    assert await seek.find_last(reader, "absent", len(data)) is None
    at = await seek.find_time(reader, moment("1h"))
    assert data[at:].startswith(lines[100_000 - 3601].encode())
    follow = reader.follow(await reader.tail(100))
    await shell(node, f"echo appended >> {path}")
    assert (await asyncio.wait_for(anext(follow), 30)).data == b"appended\n"
    await shell(node, f"mv {path} {path}.1; echo rotated > {path}")
    rotated = await asyncio.wait_for(anext(follow), 30)
    assert (rotated.data, rotated.anew) == (b"rotated\n", True)
    await shell(node, f"rm {path}")
    with pytest.raises(NoSuchFile):
        await asyncio.wait_for(anext(follow), 30)
    with pytest.raises(NoSuchFile, match="no such file on local, n1"):
        await find_file([LocalTransport(), node], path)


async def test_several_ranks_of_a_node_together(node: Transport) -> None:
    for rank in range(3):
        await shell(node, f"echo '2026-11-24T14:02:3{rank} from {rank}' > {ONLY_THERE}/rank-{rank}.out")

    async def opened(stream: LogStream) -> FileReader:
        return await find_file([LocalTransport(), node], stream.path or "")

    streams = [LogStream(name=f"rank {rank}", path=f"{ONLY_THERE}/rank-{rank}.out", rank=rank) for rank in range(4)]
    merged = await open_merged(opened, [(stream.rank or 0, stream) for stream in streams])
    assert list(merged.failures) == [3]
    tail = await merged.tail(1 << 20)
    assert tail.data.decode().splitlines() == [f"{rank}: 2026-11-24T14:02:3{rank} from {rank}" for rank in range(3)]
    follow = merged.follow(tail)
    await shell(node, f"echo more >> {ONLY_THERE}/rank-1.out")
    assert (await asyncio.wait_for(anext(follow), 30)).data == b"1: more\n"
    await follow.aclose()  # type: ignore[attr-defined]
    await merged.close()


class Nobody:
    """The node, logged in as somebody who owns nothing."""

    name = "n1"

    def __init__(self, node: Transport) -> None:
        self._node = node

    async def run(self, argv: Sequence[str], **options: Any) -> Completed:
        words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
        return await self._node.run([*words, *argv], **options)


async def test_a_log_of_somebody_else_is_denied(node: Transport) -> None:
    await shell(node, f"touch {ONLY_THERE}/secret && chmod 0 {ONLY_THERE}/secret")
    nobody: Transport = Nobody(node)  # type: ignore[assignment]
    with pytest.raises(Denied, match="permission denied: n1:"):
        await find_file([LocalTransport(), nobody], f"{ONLY_THERE}/secret")
