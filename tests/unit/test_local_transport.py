"""Programs on this machine."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path

import pytest

from console.errors import BadAnswer, ConnectionLost, Denied, TimedOut, Unsupported
from console.transport.local import LocalTransport


@pytest.fixture
def local() -> LocalTransport:
    return LocalTransport()


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def gone(pid: int) -> None:
    end = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < end, "the process runs on"
        await asyncio.sleep(0.01)


async def test_runs_to_the_end(local: LocalTransport) -> None:
    done = await local.run(
        ["sh", "-c", 'cat; printf "$WORD" >&2; exit 3'], timeout_s=20, stdin=b"\0\xff", env={"WORD": "x y"}
    )
    assert (done.exit_status, done.stdout, done.stderr) == (3, b"\0\xff", b"x y")
    assert (await local.run(["sh", "-c", "kill -9 $$"], timeout_s=20)).exit_status == 137
    assert (await local.run(["sh", "-c", "exit 0"], timeout_s=20, stdin=b"x" * (1 << 20))).exit_status == 0
    assert (await local.run(["cat"], timeout_s=20, stdin=b"y" * (4 << 20))).stdout == b"y" * (4 << 20)


async def test_no_shell_reads_the_arguments(local: LocalTransport) -> None:
    words = ["$(id)", "a b", "*", "'\"", "é"]
    done = await local.run(["printf", "%s\n", *words], timeout_s=20)
    assert done.stdout.decode().splitlines() == words


async def test_what_does_not_start(local: LocalTransport, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no such program"):
        await local.run(["/no/such/program"], timeout_s=20)
    plain = tmp_path / "plain"
    plain.write_text("")
    with pytest.raises(Denied):
        await local.open([str(plain)])


async def test_deadline_cancel_and_limit_end_the_whole_group(local: LocalTransport, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    script = f"trap '' TERM INT HUP; sleep 1000 & echo $! > {pidfile}.new; mv {pidfile}.new {pidfile}; wait"

    async def started() -> int:
        while not pidfile.exists():
            await asyncio.sleep(0.01)
        pid = int(pidfile.read_text())
        pidfile.unlink()
        return pid

    task = asyncio.create_task(local.run(["sh", "-c", script], timeout_s=60))
    pid = await asyncio.wait_for(started(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(pid)
    with pytest.raises(TimedOut, match=r"within 0\.5 s"):
        await local.run(["sh", "-c", script], timeout_s=0.5)
    await gone(await asyncio.wait_for(started(), 10))
    with pytest.raises(BadAnswer, match="more than 1000 bytes"):
        await local.run(["sh", "-c", f"(sleep 1000 & echo $! > {pidfile}); yes"], timeout_s=20, limit_bytes=1000)
    await gone(await asyncio.wait_for(started(), 10))


async def test_child_that_keeps_the_output_open_does_not_hold_up_the_answer(local: LocalTransport) -> None:
    with pytest.raises(TimedOut):
        await local.run(["sh", "-c", "echo done; sleep 1000 &"], timeout_s=0.5)


async def test_channel_reads_writes_and_says_how_it_ended(local: LocalTransport) -> None:
    channel = await local.open(["sh", "-c", "read x; echo got $x; printf half; echo last words >&2; exit 4"])
    await channel.write(b"it\n")
    assert await channel.read_line(10) == b"got it"
    with pytest.raises(ConnectionLost, match="status 4: last words"):
        await channel.read_line(10)
    with pytest.raises(ConnectionLost):
        await channel.write(b"more\n")
    await channel.close()
    await channel.close()


async def test_channel_close_ends_what_does_not_end_itself(local: LocalTransport) -> None:
    channel = await local.open(["sh", "-c", "trap '' TERM INT HUP; echo $$; sleep 1000 & echo $!; wait"])
    pids = [int(await channel.read_line(10)) for _ in range(2)]
    started = time.monotonic()
    await channel.close()
    assert time.monotonic() - started < 2
    for pid in pids:
        await gone(pid)
    with pytest.raises(ConnectionLost):
        await channel.read_line(10)


async def test_flood_costs_no_memory(local: LocalTransport) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    channel = await local.open(["head", "-c", "200000000", "/dev/zero"])
    with pytest.raises(BadAnswer):
        await channel.read_line(20)
    await channel.close()
    channel = await local.open(["sh", "-c", "yes | head -n 100000000"])
    for _ in range(1000):
        assert await channel.read_line(10) == b"y"
    await channel.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


async def test_close_ends_everything(local: LocalTransport) -> None:
    channel = await local.open(["sh", "-c", "echo $$; exec sleep 1000"])
    pid = int(await channel.read_line(10))
    await local.close()
    assert not alive(pid)
    assert not os.path.exists(f"/proc/{pid}/fd/0")
