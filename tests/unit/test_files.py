"""Reading a file piece by piece, on this host as on any."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from console.errors import Denied, NoSuchFile, TimedOut, Unreachable
from console.model import LogChunk
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
