"""Bytes that arrive in pieces, read line by line with a deadline and a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from console.errors import BadAnswer, SourceError, TimedOut
from console.transport.base import BUSY_HINT, FLOOD_HINT

HIGH_BYTES = 1 << 20
"""What may wait unread before the sender is held back."""


class LineBuffer:
    """Collects what a program prints; one reader takes its lines.

    The sender is held back (`hold(True)`) while more waits than the reader can want, so a flood costs no more
    memory than `HIGH_BYTES` or the reader's own limit. A last line without a newline is never handed out.
    """

    def __init__(self, name: str, hold: Callable[[bool], None]) -> None:
        self._name = name
        self._hold = hold
        self._data = bytearray()
        self._scanned = 0
        self._room = HIGH_BYTES
        self._held = False
        self._error: SourceError | None = None
        self._changed = asyncio.Event()

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        if self._error is None:
            self._data += data
            self._balance()
            self._changed.set()

    def end(self, error: SourceError) -> None:
        """Say that nothing more comes; whole lines can still be read, then `error` is raised."""
        if self._error is None:
            self._error = error
            self._changed.set()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._error is not None

    async def read_line(self, timeout_s: float, limit_bytes: int) -> bytes:
        """Return the next line without its newline. Raises as `Channel.read_line` does."""
        self._room = max(HIGH_BYTES, limit_bytes + 1)
        self._balance()
        try:
            async with asyncio.timeout(timeout_s):
                while (line := self._take(limit_bytes)) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimedOut(f"no line within {timeout_s:g} s", self._name, BUSY_HINT) from None
        return line

    def _take(self, limit_bytes: int) -> bytes | None:
        found = self._data.find(b"\n", self._scanned)
        size = len(self._data) if found < 0 else found
        if size > limit_bytes:
            self._data.clear()
            self._scanned = 0
            self._error = BadAnswer(f"a line is longer than {limit_bytes} bytes", self._name, FLOOD_HINT)
        elif found >= 0:
            line = bytes(self._data[:found])
            del self._data[: found + 1]
            self._scanned = 0
            self._balance()
            return line
        if self._error is not None:
            raise self._error
        self._scanned = len(self._data)
        return None

    def _balance(self) -> None:
        held = self._error is None and len(self._data) > self._room
        if held != self._held:
            self._held = held
            self._hold(held)
