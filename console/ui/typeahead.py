"""Keys one after the other: a slow line brings whole words at once, each key meant for what the one before opened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from textual.events import Key, Paste
from textual.message_pump import MessagePump

if TYPE_CHECKING:
    from textual.app import App

Typed = Key | Paste

PATIENCE_S = 0.5
"""A widget that is being removed answers no more: then the next key goes on without it."""


class TypeAhead:
    """The queue of keys and pastes: each is delivered when what the one before it did has come true.

    A key for which nothing is waited goes its way at once; only those behind it take the detour over `run`.
    """

    def __init__(self, app: App[int], deliver: Callable[[Typed], Awaitable[None]]) -> None:
        self._app = app
        self._deliver = deliver
        self._waiting: asyncio.Queue[Typed | None] = asyncio.Queue()
        """None: one that has been delivered, and is to be waited for."""
        self.busy = False

    async def add(self, event: Typed) -> None:
        """Take a key or a paste."""
        if self.busy:
            self._waiting.put_nowait(event)
            return
        self.busy = True
        try:
            await self._deliver(event)
        finally:
            self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Wait for what has been delivered, and deliver what came meanwhile, for ever."""
        while True:
            event = await self._waiting.get()
            if event is not None:
                await self._deliver(event)
            await self._settled()
            self.busy = not self._waiting.empty()

    async def _settled(self) -> None:
        """Wait until the line has read the key, the screen has done what it means, and what that opened is there."""
        app = self._app
        await _reached(app.focused or app.screen)
        await _reached(app.screen)
        prompts = list(app.screen.query("Prompt"))
        if prompts and app.focused is None:
            # The last one: the one before it may be on its way out.
            await _reached(prompts[-1])
            await _reached(app)


async def _reached(pump: MessagePump) -> None:
    """Wait until the pump has dealt with all that it was sent before now."""
    done = asyncio.Event()
    if pump.call_later(done.set):
        try:
            async with asyncio.timeout(PATIENCE_S):
                await done.wait()
        except TimeoutError:
            return
