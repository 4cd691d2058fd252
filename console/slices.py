"""Long work on the event loop, a slice at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


async def sliced(steps: Generator[None, None, T]) -> T:
    """Run a generator to its end, letting the event loop breathe after each step; return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
