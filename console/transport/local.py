"""This machine: commands run as children of this process, each in a process group of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

from console.errors import BadAnswer, ConnectionLost, Denied, SourceError, TimedOut, Unreachable, Unsupported
from console.text import clean
from console.transport.base import BUSY_HINT, ENDED_HINT, FLOOD_HINT, Channel, Completed, Output
from console.transport.ending import ENDED_S, end_script, late
from console.transport.lines import LineBuffer

NAME = "local"
_TAIL_BYTES = 4096
"""How much of standard error a channel keeps for its last words."""
_PATIENCE_S = 0.5
"""How long a program may take to end by itself when its channel is closed."""
_WRITE_TIMEOUT_S = 10.0
_REAP_S = 1.0


class _Program(asyncio.SubprocessProtocol):
    """One running child; subclasses decide what becomes of its output."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.transport: asyncio.SubprocessTransport | None = None
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.SubprocessTransport, transport)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.closed.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    @property
    def exit_status(self) -> int | None:
        """128 + signal number when a signal ended it; None while it runs."""
        code = self.transport.get_returncode() if self.transport else None
        return code if code is None or code >= 0 else 128 - code

    def pipe(self, fd: int) -> asyncio.BaseTransport | None:
        """Return the transport of one of its three pipes, None when it is closed."""
        return self.transport.get_pipe_transport(fd) if self.transport else None

    def send(self, data: bytes) -> None:
        """Put bytes on their way to its standard input."""
        stdin = self.pipe(0)
        if stdin is not None and not stdin.is_closing():
            cast(asyncio.WriteTransport, stdin).write(data)

    def send_eof(self) -> None:
        """Close its standard input once everything sent has arrived."""
        stdin = self.pipe(0)
        if stdin is not None:
            stdin.close()

    async def drained(self) -> None:
        """Wait until it takes more input."""
        await self._may_write.wait()

    def kill(self) -> None:
        """End it and its children, at once; give the pipes back."""
        if self.transport is None:
            return
        try:
            os.killpg(self.transport.get_pid(), signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # gone already, or setuid: what remains loses its pipes below
        self.transport.close()

    async def reap(self) -> None:
        """Wait until a killed program is gone; one that hangs in the kernel is left to it."""
        if self.transport is None:
            return
        try:
            async with asyncio.timeout(_REAP_S):
                await self.exited.wait()
        except TimeoutError:
            pass


class _Collector(_Program):
    """Keeps all output, up to a limit."""

    def __init__(self, name: str, limit_bytes: int) -> None:
        super().__init__(name)
        self.parts: tuple[list[bytes], list[bytes]] = ([], [])
        self._room = limit_bytes
        self.overflow = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            self.overflow.set()
            self.closed.set()
        else:
            self.parts[fd - 1].append(data)


class _Relay(_Program):
    """Hands its output on as it comes."""

    def __init__(self, name: str, output: Output) -> None:
        super().__init__(name)
        self._output = output

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._output(fd, data)


class _LineProgram(_Program):
    """Gives its output line by line, and is the channel as well."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.lines = LineBuffer(name, self._hold)
        self._tail = b""
        self._closing = False

    def _hold(self, held: bool) -> None:
        pipe = self.pipe(1)
        if pipe is not None and not pipe.is_closing():
            reader = cast(asyncio.ReadTransport, pipe)
            reader.pause_reading() if held else reader.resume_reading()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self.lines.feed(data)
        else:
            self._tail = (self._tail + data)[-_TAIL_BYTES:]

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        if fd == 1 and self.exited.is_set():
            self._end()

    def connection_lost(self, _exc: Exception | None) -> None:
        super().connection_lost(_exc)
        self._end()

    def _end(self) -> None:
        self.lines.end(ConnectionLost(ended(self.exit_status, self._tail), self.name, ENDED_HINT))

    async def read_line(self, timeout_s: float, limit_bytes: int = 1 << 20) -> bytes:
        """See `Channel`."""
        return await self.lines.read_line(timeout_s, limit_bytes)

    async def write(self, data: bytes) -> None:
        """See `Channel`."""
        stdin = self.pipe(0)
        if self.exited.is_set() or stdin is None or stdin.is_closing():
            raise ConnectionLost(ended(self.exit_status, self._tail), self.name, ENDED_HINT)
        self.send(data)
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                await self.drained()
        except TimeoutError:
            raise TimedOut(f"the program takes no input for {_WRITE_TIMEOUT_S:g} s", self.name, BUSY_HINT) from None

    async def close(self) -> None:
        """See `Channel`."""
        self.send_eof()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self.exited.wait()
        except TimeoutError:
            pass
        finally:
            self.kill()
            self._end()
        await self.reap()


def ended(exit_status: int | None, tail: bytes) -> str:
    """Return in words how a program ended, with its last words."""
    how = "the program ended" if exit_status is None else f"the program ended with status {exit_status}"
    words = clean(tail.decode("utf-8", "replace").strip()[-400:])
    return f"{how}: {words}" if words else how


class LocalTransport:
    """Runs programs on this machine."""

    name = NAME

    def __init__(self) -> None:
        self._running: set[_Program] = set()

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        limit_bytes: int = 256 << 20,
    ) -> Completed:
        """See `Transport`."""
        started = time.monotonic()
        program = _Collector(NAME, limit_bytes)
        try:
            async with asyncio.timeout(timeout_s):
                await self._start(program, argv, env)
                if stdin:
                    program.send(stdin)
                program.send_eof()
                await program.closed.wait()
        except TimeoutError:
            raise TimedOut(f"{clean(argv[0])} did not end within {timeout_s:g} s", NAME, BUSY_HINT) from None
        finally:
            program.kill()
            await program.reap()
            self._running.discard(program)
        if program.overflow.is_set():
            raise BadAnswer(f"{clean(argv[0])} printed more than {limit_bytes} bytes", NAME, FLOOD_HINT)
        return Completed(
            exit_status=program.exit_status or 0,
            stdout=b"".join(program.parts[0]),
            stderr=b"".join(program.parts[1]),
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
        program = _Relay(NAME, output)
        try:
            await self._start(program, argv, None)
            async with asyncio.timeout(timeout_s):
                if stdin:
                    program.send(stdin)
                program.send_eof()
                await program.closed.wait()
        except TimeoutError:
            raise late(timeout_s, NAME, await self._end(program, leader)) from None
        except asyncio.CancelledError:
            await self._end(program, leader)
            raise
        finally:
            self._running.discard(program)
            if program.transport is not None:
                program.transport.close()
        return program.exit_status or 0

    async def _end(self, program: _Program, leader: Sequence[str]) -> bool:
        """Tell a program to end, then make it; whether it is gone."""
        if program.transport is None:
            return True
        with suppress(SourceError):
            script = end_script(program.transport.get_pid())
            await self.run(["/bin/sh", "-c", script, "sh", *leader], timeout_s=ENDED_S)
        gone = program.exited.is_set()
        program.kill()
        await program.reap()
        return gone

    async def open(self, argv: Sequence[str]) -> Channel:
        """See `Transport`."""
        program = _LineProgram(NAME)
        await self._start(program, argv, None)
        return program

    async def close(self) -> None:
        """End every program that still runs."""
        programs = tuple(self._running)
        for program in programs:
            program.kill()
        for program in programs:
            await program.reap()

    async def _start(self, program: _Program, argv: Sequence[str], env: Mapping[str, str] | None) -> None:
        environ = {**os.environ, **env} if env else None
        loop = asyncio.get_running_loop()
        try:
            await loop.subprocess_exec(lambda: program, *argv, env=environ, start_new_session=True)
        except (OSError, ValueError) as error:
            raise _start_error(argv[0], error) from None
        self._running = {other for other in self._running if not other.exited.is_set()}
        self._running.add(program)


def _start_error(program: str, error: OSError | ValueError) -> SourceError:
    """Return what it means that a program did not start."""
    what = clean(f"{program} does not start: {getattr(error, 'strerror', None) or error}")
    if isinstance(error, FileNotFoundError):
        return Unsupported(clean(f"no such program: {program}"), NAME, "install it, or put it on PATH")
    if isinstance(error, PermissionError):
        return Denied(what, NAME, "it must be executable for this user")
    return Unreachable(what, NAME, "try it by hand; are processes, memory or open files used up (ulimit -a)?")
