"""Logs through the dashboard: which there are, their ends, and what is written from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from console.errors import BadAnswer, ConnectionLost, Denied, NoSuchFile, Unsupported
from console.model import LogChunk, LogStream
from plugins.ray import logs
from plugins.ray.backend import RayBackend
from tests.unit import ray_world as world
from tests.unit.http_server import CHUNKED, Answer, Asked, Server, answer, as_json, chunk, serving
from tests.unit.ray_world import opened

DRIVER = LogStream(name="driver", key={"node": world.HEAD, "file": "job-driver-run-1.log", "job": "run-1"})
FILE, STREAM = "/api/v0/logs/file", "/api/v0/logs/stream"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look soon whether a job is over: nothing here depends on how soon."""
    monkeypatch.setattr(logs, "QUIET_S", 0.1)
    monkeypatch.setattr(logs, "_LAST_WORDS_S", 0.1)


class LogFile:
    """A log that grows, read as the dashboard reads it: the last lines, and then what comes."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.grown = asyncio.Event()
        self.cut = False
        """Whether the line dies after what there is."""

    def grow(self, text: bytes) -> None:
        self.text += text
        self.grown.set()

    def _last(self, asked: Asked) -> int:
        lines = self.text.splitlines(keepends=True)
        return len(self.text) - len(b"".join(lines[-int(asked.query["lines"]) :]))

    async def read(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        text = self.text[self._last(asked) :]
        writer.write(CHUNKED + (chunk(text) if text else b"") + chunk(b""))

    async def follow(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        position = self._last(asked)
        while not self.text[position:]:
            self.grown.clear()
            await self.grown.wait()
        writer.write(CHUNKED)
        while True:
            for start in range(position, len(self.text), 7):
                writer.write(chunk(self.text[start : min(start + 7, len(self.text))]))
            position = len(self.text)
            await writer.drain()
            if self.cut:
                return
            self.grown.clear()
            await self.grown.wait()


def with_file(file: LogFile) -> dict[str, Answer]:
    return {**world.answers(), FILE: file.read, STREAM: file.follow}


def end(server: Server, job: str = "run-1") -> None:
    server.answers[f"/api/jobs/{job}"] = as_json({**world.RUNNING, "status": "SUCCEEDED"})


async def collected(backend: RayBackend, after: LogChunk, into: list[bytes], stream: LogStream = DRIVER) -> None:
    reader = await backend.open_log(stream)
    async for piece in reader.follow(after):
        into.append(piece.data)  # noqa: PERF401 - seen by the test as they come
    await reader.close()


async def test_the_driver_first_then_what_each_worker_prints() -> None:
    async with serving(world.answers()) as server:
        backend = opened(server)
        found = await backend.log_streams("run-1")
        asked = [each.query["node_id"] for each in server.asked if each.path == "/api/v0/logs"]
        unbegun = await backend.log_streams("wait-1")
        await backend.close()
    assert [stream.name for stream in found] == ["driver", "gpu01.lab/Trainer-501", "gpu01.lab/Trainer-501 stderr"]
    assert found[0].key == DRIVER.key
    assert found[0].hosts == ("ssh:head",)
    assert "job-driver-run-1.log on head" in found[0].detail
    assert asked[:2] == [world.ONE, world.HEAD], "nodes of the job first"
    assert world.GONE not in asked
    assert unbegun == ()


async def test_a_node_that_does_not_answer_costs_only_its_files() -> None:
    replies = {**world.answers(), "/api/v0/logs": answer('{"msg": "node is dead"}', 500)}
    async with serving(replies) as server:
        backend = opened(server)
        assert [stream.name for stream in await backend.log_streams("run-1")] == ["driver"]
        await backend.close()


async def test_the_end_of_a_log() -> None:
    file = LogFile(b"".join(b"line %d\n" % index for index in range(10_000)))
    async with serving(with_file(file)) as server:
        backend = opened(server)
        reader = await backend.open_log(DRIVER)
        tail = await reader.tail(1000)
        assert len(tail.data) <= 1000
        assert file.text.endswith(tail.data)
        assert tail.data.endswith(b"line 9999\n")
        assert tail.start is None
        assert not reader.seekable
        with pytest.raises(Unsupported):
            await reader.read(0, 10)
        await backend.close()
    assert int(server.asked[-1].query["lines"]) < 100, "the whole file is not asked for"


async def test_an_endless_line_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_READ_BYTES", 1 << 20)
    file = LogFile(b"z" * (4 << 20) + b"\n" + b"last\n")
    async with serving(with_file(file)) as server:
        backend = opened(server)
        reader = await backend.open_log(DRIVER)
        assert (await reader.tail(6400)).data == b"last\n", "fewer lines are asked for"
        file.text = b"z" * (4 << 20)
        with pytest.raises(BadAnswer, match="longer than 1 MiB"):
            await reader.tail(6400)
        await backend.close()


async def test_what_is_written_after_the_end_comes_once_and_ends_with_the_job() -> None:
    file = LogFile(b"one\ntwo\n")
    got: list[bytes] = []
    async with serving(with_file(file)) as server:
        backend = opened(server)
        tail = await (await backend.open_log(DRIVER)).tail(4096)
        file.grow(b"between\n")
        following = asyncio.create_task(collected(backend, tail, got))
        await world.until(lambda: b"".join(got) == b"between\n", "what came between")
        file.grow(b"three\n" * 50)
        await world.until(lambda: b"".join(got) == b"between\n" + b"three\n" * 50, "what came then")
        end(server)
        await asyncio.wait_for(following, 20)
        await backend.close()
    assert tail.data + b"".join(got) == file.text


async def test_a_log_that_is_empty_yet() -> None:
    file = LogFile(b"")
    got: list[bytes] = []
    async with serving(with_file(file)) as server:
        backend = opened(server, timeout_s=0.5)
        tail = await (await backend.open_log(DRIVER)).tail(4096)
        assert tail.data == b""
        following = asyncio.create_task(collected(backend, tail, got))
        await world.until(lambda: server.paths().count(STREAM) > 1, "it is opened again")
        file.grow(b"at last\n")
        await world.until(lambda: b"".join(got) == b"at last\n", "its first line")
        end(server)
        await asyncio.wait_for(following, 20)
        await backend.close()


async def test_a_stream_that_dies_is_said_to_and_the_next_one_goes_on() -> None:
    file = LogFile(b"one\n")
    file.cut = True
    async with serving(with_file(file)) as server:
        backend = opened(server)
        reader = await backend.open_log(DRIVER)
        tail = await reader.tail(4096)
        file.grow(b"two\n")
        before: list[bytes] = []
        with pytest.raises(ConnectionLost):
            await collected(backend, tail, before)
        assert b"".join(before) == b"two\n"
        last = LogChunk(data=b"".join(before))
        file.cut = False
        file.grow(b"three\n")
        got: list[bytes] = []
        following = asyncio.create_task(collected(backend, last, got))
        await world.until(lambda: b"".join(got) == b"three\n", "the rest")
        end(server)
        await asyncio.wait_for(following, 20)
        await backend.close()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer("A file is not found at: /tmp/ray/x.log", 500), NoSuchFile),
        (answer("no", 403), Denied),
        (answer("404: Not Found", 404), Unsupported),
    ],
)
async def test_logs_that_cannot_be_read(reply: bytes, kind: type[Exception]) -> None:
    async with serving({**world.answers(), FILE: reply, STREAM: reply}) as server:
        backend = opened(server)
        reader = await backend.open_log(DRIVER)
        attempts: list[Callable[[], Awaitable[Any]]] = [
            lambda: reader.tail(10),
            lambda: anext(reader.follow(LogChunk(data=b""))),
        ]
        for attempt in attempts:
            with pytest.raises(kind):
                await attempt()
        with pytest.raises(Unsupported):
            await backend.open_log(LogStream(name="of another", key={"namespace": "x"}))
        await backend.close()


async def test_names_of_files_are_quoted() -> None:
    file = LogFile(b"x\n")
    evil = LogStream(name="x", key={"node": "a&node_id=b", "file": "../../etc/passwd?x=1&lines=9#", "job": "j"})
    async with serving(with_file(file)) as server:
        backend = opened(server)
        await (await backend.open_log(evil)).tail(10)
        await backend.close()
    (asked,) = server.asked
    assert asked.path == FILE
    assert asked.all("node_id") == ["a&node_id=b"]
    assert asked.all("filename") == ["../../etc/passwd?x=1&lines=9#"]
    assert len(asked.all("lines")) == 1
