"""Back-off, politeness, budget and meter: pure arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import BadAnswer, Denied, SourceError, TimedOut, UsageError
from console.feed.pace import (
    BACKOFF_CAP_S,
    DENIED_CAP_S,
    DENIED_FIRST_S,
    JITTER,
    Backoff,
    Budget,
    Meter,
    rest_s,
    state_of,
)
from console.model import SourceState


def test_backoff_doubles_up_to_its_cap_and_begins_anew() -> None:
    backoff = Backoff(rng=lambda: 0.5)
    delays = [backoff.failed(2.0, SourceState.UNREACHABLE) for _ in range(8)]
    assert delays == [2, 4, 8, 16, 32, 60, 60, 60]
    backoff.succeeded()
    assert backoff.failed(2.0, SourceState.UNREACHABLE) == 2


@given(st.floats(0.0, 1.0, exclude_max=True), st.floats(0.2, 3600.0), st.integers(1, 40))
def test_jitter_stays_within_a_quarter(random: float, period: float, failures: int) -> None:
    backoff, exact = Backoff(rng=lambda: random), Backoff(rng=lambda: 0.5)
    for _ in range(failures):
        delay = backoff.failed(period, SourceState.ERROR)
        middle = exact.failed(period, SourceState.ERROR)
        assert middle * (1 - JITTER) <= delay <= middle * (1 + JITTER)
        assert middle <= max(BACKOFF_CAP_S, period)


def test_who_is_denied_is_asked_rarely() -> None:
    backoff = Backoff(rng=lambda: 0.5)
    delays = [backoff.failed(2.0, SourceState.DENIED) for _ in range(6)]
    assert delays[0] == DENIED_FIRST_S
    assert delays[-1] == DENIED_CAP_S


@pytest.mark.parametrize(
    ("period", "latency", "shared", "rest"),
    [(5.0, 0.1, True, 4.9), (5.0, 2.0, True, 20.0), (5.0, 2.0, False, 3.0), (2.0, 3.0, False, 3.0)],
)
def test_a_slow_backend_rests_ten_times_its_answer(period: float, latency: float, shared: bool, rest: float) -> None:
    assert rest_s(period, latency, shared=shared) == pytest.approx(rest)


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(1, 4)), max_size=60),
)
def test_no_minute_sees_more_than_its_budget(per_minute: int, wishes: list[tuple[float, int]]) -> None:
    budget = Budget(per_minute)
    now = 0.0
    spent: list[tuple[float, int]] = []
    for pause, price in wishes:
        now += pause
        for _ in range(100):
            wait = budget.wait_s(now, price)
            if wait <= 0:
                break
            now += wait
        else:
            raise AssertionError("never affordable")
        budget.spend(now, price)
        spent.append((now, price))
        minute = sum(count for at, count in spent if at > now - 59.999)
        assert minute <= max(per_minute, price)


def test_an_answer_dearer_than_guessed_is_paid_for_afterwards() -> None:
    budget = Budget(10)
    budget.spend(0.0, 1)
    budget.spend(1.0, 9)
    assert budget.wait_s(2.0, 1) == pytest.approx(58.0)
    budget.spend(2.0, -5)
    assert budget.wait_s(2.0, 5) == 0.0


def test_without_a_budget_nothing_waits() -> None:
    budget = Budget(None)
    for _ in range(1000):
        budget.spend(0.0, 100)
    assert budget.wait_s(0.0, 100) == 0.0
    assert budget.fair_period_s(3, 2) == 0.0
    assert Budget(12).fair_period_s(1, 2) == 10.0


def test_meter_counts_the_last_two_minutes() -> None:
    meter = Meter()
    assert meter.per_minute(0.0) is None
    for second in range(0, 300, 10):
        meter.add(float(second), 2)
    assert meter.per_minute(300.0) == pytest.approx(12.0, rel=0.1)
    assert meter.per_minute(1000.0) == 0.0


def test_no_error_passes_for_an_answer() -> None:
    class Odd(SourceError):
        state = SourceState.OK

    assert state_of(Odd("x")) is SourceState.ERROR
    assert state_of(Denied("x")) is SourceState.DENIED
    assert state_of(TimedOut("x")) is SourceState.UNREACHABLE
    assert state_of(BadAnswer("x")) is SourceState.ERROR
    assert state_of(UsageError("x")) is SourceState.ERROR
    assert state_of(KeyError("x")) is SourceState.ERROR
