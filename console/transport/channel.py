"""Programs on a host: sessions of one SSH connection."""

from __future__ import annotations

import asyncio
import re
import signal as signals
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncssh

from console.errors import BadAnswer, ConnectionLost, Denied, SourceError, TimedOut
from console.text import clean
from console.transport.base import BUSY_HINT, ENDED_HINT
from console.transport.failures import lost_error, open_error
from console.transport.lines import LineBuffer
from console.transport.quoting import command_line

OPEN_TIMEOUT_S = 10.0
_OPEN_AGAIN_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses before a session is asked for again: sshd counts an ended one against MaxSessions until it has tidied up."""
_WRITE_TIMEOUT_S = 10.0
_PATIENCE_S = 0.3
"""How long a program may take to end by itself when its input ends."""
_KILL_TIMEOUT_S = 1.5
_TAIL_BYTES = 4096
_MARK = re.compile(rb"(qd-[0-9a-f]+) (\d+)\n")
_NOISE_BYTES = 1 << 20
"""What a login shell may say before our program starts."""


class Session(asyncssh.SSHClientSession[bytes]):
    """One running program.

    Its first word, on both outputs, is a mark of ours and its process id: what came before is the login shell's
    own (a noisy .bashrc) and is dropped; the process id serves to end the program, with its children, from here.
    """

    def __init__(self, host: str, mark: str) -> None:
        self.host = host
        self.pid: int | None = None
        self.exit_status: int | None = None
        self.closed = asyncio.Event()
        self.lost: Exception | None = None
        self.chan: asyncssh.SSHClientChannel[bytes] | None = None
        self._mark = mark.encode("ascii")
        self._noise: list[bytes | None] = [b"", b""]
        """Of standard output and error, until their mark came."""
        self._may_write = asyncio.Event()
        self._may_write.set()

    def output(self, data: bytes) -> None:
        """Take standard output of the program itself."""
        raise NotImplementedError

    def errors(self, data: bytes) -> None:
        """Take standard error of the program itself."""
        raise NotImplementedError

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self.chan = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        stream = 0 if datatype is None else 1
        noise = self._noise[stream]
        if noise is not None:
            noise += data
            found = next((one for one in _MARK.finditer(noise) if one[1] == self._mark), None)
            if found is None:
                self._noise[stream] = noise[-_NOISE_BYTES:]
                return
            self.pid = int(found[2])
            self._noise[stream] = None
            data = noise[found.end() :]
        if data:
            (self.errors if stream else self.output)(data)

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def exit_signal_received(self, signal: str, _core_dumped: bool, _msg: str, _lang: str) -> None:
        number = signals.Signals.__members__.get(f"SIG{signal}")
        self.exit_status = 128 + (number or 0)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc
        self.closed.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    @property
    def started(self) -> bool:
        """Whether the program itself ever ran, not only the login shell."""
        return self._noise[0] is None

    @property
    def noise(self) -> str:
        """What the login shell said, when it said more than our program."""
        return clean(b" ".join(part for part in self._noise if part)[-400:].decode("utf-8", "replace").strip())

    async def send(self, data: bytes) -> None:
        """Write to standard input and wait until most of it left. Raises ConnectionLost and TimedOut."""
        if self.chan is None or self.closed.is_set():
            raise self.end_error()
        try:
            self.chan.write(data)
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                await self._may_write.wait()
        except TimeoutError:
            raise TimedOut(f"the program takes no input for {_WRITE_TIMEOUT_S:g} s", self.host, BUSY_HINT) from None
        except OSError:
            raise self.end_error() from None

    async def writable(self) -> None:
        """Wait until most of what was written left."""
        await self._may_write.wait()

    def send_eof(self) -> None:
        """End its standard input."""
        with suppress(OSError):
            if self.chan is not None and not self.chan.is_closing():
                self.chan.write_eof()

    def end_error(self, tail: bytes = b"") -> SourceError:
        """Return why nothing more comes."""
        if self.exit_status is None:
            return lost_error(self.lost, self.host)
        if not self.started:
            return no_start_error(self)
        words = clean(tail[-400:].decode("utf-8", "replace").strip())
        what = f"the program ended with status {self.exit_status}"
        return ConnectionLost(f"{what}: {words}" if words else what, self.host, ENDED_HINT)


class Collector(Session):
    """Keeps all output, up to a limit."""

    def __init__(self, host: str, mark: str, limit_bytes: int) -> None:
        super().__init__(host, mark)
        self.parts: tuple[list[bytes], list[bytes]] = ([], [])
        self.overflow = False
        self._room = limit_bytes

    def output(self, data: bytes) -> None:
        self._keep(0, data)

    def errors(self, data: bytes) -> None:
        self._keep(1, data)

    def _keep(self, stream: int, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            self.overflow = True
            self.closed.set()
        else:
            self.parts[stream].append(data)


class LineSession(Session):
    """Gives its output line by line."""

    def __init__(self, host: str, mark: str) -> None:
        super().__init__(host, mark)
        self.lines = LineBuffer(host, self._hold)
        self._tail = b""

    def _hold(self, held: bool) -> None:
        if self.chan is not None:
            self.chan.pause_reading() if held else self.chan.resume_reading()

    def output(self, data: bytes) -> None:
        self.lines.feed(data)

    def errors(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_TAIL_BYTES:]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lines.end(self.end_error(self._tail))


class SshChannel:
    """A `Channel` over SSH."""

    def __init__(self, session: LineSession, connection: asyncssh.SSHClientConnection) -> None:
        self._session = session
        self._connection = connection

    async def read_line(self, timeout_s: float, limit_bytes: int = 1 << 20) -> bytes:
        """See `Channel`."""
        return await self._session.lines.read_line(timeout_s, limit_bytes)

    async def write(self, data: bytes) -> None:
        """See `Channel`."""
        await self._session.send(data)

    async def close(self) -> None:
        """See `Channel`."""
        await finish(self._session, self._connection, patience_s=_PATIENCE_S)


async def start(connection: asyncssh.SSHClientConnection, session: Session, argv: Sequence[str], mark: str) -> None:
    """Start a program as `session`. Raises SourceError; ConnectionLost when the connection is dead."""
    for pause_s in _OPEN_AGAIN_S:
        try:
            return await _open(connection, session, argv, mark)
        except asyncssh.ChannelOpenError as error:
            if connection.is_closed() or error.code != asyncssh.OPEN_CONNECT_FAILED:
                raise _refusal(error, connection, session) from None
        await asyncio.sleep(pause_s)
    try:
        await _open(connection, session, argv, mark)
    except asyncssh.ChannelOpenError as error:
        raise _refusal(error, connection, session) from None


def _refusal(
    error: asyncssh.ChannelOpenError, connection: asyncssh.SSHClientConnection, session: Session
) -> SourceError:
    return lost_error(session.lost, session.host) if connection.is_closed() else open_error(error, session.host)


async def _open(connection: asyncssh.SSHClientConnection, session: Session, argv: Sequence[str], mark: str) -> None:
    """Ask for a session once. Raises SourceError, and ChannelOpenError when the server declines."""
    script = f'echo {mark} $$; echo {mark} $$ >&2; exec "$@"'
    opening = asyncio.create_task(
        connection.create_session(lambda: session, command_line(script, argv), encoding=None, request_pty=False)
    )
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            # Shielded: asyncssh would forget a channel that the server opens after we stopped waiting.
            await asyncio.shield(opening)
    except asyncssh.ChannelOpenError:
        raise
    except (OSError, asyncssh.Error) as error:
        if isinstance(error, TimeoutError):
            opening.add_done_callback(_abandon)
            what = f"the server opened no session within {OPEN_TIMEOUT_S:g} s"
            raise TimedOut(what, session.host, BUSY_HINT) from None
        raise lost_error(error, session.host) from None
    except BaseException:  # cancelled: what is opened later is closed at once
        opening.add_done_callback(_abandon)
        raise


def _abandon(
    opening: asyncio.Task[tuple[asyncssh.SSHClientChannel[Any], asyncssh.SSHClientSession[Any]]],
) -> None:
    """Close a channel that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].abort()


async def finish(session: Session, connection: asyncssh.SSHClientConnection, *, patience_s: float = 0.0) -> None:
    """End a program and close its channel: input ends; after `patience_s` it is killed with its children.

    Never raises, never waits longer than two seconds.
    """
    chan = session.chan
    if chan is None:
        return
    session.send_eof()
    try:
        if patience_s and not session.closed.is_set():
            await _closed_within(session, patience_s)
        if session.exit_status is None and not connection.is_closed():
            with suppress(OSError):
                chan.send_signal("KILL")
            if session.pid is not None:
                await _kill(connection, session.pid)
    finally:
        chan.abort()


async def _kill(connection: asyncssh.SSHClientConnection, pid: int) -> None:
    """Kill by a second session: sshd delivers no signals to root's programs, and none before OpenSSH 7.9."""
    script = f"kill -9 -{pid} 2>/dev/null || kill -9 {pid} 2>/dev/null"
    with suppress(OSError, TimeoutError, asyncssh.Error):
        async with asyncio.timeout(_KILL_TIMEOUT_S):
            await connection.run(command_line(script, ()), encoding=None, request_pty=False, input=b"")


async def _closed_within(session: Session, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await session.closed.wait()
    except TimeoutError:
        return False
    return True


def no_start_error(session: Session) -> SourceError:
    """Return the error for a login shell that ended before it ran our program."""
    said = f": {session.noise}" if session.noise else ""
    status = session.exit_status
    hint = "the account's shell, its start-up files or a forced command (ForceCommand) run nothing else"
    if status in (126, 127):
        return BadAnswer(f"there is no /bin/sh{said}", session.host, hint)
    return Denied(f"the login shell ended with status {status} before it ran the command{said}", session.host, hint)
