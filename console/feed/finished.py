"""Jobs that have ended today: what accounting is asked for, and from when on."""

from __future__ import annotations

import time
from collections.abc import Callable

from console.model import Records
from console.plugin import Accounting

OVERLAP_S = 120.0
"""Ends are written late: so much of what was asked for before is asked for again."""


def midnight(now: float) -> float:
    """Return when the day of a time began, by the clock of this host."""
    local = time.localtime(now)
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, 0, 0, -1))


class Finished:
    """Asks for all of today first, then for what ended since."""

    def __init__(self, backend: Accounting, now: Callable[[], float]) -> None:
        self._backend = backend
        self._now = now
        self._told: float | None = None

    async def ask(self) -> Records:
        """Return the jobs that ended since the last answer. Raises SourceError."""
        now = self._now()
        today = midnight(now)
        since = today if self._told is None else max(self._told - OVERLAP_S, today)
        records = await self._backend.finished(min(since, now))
        self._told = now
        return records
