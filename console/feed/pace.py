"""When to ask next: back-off after errors, politeness to the slow, a budget of requests."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from console.errors import SourceError
from console.model import SourceState

POLITE_FACTOR = 10.0
"""A backend that serves others too rests this many times as long as its answer took."""
BACKOFF_CAP_S = 60.0
DENIED_FIRST_S = 30.0
DENIED_CAP_S = 300.0
"""A login that is refused again and again locks accounts and fills other people's logs."""
JITTER = 0.25
METER_WINDOW_S = 120.0


class Backoff:
    """Grows the delay with every failure in a row, up to a cap, each time a quarter to either side."""

    def __init__(self, rng: Callable[[], float] = random.random) -> None:
        self._rng = rng
        self.failures = 0

    def succeeded(self) -> None:
        """Begin anew."""
        self.failures = 0

    def failed(self, period_s: float, state: SourceState) -> float:
        """Return the seconds until the next try of a source that has this period."""
        self.failures += 1
        first, cap = max(period_s, 1.0), BACKOFF_CAP_S
        if state in (SourceState.DENIED, SourceState.UNSUPPORTED):
            first, cap = max(period_s, DENIED_FIRST_S), DENIED_CAP_S
        delay = min(first * 2.0 ** min(self.failures - 1, 16), max(cap, period_s))
        return delay * (1.0 + JITTER * (2.0 * self._rng() - 1.0))


def rest_s(period_s: float, latency_s: float, *, shared: bool) -> float:
    """Return how long to rest after an answer that took `latency_s`; `shared`: others need that backend too."""
    return max(period_s - latency_s, latency_s * (POLITE_FACTOR if shared else 1.0))


class Budget:
    """At most so many requests in any minute, for all capabilities of one backend together.

    The price of an answer is known when it is there; until then it is guessed from the last one. An answer that
    cost more than guessed is paid for by waiting longer afterwards.
    """

    def __init__(self, per_minute: float | None, window_s: float = 60.0) -> None:
        self.per_minute = per_minute
        self._window_s = window_s
        self._spent: deque[tuple[float, int]] = deque()
        self._total = 0

    def wait_s(self, now: float, price: int) -> float:
        """Return how long to wait before a request of this price may start; 0: now."""
        if self.per_minute is None:
            return 0.0
        self._forget(now)
        excess = self._total + price - self.per_minute
        if excess <= 0:
            return 0.0
        for at, count in self._spent:
            excess -= count
            if excess <= 0:
                return max(at + self._window_s - now, 0.001)
        # Dearer than the whole budget: when nothing else was asked for a minute.
        return max(self._spent[-1][0] + self._window_s - now, 0.001) if self._spent else 0.0

    def spend(self, now: float, count: int) -> None:
        """Take that requests were made; negative gives back what was guessed too much."""
        if self.per_minute is not None and count:
            self._forget(now)
            self._spent.append((now, count))
            self._total += count

    def fair_period_s(self, price: float, askers: int) -> float:
        """Return the period at which `askers` of this price share the budget evenly."""
        return 0.0 if not self.per_minute else self._window_s * price * askers / self.per_minute

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0][0] + self._window_s <= now:
            self._total -= self._spent.popleft()[1]


class Meter:
    """Requests per minute as they were, over the last two minutes."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._total = 0
        self._began: float | None = None

    def add(self, now: float, count: int) -> None:
        """Take that requests were made."""
        if self._began is None:
            self._began = now
        self._seen.append((now, count))
        self._total += count

    def per_minute(self, now: float) -> float | None:
        """Return the rate; None before anything was asked."""
        if self._began is None:
            return None
        while self._seen and self._seen[0][0] + METER_WINDOW_S <= now:
            self._total -= self._seen.popleft()[1]
        span = min(max(now - self._began, 60.0), METER_WINDOW_S)
        return self._total * 60.0 / span


def state_of(error: BaseException) -> SourceState:
    """Return what a source shows after this error; one that claims to be well may not pass for an answer."""
    state = error.state if isinstance(error, SourceError) else SourceState.ERROR
    return SourceState.ERROR if state in (SourceState.OK, SourceState.CONNECTING) else state
