"""How many hosts may be on their way to being connected at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HOLD_S = 0.1
LATE_S = 0.02


class Gate:
    """Bounds the connects that are being worked on, without letting the dead hold up the living.

    A slot is for work: handshakes, and keys to be checked. A connect that has had its slot for `hold_s` is
    waiting for a machine, not working, and gives its slot to the next – unless this process itself is behind
    with its work, which shows in the timer being late: then nobody new starts, and keys and screen stay quick.
    """

    def __init__(self, limit: int, hold_s: float = HOLD_S) -> None:
        self._slots = asyncio.Semaphore(limit)
        self._hold_s = hold_s

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and keep it for the block, at most about `hold_s`."""
        await self._slots.acquire()
        lease = _Lease(self._slots, self._hold_s)
        try:
            yield
        finally:
            lease.end()


class _Lease:
    """One slot in use; given back once."""

    def __init__(self, slots: asyncio.Semaphore, hold_s: float) -> None:
        self._slots = slots
        self._hold_s = hold_s
        self._held = True
        self._arm()

    def end(self) -> None:
        """Give the slot back, if that has not been done."""
        self._timer.cancel()
        if self._held:
            self._held = False
            self._slots.release()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._hold_s, self._expire)

    def _expire(self) -> None:
        if asyncio.get_running_loop().time() - self._timer.when() > LATE_S:
            self._arm()
        else:
            self.end()
