"""Services on a socket of this host, and services that answer twice."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.errors import BadAnswer, ConfigError, Denied, Unreachable
from console.transport.http import HttpClient, NotThere, socket_path
from console.transport.secret import Secret
from tests.unit.http_server import Answer, Asked, Server, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
CLOSES = b"HTTP/1.1 404 NOT FOUND\r\nConnection: Close\r\nContent-Length: 7\r\n\r\nno path"
AGAIN = b"HTTP/1.1 404 NOT FOUND\r\nContent-Length: 5\r\n\r\nagain"


@contextlib.asynccontextmanager
async def listening(*pieces: bytes) -> AsyncIterator[Server]:
    """Answer each question on a socket with the same bytes; several pieces come one by one, and then the line ends."""

    async def write(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    with tempfile.TemporaryDirectory(prefix="qd-") as folder:
        reply: Answer = pieces[0] if len(pieces) == 1 else write
        async with serving({"/x": reply}, path=f"{folder}/s") as server:
            yield server


async def test_a_socket_is_asked_like_any_service() -> None:
    async with listening(OK) as server:
        client = HttpClient(server.url, token=Secret("env:T", {"T": "abc"}), token_header="X-Token")
        assert client.name == server.url
        assert await client.get("/x", [("n", 1)]) == b"fine"
        assert await client.get("/x") == b"fine"
        assert server.lines == 1
        assert server.asked[0].query == {"n": "1"}
        assert server.asked[0].headers["x-token"] == "abc"
        assert "authorization" not in server.asked[0].headers
        await client.close()


async def test_a_socket_that_is_not_there_or_not_for_us(tmp_path: Path) -> None:
    client = HttpClient(f"unix:{tmp_path}/none")
    with pytest.raises(Unreachable, match="No such file") as caught:
        await client.get("/")
    assert f"{tmp_path}/none" in str(caught.value)
    assert caught.value.hint
    await client.close()
    (tmp_path / "file").write_text("no socket")
    client = HttpClient(f"unix:{tmp_path}/file")
    with pytest.raises(Unreachable, match="refused"):
        await client.get("/")
    await client.close()


@pytest.mark.parametrize("url", ["unix:", "unix:relative", "unix:/a\nb", "unix://host"])
def test_a_path_that_cannot_be_one(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClient(url)
    assert caught.value.hint


def test_paths() -> None:
    assert socket_path("unix:/run/s") == socket_path("unix:///run/s") == "/run/s"
    assert socket_path("http://unix") is None


@pytest.mark.parametrize(
    "pieces",
    [
        (CLOSES + AGAIN,),
        (CLOSES + b"Connection: Close\r\n" + AGAIN,),
        (CLOSES, AGAIN),
        (CLOSES[:20], CLOSES[20:60], CLOSES[60:] + AGAIN[:9], AGAIN[9:]),
    ],
)
async def test_of_two_answers_to_one_question_the_first_counts(pieces: tuple[bytes, ...]) -> None:
    async with listening(*pieces) as server:
        client = HttpClient(server.url, first_only=True)
        for _ in range(3):
            with pytest.raises(NotThere) as caught:
                await client.get("/x")
            assert caught.value.words == "no path"
        assert server.lines == 3
        await client.close()


async def test_without_that_both_are_lost() -> None:
    async with listening(CLOSES + AGAIN) as server:
        client = HttpClient(server.url)
        with pytest.raises(BadAnswer):
            await client.get("/x")
        await client.close()


async def test_a_line_that_stays_open_serves_on_where_a_second_answer_is_ruled_out() -> None:
    async with listening(OK) as server:
        client = HttpClient(server.url, first_only=True)
        assert [await client.get("/x") for _ in range(3)] == [b"fine"] * 3
        assert server.lines == 1
        await client.close()


async def test_a_head_without_end_is_no_answer() -> None:
    async with listening(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000) as server:
        client = HttpClient(server.url, first_only=True, timeout_s=2.0)
        with pytest.raises(BadAnswer):
            await client.get("/x")
        await client.close()


async def test_a_service_words_its_own_failures() -> None:
    async with listening(b"HTTP/1.1 401 NO\r\nContent-Length: 3\r\n\r\n{7}") as server:
        client = HttpClient(server.url, words=lambda body: f"said {body!r}")
        with pytest.raises(Denied, match=r"said b'\{7\}'"):
            await client.get("/x")
        await client.close()
