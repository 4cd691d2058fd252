"""The token that lets us in at slurmrestd, where it is asked of slurmctld itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from console.errors import Denied
from plugins.slurm import commands
from plugins.slurm.client import Client

LIFESPAN_S = 1800
ASKED = "scontrol"
"""Value of `rest_token` that means: ask for it."""


class AskedToken:
    """A token of `scontrol token`, asked for anew before it ends. It stays in memory, and is shown to nobody."""

    def __init__(self, client: Client, now: Callable[[], float]) -> None:
        self._client = client
        self._now = now
        self._value: str | None = None
        self._asked_at = 0.0
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return "AskedToken()"

    async def renew(self) -> None:
        """Ask for one where there is none that lasts. Raises SourceError."""
        async with self._lock:
            now = self._now()
            if self._value is not None and 0 <= now - self._asked_at < LIFESPAN_S / 2:
                return
            done = await self._client.ask(self._client.commands.token(LIFESPAN_S))
            self._client.charge(commands.TOKEN_COST)
            self._value = done.stdout.decode("utf-8", "replace").strip().partition("=")[2]
            self._asked_at = now

    def refused(self) -> None:
        """Forget it: slurmctld has a new key, or another clock."""
        self._value = None

    def read(self) -> str:
        """Return it. Denied when there is none."""
        value = self._value or ""
        if not value or any(not "!" <= char <= "~" for char in value):
            raise Denied("scontrol token gave no token", self._client.where, "run it by hand: is auth/jwt set up?")
        return value
