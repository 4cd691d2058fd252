"""The console's end of a probe: start it, read it, pace it, end it."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from console.errors import BadAnswer, ConnectionLost, SourceError, TimedOut
from console.model import Sample
from console.probes import bundle, shell
from console.probes.decode import LINE_LIMIT_BYTES, Decoder
from console.text import clean
from console.transport.base import BUSY_HINT, Channel, Transport

HELLO_TIMEOUT_S = 20.0
NOISE_LINES = 2000
NOISE_BYTES = 256 << 10
"""What a banner or a start-up file may print before the hello, and a stray process between two lines."""

KEEPALIVE_S = 60.0
BACKLOG_WAIT_S = 0.05
"""A line that took at least this long to come was not waiting in a buffer."""

BUDGET_PERCENT = 1.0
SHELL_SCRIPT = shell.script(f"{bundle.HELLO}/{bundle.PROTOCOL} shell")
_START_UP_HINT = "look at its shell start-up files: they should print nothing"
_HELLO = re.compile(
    rb"^%s/(\d{1,9}) (?:python=(\d{1,4})\.(\d{1,4})\.(\d{1,4}) nvidia=([01])|(shell))$" % bundle.HELLO.encode()
)


class Probe(Protocol):
    """A running probe of one node, however it reads it."""

    node: str

    async def next(self, timeout_s: float) -> Sample:
        """Return the next sample. Raises SourceError, TimedOut after `timeout_s`."""

    async def set_period(self, period_s: float) -> None:
        """Change the pace; a faster one takes effect at once. Raises ConnectionLost, TimedOut."""

    async def pause(self, paused: bool) -> None:
        """Let nothing be read on the node, or go on at once. Raises ConnectionLost, TimedOut.

        No sample comes meanwhile; whoever waits in `next` keeps the probe alive.
        """

    async def close(self) -> None:
        """End it on the node too. Never raises."""


class PythonProbe:
    """One running probe of one node. `next` must not be called while another `next` waits."""

    def __init__(self, channel: Channel, node: str, period_s: float) -> None:
        self.node = node
        self._channel = channel
        self._period_s = period_s
        self._paused = False
        self._decoder = Decoder(node)
        self._spoke_at = time.monotonic()
        self._nearest: float | None = None

    async def next(self, timeout_s: float) -> Sample:
        """Return the next sample, the newest where several wait. Raises SourceError, TimedOut."""
        deadline = time.monotonic() + timeout_s
        noise = 0
        while True:
            await self._keep_alive()
            began = time.monotonic()
            try:
                line = await self._channel.read_line(max(0.0, min(deadline - began, KEEPALIVE_S)), LINE_LIMIT_BYTES)
            except TimedOut:
                if time.monotonic() < deadline:
                    continue
                raise
            arrived = time.monotonic()
            if not line.startswith(b'{"n":'):
                noise += len(line) + 1
                if noise > NOISE_BYTES:
                    raise BadAnswer("the probe's answer is drowned in other output", self.node, _START_UP_HINT)
                continue
            sample = self._decoder.feed(line, time.time())
            waited = arrived - began >= BACKLOG_WAIT_S
            if waited or not self._is_old(arrived):
                return sample

    def _is_old(self, arrived: float) -> bool:
        """Whether the last line lay in a buffer while nobody asked for it."""
        assert self._decoder.read_at is not None
        distance = arrived - self._decoder.read_at
        if self._nearest is None or distance < self._nearest:
            self._nearest = distance
        return distance - self._nearest > max(1.0, 1.5 * self._period_s)

    async def _keep_alive(self) -> None:
        """Tell the probe that somebody is there: without a word for some minutes it ends itself."""
        if time.monotonic() - self._spoke_at >= KEEPALIVE_S:
            await self._say(b"here\n")

    async def set_period(self, period_s: float) -> None:
        """Change the pace; a faster one takes effect at once. Raises ConnectionLost, TimedOut."""
        if period_s != self._period_s:
            self._period_s = period_s
            await self._say(b"period %g\n" % period_s)

    async def pause(self, paused: bool) -> None:
        """Let nothing be read on the node, or go on at once. Raises ConnectionLost, TimedOut."""
        if paused != self._paused:
            self._paused = paused
            await self._say(b"pause\n" if paused else b"resume\n")

    async def _say(self, line: bytes) -> None:
        self._spoke_at = time.monotonic()
        await self._channel.write(line)

    async def close(self) -> None:
        """End the probe. Never raises."""
        try:
            async with asyncio.timeout(1.0):
                await self._channel.write(b"quit\n")
        except (SourceError, TimeoutError):
            # The line is dead already; the probe notices that by itself.
            pass
        await self._channel.close()


async def open_probe(
    transport: Transport,
    *,
    period_s: float,
    node: str,
    interpreter: Sequence[str] | None = None,
    nvml: bool | None = None,
    root: str = "",
    budget_percent: float = BUDGET_PERCENT,
) -> Probe:
    """Start a probe on the machine of `transport` and return it once it says hello.

    Without `interpreter` this host is read by the Python that runs the console, another by the first Python
    found there, else by its shell. `nvml`: send the NVIDIA bindings along; None: if it has the driver.
    `root` stands before /proc, /sys and /etc there. Raises SourceError.
    """
    if interpreter is not None:
        argv = bundle.python_command(tuple(interpreter))
    elif transport.name == "local":
        argv = bundle.python_command((sys.executable,))
    else:
        argv = bundle.remote_command(SHELL_SCRIPT)
    channel = await transport.open(argv)
    try:
        try:
            hello = await _hello(channel, node)
        except ConnectionLost:
            if interpreter is not None or transport.name == "local":
                raise
            # A Python that is found and cannot start (a shim, a broken installation): its shell still can.
            await channel.close()
            return await _open_shell(transport, node, period_s)
        if hello.group(6):
            return shell.ShellProbe(channel, node, period_s, partial(_shell_channel, transport, node))
        version = tuple(int(part) for part in hello.group(2, 3, 4))
        if version < bundle.PYTHON_MIN:
            await channel.close()
            return await _open_shell(transport, node, period_s)
        wanted = hello.group(5) == b"1" if nvml is None else nvml
        settings: dict[str, str | float] = {
            "period_s": period_s,
            "budget_percent": budget_percent,
            "root": root,
        }
        await channel.write(bundle.payload(settings, nvml=wanted))
    except BaseException:
        await channel.close()
        raise
    return PythonProbe(channel, node, period_s)


async def _open_shell(transport: Transport, node: str, period_s: float) -> Probe:
    channel = await _shell_channel(transport, node)
    return shell.ShellProbe(channel, node, period_s, partial(_shell_channel, transport, node))


async def _shell_channel(transport: Transport, node: str) -> Channel:
    """Return a channel on which the script has said hello. Raises SourceError."""
    channel = await transport.open(["sh", "-c", SHELL_SCRIPT])
    try:
        await _hello(channel, node)
    except BaseException:
        await channel.close()
        raise
    return channel


async def _hello(channel: Channel, node: str) -> re.Match[bytes]:
    """Pass over what others print first and return the hello. Raises SourceError."""
    deadline = time.monotonic() + HELLO_TIMEOUT_S
    last = b""
    size = 0
    for _ in range(NOISE_LINES):
        try:
            line = await channel.read_line(max(0.0, deadline - time.monotonic()), LINE_LIMIT_BYTES)
        except TimedOut as error:
            what = f"no hello from the probe within {HELLO_TIMEOUT_S:g} s{_said(last)}"
            raise TimedOut(what, node, BUSY_HINT) from error
        except ConnectionLost as error:
            raise ConnectionLost(f"{error.what}{_said(last)}", node, error.hint) from error
        found = _HELLO.match(line.strip())
        if found:
            if int(found.group(1)) != bundle.PROTOCOL:
                what = f"the probe speaks protocol {int(found.group(1))}, not {bundle.PROTOCOL}"
                raise BadAnswer(what, node, "start the console again: it was updated while it ran")
            return found
        last = line if line.strip() else last
        size += len(line) + 1
        if size > NOISE_BYTES:
            break
    raise BadAnswer(
        f"a flood of output where the probe should say hello{_said(last)}",
        node,
        _START_UP_HINT,
    )


def _said(line: bytes) -> str:
    text = clean(line, limit=120)
    return f"; the last words were: {text}" if text else ""
