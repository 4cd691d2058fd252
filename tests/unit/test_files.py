"""Reading a file piece by piece, on this host as on any."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from console.errors import Denied, NoSuchFile, TimedOut, Unreachable, Unsupported
from console.logs import seek
from console.model import LogChunk
from console.render.log import LONGEST, LogBuffer
from console.transport import files
from console.transport.base import Completed, Transport
from console.transport.files import FileReader, find_file
from console.transport.local import LocalTransport


@pytest.fixture
def here() -> Transport:
    return LocalTransport()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FOLLOW_FAST_S", 0.01)
    monkeypatch.setattr(files, "FOLLOW_SLOW_S", 0.02)
    monkeypatch.setattr(files, "GONE_S", 0.05)


async def test_the_end_and_any_part(here: Transport, tmp_path: Path) -> None:
    path = tmp_path / "odd name; $(touch no) 'é\n.log"
    path.write_bytes(bytes(range(256)) * 100)
    reader = FileReader(here, str(path))
    tail = await reader.tail(10)
    assert tail == LogChunk(data=bytes(range(246, 256)), start=25590)
    assert tail.end == 25600
    assert (await reader.tail(1 << 20)).start == 0
    assert (await reader.read(255, 3)).data == b"\xff\x00\x01"
    assert (await reader.read(25600, 100)).data == b""
    assert (await reader.read(99999, 100)).data == b""
    assert not list(tmp_path.glob("no"))


async def test_an_empty_file_has_an_end(here: Transport, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert await FileReader(here, str(tmp_path / "empty")).tail(100) == LogChunk(data=b"", start=0)


async def test_ten_gigabytes_are_not_read(here: Transport, tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(10 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"the end\n")
    chunk = await FileReader(here, str(path)).tail(8)
    assert chunk == LogChunk(data=b"the end\n", start=10 << 30)
    assert (await FileReader(here, str(path)).read(10 << 30, 3)).data == b"the"


async def test_what_is_not_there_or_not_given_is_said(here: Transport, tmp_path: Path) -> None:
    with pytest.raises(NoSuchFile, match="no such file"):
        await FileReader(here, str(tmp_path / "absent")).tail(1)
    with pytest.raises(NoSuchFile, match="no regular file"):
        await FileReader(here, str(tmp_path)).tail(1)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NoSuchFile, match="no regular file"):
        await FileReader(here, str(tmp_path / "fifo")).tail(1)


class _Nobody:
    """This host, seen by a user who owns nothing."""

    name = "local"

    def __init__(self) -> None:
        self._here = LocalTransport()

    async def run(self, argv: Sequence[str], **options: Any) -> Completed:
        words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
        return await self._here.run([*words, *argv], **options)


async def test_permission_is_said() -> None:
    nobody: Transport = _Nobody()  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "secret")
        path.write_text("x")
        path.chmod(0)
        with pytest.raises(Denied, match="permission denied"):
            await FileReader(nobody, str(path)).tail(1)
        Path(folder).chmod(0)
        with pytest.raises(Denied, match="permission denied"):
            await FileReader(nobody, str(path)).tail(1)
        Path(folder).chmod(0o700)


async def test_what_is_appended_follows(here: Transport, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    reader = FileReader(here, str(path))
    follow = reader.follow(await reader.tail(100))
    with path.open("ab") as file:
        file.write(b"two\n")
    assert await asyncio.wait_for(anext(follow), 20) == LogChunk(data=b"two\n", start=4)
    with path.open("wb") as file:
        file.write(b"new\n")
    assert await asyncio.wait_for(anext(follow), 20) == LogChunk(data=b"new\n", start=0, anew=True)
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"rotated, and longer than before\n")
    assert await asyncio.wait_for(anext(follow), 20) == LogChunk(
        data=b"rotated, and longer than before\n", start=0, anew=True
    )
    path.unlink()
    with pytest.raises(NoSuchFile):
        await asyncio.wait_for(anext(follow), 20)


async def test_what_is_truncated_and_has_grown_past_its_old_end_is_seen(here: Transport, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old line one\nold line two\n")
    reader = FileReader(here, str(path))
    follow = reader.follow(await reader.tail(100))
    with path.open("wb") as file:
        file.write(b"copied away, and written on at once\n")
    found = await asyncio.wait_for(anext(follow), 20)
    assert found == LogChunk(data=b"copied away, and written on at once\n", start=0, anew=True)
    with path.open("ab") as file:
        file.write(b"more\n")
    assert await asyncio.wait_for(anext(follow), 20) == LogChunk(data=b"more\n", start=36)


async def test_a_file_that_is_away_for_a_moment_is_waited_for(
    here: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "GONE_S", 1e9)
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    reader = FileReader(here, str(path))
    follow = reader.follow(await reader.tail(100))
    path.rename(tmp_path / "log.1")
    waiting = asyncio.ensure_future(anext(follow))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    path.write_bytes(b"two\n")
    assert await asyncio.wait_for(waiting, 20) == LogChunk(data=b"two\n", start=0, anew=True)


async def test_more_than_one_look_brings_is_followed_whole(
    here: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FOLLOW_BYTES", 1000)
    path = tmp_path / "log"
    path.write_bytes(b"begin\n")
    reader = FileReader(here, str(path))
    follow = reader.follow(await reader.tail(100))
    data = os.urandom(5500)
    with path.open("ab") as file:
        file.write(data)
    seen = b""
    while len(seen) < len(data):
        piece = await asyncio.wait_for(anext(follow), 20)
        assert not piece.anew
        seen += piece.data
    assert seen == data


async def test_a_file_is_searched_where_it_is(here: Transport, tmp_path: Path) -> None:
    path = tmp_path / "log"
    block = 1 << 20
    data = bytearray(b"x\0\xff\n" * (block // 4) * 3)
    words = "Größe; $(touch no) '-e".encode()
    for at in (5, block - 4, 2 * block + 9):
        data[at : at + len(words)] = words
    path.write_bytes(data)
    reader = FileReader(here, str(path))
    size = len(data)
    assert await reader.search(words, 0, size) == 2 * block + 9
    assert await reader.search(words, 0, 2 * block + 9) == block - 4, "over the border of two blocks"
    assert await reader.search(words, 0, 2 * block + 10) == 2 * block + 9
    assert await reader.search(words, 6, block - 4) is None
    assert await reader.search(b"$(TOUCH no)", 0, size) == 2 * block + 9 + len("Größe; ".encode())
    assert not list(tmp_path.glob("no"))
    assert await seek.find_last(reader, "größe; $(touch", size) == 2 * block + 9
    with pytest.raises(NoSuchFile):
        await FileReader(here, str(tmp_path / "absent")).search(b"x", 0, 9)


async def test_where_grep_tells_no_offsets_the_file_is_read_here(
    here: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grep").write_text("#!/bin/sh\necho 'grep: unrecognized option: b' >&2; exit 2\n")
    (tmp_path / "grep").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(seek, "READ_BYTES", 100)
    path = tmp_path / "log"
    path.write_bytes(b"the needle\n" + b"hay\n" * 200)
    reader = FileReader(here, str(path))
    with pytest.raises(Unsupported):
        await reader.search(b"needle", 0, 100)
    left: list[int] = []
    assert await seek.find_last(reader, "NEEDLE", 811, left.append) == 4
    assert left
    assert await seek.find_last(reader, "pin", 811) is None


async def test_a_binary_file_and_an_endless_line_are_shown_in_pieces(here: Transport, tmp_path: Path) -> None:
    path = tmp_path / "endless"
    with path.open("wb") as file:
        file.write(b"head\n")
        file.truncate(10 << 30)
        file.seek(0, os.SEEK_END)
        file.write(bytes(range(14, 27)) + b"\x00\x80" * 600_000)
    reader = FileReader(here, str(path))
    buffer = LogBuffer()
    chunk = await reader.tail(1 << 20)
    buffer.restart(chunk)
    assert buffer.lines, "a line without an end is shown all the same"
    assert all(len(line) <= LONGEST for line in buffer.lines)
    assert buffer.end == path.stat().st_size
    begin = max(buffer.start - (1 << 18), 0)
    piece = await reader.read(begin, buffer.start - begin)
    assert buffer.prepend(piece) == 0, "no line begins there"
    assert buffer.prepend(piece, cut=True) > 0
    assert buffer.start == begin


class _Dead:
    name = "dead"

    async def run(self, *_: object, **__: object) -> Completed:
        raise Unreachable("nothing answers", "dead")


class _Slow:
    name = "slow"

    async def run(self, *_: object, **__: object) -> Completed:
        raise TimedOut("no answer in 10 s", "slow")


async def test_the_first_machine_that_has_it(here: Transport, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x")
    dead: Transport = _Dead()  # type: ignore[assignment]
    slow: Transport = _Slow()  # type: ignore[assignment]
    reader = await find_file([dead, here], str(path))
    assert (await reader.tail(9)).data == b"x"
    with pytest.raises(TimedOut):
        await find_file([here, dead, slow], str(tmp_path / "absent"))
    with pytest.raises(NoSuchFile, match="no such file on local, local"):
        await find_file([here, here], str(tmp_path / "absent"))
    with pytest.raises(NoSuchFile, match="no machine"):
        await find_file([], "/x")
