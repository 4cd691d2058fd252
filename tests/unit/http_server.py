"""A real HTTP server on the loopback whose answers are written byte by byte, faults included."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(slots=True)
class Asked:
    """One request."""

    path: str
    pairs: list[tuple[str, str]]
    headers: dict[str, str]

    @property
    def query(self) -> dict[str, str]:
        """Return name to value, the last where a name comes more than once."""
        return dict(self.pairs)

    def all(self, name: str) -> list[str]:
        """Return all values of a name."""
        return [value for key, value in self.pairs if key == name]


Handler = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]
Answer = bytes | Handler
"""The whole answer as it goes over the line, or whoever writes it."""


def answer(body: bytes | str, status: int = 200, kind: str = "application/json", extra: str = "") -> bytes:
    """Return a whole answer."""
    data = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status} Words\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{extra}\r\n"
    return head.encode() + data


def as_json(value: Any, status: int = 200) -> bytes:
    """Return an answer that is JSON."""
    return answer(json.dumps(value), status)


def chunk(data: bytes) -> bytes:
    """Return one piece of a chunked answer; the empty one is its end."""
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


async def never(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Take the question and say nothing."""
    await asyncio.Event().wait()


@dataclass
class Server:
    """Answers by path; `answers` may be changed while it runs. What is not named is a 404."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    lines: int = 0
    """How many connections were made."""
    url: str = ""
    port: int = 0

    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [each.path for each in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self.lines += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._talk(reader, writer)
                # What was written leaves before the line is cut.
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *rest = head.decode("latin-1").strip().split("\r\n")
            parts = urlsplit(first.split(" ")[1])
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
            asked = Asked(parts.path, parse_qsl(parts.query, keep_blank_values=True), headers)
            self.asked.append(asked)
            reply = self.answers.get(asked.path, answer("404: Not Found", 404, "text/plain"))
            if isinstance(reply, bytes):
                writer.write(reply)
                await writer.drain()
                if headers.get("connection") == "close":
                    return
            else:
                await reply(asked, writer)
                return


@contextlib.asynccontextmanager
async def serving(
    answers: dict[str, Answer], tls: ssl.SSLContext | None = None, path: str | None = None
) -> AsyncIterator[Server]:
    """Serve `answers` on a free port, or on the socket `path`."""
    server = Server(answers)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if path is None:
        listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        server.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    else:
        listener = await asyncio.start_unix_server(connected, path)
        server.url = f"unix:{path}"
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
