"""Batches from anywhere but here: a recording, another process, a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from console.feed.base import Sink
from console.model import Attention, Batch, decode_batch, encode_batch


class ReplayFeed:
    """Emits encoded batches again, in their order and, if wanted, in their time.

    `steps` are (seconds since any origin, msgpack bytes of `encode_batch`). `speed` 1.0 keeps the time that lay
    between them, 10.0 is ten times as fast, None waits for nothing.
    """

    def __init__(self, steps: Iterable[tuple[float, bytes]], speed: float | None = None) -> None:
        self._steps = steps
        self._speed = speed
        self._resumed = asyncio.Event()
        self._resumed.set()

    async def run(self, sink: Sink) -> None:
        """Emit all batches, then return. msgspec.ValidationError when bytes are none of a batch."""
        before: float | None = None
        for at, data in self._steps:
            await self._resumed.wait()
            wait = 0.0 if self._speed is None or before is None else (at - before) / self._speed
            await asyncio.sleep(max(wait, 0.0))
            before = at
            sink(decode_batch(data))

    def attend(self, attention: Attention) -> None:
        """Change nothing: what was not recorded cannot be looked at more closely."""

    def pause(self, paused: bool) -> None:
        """Halt, or go on."""
        if paused:
            self._resumed.clear()
        else:
            self._resumed.set()

    def set_refresh(self, period_s: float | None) -> None:
        """Change nothing: the recording has its own pace."""


def recording(sink: Sink, keep: Callable[[float, bytes], None], now: Callable[[], float]) -> Sink:
    """Return a sink that keeps every batch as bytes and hands on what these bytes say.

    What reaches `sink` has been through msgpack, as if it had come over a socket.
    """

    def take(batch: Batch) -> None:
        data = encode_batch(batch)
        keep(now(), data)
        sink(decode_batch(data))

    return take
