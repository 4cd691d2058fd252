"""Whose turn it is to begin: what somebody looks at first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

HOLD_S = 0.5


class Gate:
    """Lets `limit` begin at a time, the urgent before the others, each group in its order.

    Who has held a turn for `hold_s` waits for a machine and does not work: its turn goes to the next, so that dead
    machines hold up nobody.
    """

    def __init__(self, limit: int, hold_s: float = HOLD_S) -> None:
        self._free = limit
        self._hold_s = hold_s
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    @asynccontextmanager
    async def turn(self, urgent: Callable[[], bool]) -> AsyncIterator[None]:
        """Wait for a turn and keep it for the block, at most `hold_s`; `urgent` is asked whenever one is free."""
        loop = asyncio.get_running_loop()
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(urgent)
        held = True

        def give_back() -> None:
            nonlocal held
            if held:
                held = False
                self._release()

        timer = loop.call_later(self._hold_s, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()

    async def _wait(self, urgent: Callable[[], bool]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = urgent
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._release()
            raise
        finally:
            self._waiting.pop(future, None)

    def _release(self) -> None:
        chosen = None
        for future, urgent in self._waiting.items():
            if future.done():
                continue
            if urgent():
                chosen = future
                break
            chosen = chosen or future
        if chosen is None:
            self._free += 1
        else:
            chosen.set_result(None)
