"""Long work on the event loop, a slice at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


class Pace:
    """Lets the event loop breathe whenever some milliseconds of work have gone."""

    def __init__(self, slice_s: float = 0.004) -> None:
        self._slice_s = slice_s
        self._began = time.perf_counter()

    async def breathe(self) -> None:
        """Give way if it is time to."""
        if time.perf_counter() - self._began > self._slice_s:
            await asyncio.sleep(0)
            self._began = time.perf_counter()


async def sliced(steps: Generator[None, None, T]) -> T:
    """Run a generator to its end, letting the event loop breathe after each step; return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
