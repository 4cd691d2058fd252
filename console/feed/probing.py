"""Keeps the probe of one node open, at the pace that its attention deserves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from console.errors import SourceError, TimedOut
from console.feed.gate import Gate
from console.feed.pace import Backoff, state_of
from console.feed.status import SourceTracker
from console.model import ProbeCost, Records, Sample, SourceState
from console.transport.base import BUSY_HINT

OPEN_TIMEOUT_S = 45.0
"""To connect, log in and say hello; the transport has tighter deadlines of its own for each."""
LINE_GRACE_S = 5.0
FIRST_GRACE_S = 15.0
"""The first tick loads the driver's library on a node that may be busy."""
CLOSE_TIMEOUT_S = 4.0


class NodeProbe(Protocol):
    """What `console.probes.open_probe` gives."""

    async def next(self, timeout_s: float) -> Sample:
        """Return the next sample. Raises SourceError."""

    async def set_period(self, period_s: float) -> None:
        """Change the pace. Raises SourceError."""

    async def pause(self, paused: bool) -> None:
        """Let nothing be read on the node, or go on at once. Raises SourceError."""

    async def close(self) -> None:
        """End it. Never raises."""


Opener = Callable[[str, float, str], Awaitable[NodeProbe]]
"""(address, period in seconds, node name) to a running probe. Raises SourceError."""


class ProbeWorker:
    """One looping worker of one node: opens, reads, paces, closes, and after a failure backs off.

    `set_pace(None)` closes the probe and lets the source go until there is a pace again. `pause` leaves it open and
    keeps it alive, but nothing is read on the node; what is closed is not opened meanwhile.
    """

    def __init__(
        self,
        tracker: SourceTracker,
        address: str,
        opener: Opener,
        gate: Gate,
        *,
        backoff: Backoff | None = None,
    ) -> None:
        self.tracker = tracker
        self.samples = 0
        """Samples of the connection that is open."""
        self.attended = False
        """Somebody looks at this node: it goes first."""
        self.address = address
        self._opener = opener
        self._gate = gate
        self._backoff = backoff or Backoff()
        self._pace_s: float | None = None
        self._wanted = asyncio.Event()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._resumed_at = float("-inf")
        """Loop time since when a sample is owed."""
        self._probe: NodeProbe | None = None
        self._session: asyncio.Future[float] | None = None
        self._pacing: asyncio.Future[None] | None = None

    @property
    def pace_s(self) -> float | None:
        """The period that is asked for; None: closed."""
        return self._pace_s

    @property
    def idle(self) -> bool:
        """Whether it is closed and its source let go."""
        return self._pace_s is None and self.tracker.is_ended

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be expected at once: two samples (rates need two), or a failure."""
        if self._pace_s is None:
            return True
        if self.tracker.status.state is SourceState.OK:
            return self.samples >= 2
        return self.tracker.answered

    def set_pace(self, period_s: float | None) -> None:
        """Ask for a pace, or for None."""
        if period_s == self._pace_s:
            return
        self._pace_s = period_s
        if period_s is None:
            self._wanted.clear()
            if self._session is not None:
                self._session.cancel()
            return
        self._wanted.set()
        self.tracker.expect(period_s)
        self._tell()

    def pause(self, paused: bool) -> None:
        """Let nothing be read on the node, or go on at once."""
        if paused:
            self._resumed.clear()
        elif not self._resumed.is_set():
            self._resumed_at = asyncio.get_running_loop().time()
            self._resumed.set()
        self._tell()

    async def run(self) -> None:
        """Work until cancelled. Raises nothing else."""
        while True:
            if self._pace_s is None:
                self.tracker.end()
            await self._wanted.wait()
            if not self._resumed.is_set():
                await self._resumed.wait()
                continue  # it may be wanted no more
            self.tracker.begin()
            session = self._session = asyncio.ensure_future(self._run_session())
            try:
                await asyncio.wait({session})
            except asyncio.CancelledError:
                session.cancel()
                await asyncio.wait({session})
                raise
            finally:
                self._session = None
            delay = 0.0 if session.cancelled() else session.result()
            if delay:
                await asyncio.sleep(delay)

    async def _run_session(self) -> float:
        """Run one probe from its opening to its end; return the seconds until the next try."""
        self.samples = 0
        try:
            async with self._gate.turn(lambda: self.attended):
                pace = self._pace_s or 1.0
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    self._probe = await self._opener(self.address, pace, self.tracker.status.node or "")
                await self._adjust(self._probe)
                sample = await self._next(self._probe, FIRST_GRACE_S)
            while True:
                self._take(sample)
                sample = await self._next(self._probe, LINE_GRACE_S)
        except Exception as error:  # noqa: BLE001
            # SourceError is the rule; whatever else a transport or probe raises costs this node, not the console.
            return self._failed(error)
        finally:
            if self._pacing is not None:
                self._pacing.cancel()
            probe, self._probe = self._probe, None
            if probe is not None:
                await _close(probe)

    async def _next(self, probe: NodeProbe, grace_s: float) -> Sample:
        """Return the next sample; TimedOut when it is not there in three periods, as they are at the end.

        A pause does not count. Waiting meanwhile is what keeps the probe alive.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            started = max(started, self._resumed_at) if self._resumed.is_set() else loop.time()
            period = max(self._pace_s or 0.0, self.tracker.status.period_s or 0.0)
            left = started + 3.0 * period + grace_s - loop.time()
            if left <= 0:
                raise TimedOut(
                    f"the probe was silent for {loop.time() - started:.0f} s", self.tracker.status.name, BUSY_HINT
                )
            try:
                return await probe.next(left)
            except TimedOut:
                continue  # the pace may have become slower meanwhile, or there is a pause

    def _take(self, sample: Sample) -> None:
        self.samples += 1
        self._backoff.succeeded()
        if not self._resumed.is_set():
            return  # it was on its way
        cost = sample.cost
        if cost is None:
            self.tracker.good(Records(samples=(sample,), requests=0), period_s=self._pace_s, next_try_at=None)
            return
        self.tracker.good(
            Records(samples=(sample,), requests=0),
            period_s=max(cost.period_s or 0.0, self._pace_s or 0.0) or None,
            next_try_at=None,
            cpu_percent=cost.cpu_percent,
            bytes_per_s=cost.bytes_per_s,
            detail=_how(cost),
        )

    def _failed(self, error: Exception) -> float:
        if isinstance(error, TimeoutError):
            error = TimedOut(f"no probe in {OPEN_TIMEOUT_S:.0f} s", self.tracker.status.name, BUSY_HINT)
        delay = self._backoff.failed(self._pace_s or 1.0, state_of(error))
        self.tracker.failed(error, delay, self.tracker.status.name)
        return delay

    def _tell(self) -> None:
        """Let an open probe know what is wanted of it now."""
        if self._probe is not None and (self._pacing is None or self._pacing.done()):
            self._pacing = asyncio.ensure_future(self._adjust(self._probe))

    async def _adjust(self, probe: NodeProbe) -> None:
        """Tell the probe its pace and whether it is to rest, and again while that changes meanwhile."""
        told: tuple[float, bool] | None = None
        try:
            while self._pace_s is not None and told != (self._pace_s, self._resumed.is_set()):
                told = self._pace_s, self._resumed.is_set()
                await probe.set_period(told[0])
                await probe.pause(not told[1])
        except SourceError:
            pass  # the line is dead; the reader finds out and says so


def _how(cost: ProbeCost) -> str | None:
    python = f"python {cost.python}" if cost.python else ""
    return ", ".join(part for part in (python, cost.accelerators) if part) or None


async def _close(probe: NodeProbe) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await probe.close()
    except Exception:  # noqa: BLE001 - what cannot be closed in time dies with its connection
        pass
