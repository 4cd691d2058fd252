"""One host over SSH: one connection, made when needed, shared by everything that runs there."""

from __future__ import annotations

import asyncio
import importlib
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from console.errors import BadAnswer, ConnectionLost, SourceError, TimedOut
from console.text import clean
from console.transport.base import BUSY_HINT, FLOOD_HINT, Channel, Completed, Output
from console.transport.ending import late
from console.transport.quoting import with_environment

if TYPE_CHECKING:
    import asyncssh

    from console.transport.channel import Session

_S = TypeVar("_S", bound="Session")

Connect = Callable[[], Awaitable["asyncssh.SSHClientConnection"]]
_MAX_COMMANDS = 6
"""Commands at a time on one connection; sshd's MaxSessions is 10, and a probe takes one."""


class SshTransport:
    """Runs programs on one host over SSH."""

    def __init__(self, name: str, connect: Connect) -> None:
        """`connect` makes a new connection, raising SourceError."""
        self.name = name
        self._connect = connect
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting: asyncio.Task[asyncssh.SSHClientConnection] | None = None
        self._waiting = 0
        self._commands = asyncio.Semaphore(_MAX_COMMANDS)
        self._endings: set[asyncio.Task[None]] = set()
        self._mark = f"qd-{secrets.token_hex(8)}"
        self._closed = False

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        limit_bytes: int = 256 << 20,
    ) -> Completed:
        """See `Transport`. The time to connect counts."""
        from console.transport import channel

        started = time.monotonic()
        session: channel.Collector | None = None
        connection: asyncssh.SSHClientConnection | None = None
        try:
            async with asyncio.timeout(timeout_s), self._commands:
                session, connection = await self._start(
                    lambda: channel.Collector(self.name, self._mark, limit_bytes), with_environment(argv, env)
                )
                await _feed(session, stdin)
                await session.closed.wait()
        except TimeoutError:
            raise TimedOut(f"{clean(argv[0])} did not end within {timeout_s:g} s", self.name, BUSY_HINT) from None
        finally:
            if session is not None and connection is not None and session.exit_status is None:
                self._finish(channel.finish(session, connection))
        if session.overflow:
            raise BadAnswer(f"{clean(argv[0])} printed more than {limit_bytes} bytes", self.name, FLOOD_HINT)
        if session.exit_status is None or not session.started:
            raise session.end_error()
        return Completed(
            exit_status=session.exit_status,
            stdout=b"".join(session.parts[0]),
            stderr=b"".join(session.parts[1]),
            seconds=time.monotonic() - started,
        )

    async def stream(
        self,
        argv: Sequence[str],
        *,
        output: Output,
        timeout_s: float | None = None,
        stdin: bytes = b"",
        leader: Sequence[str] = (),
    ) -> int:
        """See `Streaming`."""
        from console.transport import relay

        async with self._commands:
            session, connection = await self._start(lambda: relay.Relay(self.name, self._mark, output), list(argv))
            try:
                async with asyncio.timeout(timeout_s):
                    await relay.follow(session, stdin)
            except TimeoutError:
                raise late(timeout_s, self.name, await relay.end(session, connection, leader)) from None
            except asyncio.CancelledError:
                await relay.end(session, connection, leader)
                raise
        if session.exit_status is None or not session.started:
            raise session.end_error()
        return session.exit_status

    async def open(self, argv: Sequence[str]) -> Channel:
        """See `Transport`."""
        from console.transport import channel

        session, connection = await self._start(lambda: channel.LineSession(self.name, self._mark), list(argv))
        return channel.SshChannel(session, connection)

    async def close(self) -> None:
        """See `Transport`."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._endings:
            await asyncio.wait(self._endings)
        if self._connection is not None:
            self._connection.abort()
            await self._connection.wait_closed()
            self._connection = None

    async def connection(self) -> asyncssh.SSHClientConnection:
        """Return the live connection, made now if there is none; those who ask meanwhile wait for the same."""
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._closed:
            raise ConnectionLost("the console has closed this connection", self.name, "start it again")
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._establish())
            # Its failure is everybody's; when all have left meanwhile, it is nobody's.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        attempt = self._connecting
        self._waiting += 1
        try:
            return await asyncio.shield(attempt)
        except SourceError as error:
            raise type(error)(error.what, error.where, error.hint) from None
        finally:
            self._waiting -= 1
            if self._waiting == 0 and not attempt.done():
                attempt.cancel()

    async def _establish(self) -> asyncssh.SSHClientConnection:
        try:
            self._connection = await self._connect()
            return self._connection
        finally:
            self._connecting = None

    async def _start(self, make: Callable[[], _S], argv: Sequence[str]) -> tuple[_S, asyncssh.SSHClientConnection]:
        """Start a program, once more on a new connection when the one at hand turns out to be dead."""
        from console.transport import channel

        old = self._connection
        while True:
            connection = await self.connection()
            session = make()
            try:
                await channel.start(connection, session, argv, self._mark)
            except ConnectionLost:
                if connection is not old:
                    raise
                old = None
                self._drop(connection)
            else:
                return session, connection

    def _drop(self, connection: asyncssh.SSHClientConnection) -> None:
        connection.abort()
        if self._connection is connection:
            self._connection = None

    def _finish(self, ending: Coroutine[None, None, None]) -> None:
        """Let a program be ended without making the caller wait for it."""
        task = asyncio.ensure_future(ending)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)


async def load_asyncssh() -> None:
    """Import asyncssh in a thread: it takes a quarter of a second, and the screen goes on."""
    await asyncio.to_thread(importlib.import_module, "console.transport.connect")


async def _feed(session: Session, stdin: bytes) -> None:
    """Give a program its input, which it may decline to read to the end."""
    try:
        if stdin:
            await session.send(stdin)
    except ConnectionLost:
        return
    session.send_eof()
