"""Asks one capability of one backend, for ever, politely."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from console.errors import BadAnswer, TimedOut, Unreachable
from console.feed.pace import Backoff, Budget, Meter, rest_s, state_of
from console.feed.status import SourceTracker
from console.model import Records

_SLOW_HINT = "is the server behind it overloaded? ask it by hand; it is asked again, more rarely"
STANDING_S = 30.0
"""What its backend asks this rarely hardly changes: no refresh hurries it."""
PRICE_WEIGHT = 0.25
"""How fast the pace follows the price: one dear answer now and then does not slow a source that is mostly cheap."""
CHEAPEST = 0.25
"""What an answer counts at least: one that was got together with another capability's costs nothing itself."""
NEWS_S = 0.5
"""How long a source rests at least that says itself when it has something new."""
ABANDON_S = 1.0
"""How long a cancelled request may take to end before the source is shown as stuck."""


def deadline_s(period_s: float) -> float:
    """Return how long one request may take: a full listing of a busy scheduler takes its time."""
    return min(max(3.0 * period_s, 15.0), 60.0)


class PolledWorker:
    """One looping worker: one request in flight, a deadline, back-off; drops rather than queues."""

    def __init__(
        self,
        tracker: SourceTracker,
        ask: Callable[[], Awaitable[Records]],
        *,
        period_s: float,
        budget: Budget,
        askers: int = 1,
        backoff: Backoff | None = None,
        deadline: float | None = None,
        on_records: Callable[[Records], None] = lambda _records: None,
    ) -> None:
        self.tracker = tracker
        self.own_period_s = period_s
        self.refresh_s: float | None = None
        """The pace that the user asked for; None: its own."""
        self._ask = ask
        self._budget = budget
        self._askers = askers
        self._backoff = backoff or Backoff()
        self._deadline = deadline
        self._on_records = on_records
        self._meter = Meter()
        self._usual = 1.0
        self._answers = 0
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._hurry = asyncio.Event()
        self._news = False
        self._stuck: asyncio.Future[Records] | None = None

    @property
    def period_s(self) -> float:
        """The pace that it is asked at now: never faster than its share of the budget allows."""
        slow = self.refresh_s is None or self.own_period_s >= STANDING_S
        wanted = self.own_period_s if slow or self.refresh_s is None else self.refresh_s
        return max(wanted, self._budget.fair_period_s(self._usual, self._askers))

    @property
    def _price(self) -> int:
        """What the next answer is guessed to cost."""
        return math.ceil(self._usual)

    def pause(self, paused: bool) -> None:
        """Stop asking, or go on at once."""
        if paused:
            self._resumed.clear()
        else:
            self._resumed.set()
            self._hurry.set()

    def set_refresh(self, period_s: float | None) -> None:
        """Override the pace."""
        self.refresh_s = period_s
        if self._backoff.failures == 0:
            self._hurry.set()

    def wake(self) -> None:
        """Look soon: its backend says that it has something new. Ends a back-off too, as it is well again."""
        self._news = True
        self._hurry.set()

    async def run(self) -> None:
        """Ask until cancelled. Raises nothing else."""
        self.tracker.begin()
        try:
            while True:
                await self._resumed.wait()
                await self._affordable()
                await self._sleep(await self._once())
        finally:
            if self._stuck is not None:
                self._stuck.cancel()

    async def _once(self) -> float:
        """Ask once; return the seconds to rest."""
        loop = asyncio.get_running_loop()
        guess, started = 0 if self._stuck else self._price, loop.time()
        self._budget.spend(started, guess)
        self._news = False
        period = self.period_s
        try:
            records = await self._answer(self._deadline or deadline_s(period))
            if not isinstance(records, Records):
                raise BadAnswer(
                    f"the plugin gave {type(records).__name__}, not records",
                    self.tracker.status.name,
                    "update the plugin, or tell whoever wrote it",
                )
        except Exception as error:  # noqa: BLE001
            # Whatever a plugin raises costs that plugin its answer, never the console.
            if type(error) is Unreachable:
                # Nobody was reached, so nobody was burdened: who comes back does not wait for that.
                self._budget.spend(loop.time(), -guess)
                guess = 0
            self._meter.add(loop.time(), guess)
            return self._failed(error)
        now = loop.time()
        latency = now - started
        self._remember(records.requests)
        self._budget.spend(now, records.requests - guess)
        self._meter.add(now, records.requests)
        self._backoff.succeeded()
        period = self.period_s
        rest = rest_s(period, latency, shared=self._budget.per_minute is not None)
        self.tracker.good(
            records,
            next_try_at=self.tracker.now() + rest,
            period_s=max(period, latency + rest),
            latency_s=latency,
            requests_per_minute=self._meter.per_minute(now),
            detail=records.detail if records.detail is not None else self.tracker.status.detail,
            facts=records.facts or self.tracker.status.facts,
        )
        self._on_records(records)
        return rest

    def _remember(self, price: int) -> None:
        """Learn what an answer usually costs. The first one lists everything and says nothing about the next."""
        self._answers += 1
        if self._answers > 1:
            self._usual += (max(price, CHEAPEST) - self._usual) * PRICE_WEIGHT

    def _failed(self, error: Exception) -> float:
        delay = self._backoff.failed(self.period_s, state_of(error))
        self.tracker.failed(
            error,
            delay,
            self.tracker.status.name,
            requests_per_minute=self._meter.per_minute(asyncio.get_running_loop().time()),
        )
        return delay

    async def _answer(self, timeout_s: float) -> Records:
        """Return the answer of one request; TimedOut past the deadline.

        A request that does not end when it is cancelled is waited for, so that there are never two.
        """
        if self._stuck is None:
            task: asyncio.Future[Records] = asyncio.ensure_future(_guarded(self._ask))
        else:
            task, self._stuck = self._stuck, None
        try:
            await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=ABANDON_S)
            if not task.done():
                self._stuck = task
                raise TimedOut(
                    f"no answer in {timeout_s:.0f} s, and the request does not let go",
                    self.tracker.status.name,
                    _SLOW_HINT,
                )
        if task.cancelled():
            raise TimedOut(f"no answer in {timeout_s:.0f} s", self.tracker.status.name, _SLOW_HINT)
        return task.result()

    async def _affordable(self) -> None:
        loop = asyncio.get_running_loop()
        while (wait := self._budget.wait_s(loop.time(), self._price)) > 0:
            await asyncio.sleep(wait)
            await self._resumed.wait()

    async def _sleep(self, seconds: float) -> None:
        """Rest, but no longer than until somebody asks for a faster pace, or there is something new."""
        self._hurry.clear()
        started = asyncio.get_running_loop().time()
        while True:
            if self._news:
                seconds = min(seconds, NEWS_S)
            left = started + seconds - asyncio.get_running_loop().time()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._hurry.wait()
            except TimeoutError:
                return
            self._hurry.clear()
            if self._backoff.failures == 0:
                seconds = min(seconds, self.period_s)


async def _guarded(ask: Callable[[], Awaitable[Records]]) -> Records:
    """Ask; what would end the program when it leaves a task becomes an ordinary error."""
    try:
        return await ask()
    except SystemExit as error:
        raise RuntimeError("SystemExit raised by a plugin") from error
