"""What simulated jobs write: the progress of a training run, a line every few seconds of its life.

Every line has the same length, so that the text at any byte is known without the text before it.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable

from console.model import LogChunk

LINE_S = 4.0
LINE_BYTES = 176
LOOK_S = 0.5
STEPS_PER_LINE = 10


class SimulatedOutput:
    """One output of one job; a `console.plugin.LogReader`."""

    seekable = True

    def __init__(
        self, seed: str, steps: int, elapsed_s: Callable[[], tuple[float, bool]], began_at: float = 0.0
    ) -> None:
        """`elapsed_s` returns how long the job has run, and whether it still does; `began_at` is in seconds, UTC."""
        rng = random.Random(seed)
        self._steps = max(steps, 1)
        self._start_loss = 6.0 + 5.0 * rng.random()
        self._floor = 1.2 + rng.random()
        self._tokens = rng.randrange(20_000, 400_000)
        self._noise = [rng.gauss(0, 0.02) for _ in range(97)]
        self._elapsed_s = elapsed_s
        self._began_at = began_at

    async def tail(self, limit_bytes: int) -> LogChunk:
        """Return its last bytes."""
        start = max(self._size() - limit_bytes, 0)
        return LogChunk(data=self._bytes(start, self._size()), start=start)

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        """Return bytes from an offset; none past its end."""
        start = min(max(offset, 0), self._size())
        return LogChunk(data=self._bytes(start, min(start + limit_bytes, self._size())), start=start)

    async def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        """Yield what is written after a chunk, until the job ends."""
        offset = after.end or 0
        while True:
            _, runs = self._elapsed_s()
            size = self._size()
            if size > offset:
                yield LogChunk(data=self._bytes(offset, size), start=offset)
                offset = size
            elif not runs:
                return
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Nothing is held open."""

    def _size(self) -> int:
        elapsed, _ = self._elapsed_s()
        return int(max(elapsed, 0.0) / LINE_S) * LINE_BYTES

    def _bytes(self, start: int, end: int) -> bytes:
        first = start // LINE_BYTES
        text = b"".join(self._line(at) for at in range(first, -(-end // LINE_BYTES)))
        return text[start - first * LINE_BYTES : end - first * LINE_BYTES]

    def _line(self, at: int) -> bytes:
        step = (at + 1) * STEPS_PER_LINE
        decay = math.exp(-4.0 * step / self._steps)
        noise = self._noise[at % len(self._noise)]
        loss = self._floor + (self._start_loss - self._floor) * decay + noise
        tokens = int(self._tokens * (1 + noise))
        rate = 3e-4 * min(1.0, step / (self._steps * 0.02)) * (0.1 + 0.9 * decay)
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self._began_at + (at + 1) * LINE_S))
        word, colour = ("WARN", 33) if abs(noise) > 0.045 else ("INFO", 32)
        text = (
            f"\x1b[2m{clock}\x1b[0m \x1b[{colour}m{word}\x1b[0m step {step}/{self._steps} "
            f"| loss \x1b[1m{loss:.4f}\x1b[0m | lr {rate:.3e} "
            f"| grad norm {0.4 + 4 * abs(noise):.3f} | \x1b[36m{tokens} tokens/s\x1b[0m"
        )
        return text[: LINE_BYTES - 1].ljust(LINE_BYTES - 1).encode() + b"\n"
