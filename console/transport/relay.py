"""Programs on a host whose output is handed on as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import asyncssh

from console.transport.base import Output
from console.transport.channel import Session
from console.transport.ending import ENDED_S, end_script
from console.transport.quoting import command_line

_CHUNK_BYTES = 1 << 16
_GONE_S = 0.5
"""How long sshd may take to say that a program has ended."""


class Relay(Session):
    """Keeps nothing."""

    def __init__(self, host: str, mark: str, output: Output) -> None:
        super().__init__(host, mark)
        self._output = output

    def output(self, data: bytes) -> None:
        self._output(1, data)

    def errors(self, data: bytes) -> None:
        self._output(2, data)

    async def feed(self, stdin: bytes) -> None:
        """Give it its input in pieces, as fast as it takes them; it may decline to read to the end."""
        with suppress(OSError):
            for at in range(0, len(stdin), _CHUNK_BYTES):
                if self.chan is None or self.closed.is_set():
                    return
                self.chan.write(stdin[at : at + _CHUNK_BYTES])
                await self.writable()
        self.send_eof()


async def follow(session: Relay, stdin: bytes) -> None:
    """Wait for the end of a program that is given its input meanwhile."""
    if not stdin:
        session.send_eof()
        await session.closed.wait()
        return
    feeding = asyncio.create_task(session.feed(stdin))
    try:
        await session.closed.wait()
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])


async def end(session: Relay, connection: asyncssh.SSHClientConnection, leader: Sequence[str]) -> bool:
    """Tell a program to end, then make it; whether it is gone. Never raises, ends within six seconds.

    By a second session: sshd delivers no signals to root's programs, nor to those of sudo.
    """
    if session.chan is None:
        return True
    try:
        if session.pid is not None and not session.closed.is_set() and not connection.is_closed():
            with suppress(OSError, TimeoutError, asyncssh.Error):
                async with asyncio.timeout(ENDED_S):
                    script = command_line(end_script(session.pid), leader)
                    await connection.run(script, encoding=None, request_pty=False, input=b"")
            with suppress(TimeoutError):
                async with asyncio.timeout(_GONE_S):
                    await session.closed.wait()
        return session.exit_status is not None
    finally:
        session.chan.abort()
