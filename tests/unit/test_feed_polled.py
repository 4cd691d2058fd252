"""The polled worker: one request in flight, deadline, back-off, budget, and whatever a plugin may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from console.errors import Denied, SourceError, TimedOut, Unreachable
from console.feed.pace import Backoff, Budget
from console.feed.polled import NEWS_S, PolledWorker, deadline_s
from console.feed.status import HINT_LIMIT
from console.model import Node, Records, SourceState
from console.transport.failures import Attempt, add_command, connect_error
from console.transport.hostoptions import Target, build
from console.transport.openssh import Values
from tests.unit.feed_fakes import Reports, Sent, tracker
from tests.unit.records import node, until

NAME = "slurm:lab/nodes"


class Rig:
    """A worker on a function of the test."""

    def __init__(self, ask: Callable[[], Awaitable[Any]], **fields: Any) -> None:
        self.sent, self.reports = Sent(), Reports()
        self.tracker = tracker(self.sent, self.reports, NAME, period_s=0.02)
        fields = {"period_s": 0.02, "budget": Budget(None), "backoff": Backoff(lambda: 0.5), **fields}
        self.worker = PolledWorker(self.tracker, ask, **fields)

    @property
    def status(self) -> Any:
        return self.sent.last(NAME)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rig]:
        task = asyncio.ensure_future(self.worker.run())
        try:
            yield self
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


class Flaky:
    """Answers or raises what it is told to."""

    def __init__(self) -> None:
        self.outcome: Any = Records(nodes=(node("n1"),), complete=("nodes",))
        self.asked = 0
        self.inside = 0
        self.most = 0
        self.wait_s = 0.0

    async def __call__(self) -> Any:
        self.asked += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(self.wait_s)
        finally:
            self.inside -= 1
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


async def test_asks_again_and_again_one_at_a_time() -> None:
    flaky = Flaky()
    flaky.wait_s = 0.03
    async with Rig(flaky).running() as rig:
        await until(lambda: flaky.asked >= 4, "four requests")
    assert flaky.most == 1
    assert rig.sent.states(NAME) == [SourceState.CONNECTING, SourceState.OK]
    assert rig.status.observed_at == pytest.approx(time.time(), abs=5)
    assert rig.status.latency_s >= 0.03
    assert rig.status.requests_per_minute > 0


async def test_failures_say_what_and_when_next_and_end_with_an_answer() -> None:
    flaky = Flaky()
    flaky.outcome = Unreachable("slurmctld does not answer", "slurm:lab", "start it")
    async with Rig(flaky, backoff=Backoff(lambda: 0.5)).running() as rig:
        await until(lambda: flaky.asked == 1 and rig.status.error, "the first failure")
        status = rig.status
        assert status.state is SourceState.UNREACHABLE
        assert status.error == "slurmctld does not answer: slurm:lab"
        assert status.hint == "start it"
        assert 0.5 < status.next_try_at - time.time() <= 1.01
        assert status.observed_at is None
        since = status.since
        await until(lambda: flaky.asked == 2, "the second try")
        await until(lambda: rig.status.next_try_at - time.time() > 1.5, "a longer delay")
        assert rig.status.since == since, "the same failure goes on"
        flaky.outcome = Records()
        await until(lambda: rig.status.state is SourceState.OK, "recovery")
        assert (rig.status.error, rig.status.hint) == (None, None)
        assert rig.reports == []


async def test_denied_is_denied() -> None:
    flaky = Flaky()
    flaky.outcome = Denied("no")
    async with Rig(flaky).running() as rig:
        await until(lambda: rig.status.state is SourceState.DENIED, "denied")
        assert rig.status.next_try_at - time.time() > 20


async def test_a_request_past_its_deadline_is_given_up() -> None:
    flaky = Flaky()
    flaky.wait_s = 3600
    async with Rig(flaky, deadline=0.05).running() as rig:
        await until(lambda: rig.status.state is SourceState.UNREACHABLE, "timeout")
        assert flaky.inside == 0
        assert "no answer in" in rig.status.error


async def test_a_request_that_cannot_be_cancelled_is_never_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.polled.ABANDON_S", 0.05)
    release = asyncio.Event()
    flaky = Flaky()

    async def stubborn() -> Records:
        flaky.asked += 1
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return Records()

    async with Rig(stubborn, deadline=0.05, backoff=Backoff(lambda: 0.5)).running() as rig:
        await until(lambda: rig.status.error is not None and "does not let go" in rig.status.error, "stuck")
        await until(lambda: rig.worker._backoff.failures >= 2, "another try that waits for the first")
        assert flaky.asked == 1
        release.set()
        await until(lambda: rig.status.state is SourceState.OK, "its answer, late")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("not even a text")


@pytest.mark.parametrize(
    "odd",
    [
        ZeroDivisionError("x\x1b[2Jy"),
        SystemExit(3),
        asyncio.CancelledError(),
        ExceptionGroup("several", [ValueError("a")]),
        Unprintable(),
        StopAsyncIteration(),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_plugin_raises_costs_its_answer_only(odd: BaseException) -> None:
    flaky = Flaky()
    flaky.outcome = odd
    async with Rig(flaky).running() as rig:
        await until(lambda: rig.status.error is not None, "the failure")
        assert rig.status.state in (SourceState.ERROR, SourceState.UNREACHABLE)
        assert "\x1b" not in rig.status.error
        flaky.outcome = Records()
        await until(lambda: rig.status.state is SourceState.OK, "the worker lives on")
        if not isinstance(odd, asyncio.CancelledError):
            assert len(rig.reports) == 1
            assert "/tmp/crash.txt" in next(batch.status.hint for batch in rig.sent if batch.status.hint)


@pytest.mark.parametrize("answer", [None, 7, [node("n1")]])
async def test_an_answer_that_is_none_is_an_error(answer: object) -> None:
    flaky = Flaky()
    flaky.outcome = answer
    async with Rig(flaky).running() as rig:
        await until(lambda: rig.status.state is SourceState.ERROR, "error")
        assert "not records" in rig.status.error


async def test_records_that_break_the_store_cost_this_answer_only() -> None:
    from console.store import Store

    flaky = Flaky()
    flaky.outcome = Records(nodes=(Node(name=None, cluster="lab"),))  # type: ignore[arg-type]
    rig = Rig(flaky)
    store = Store()
    rig.tracker._sink = lambda batch: (rig.sent.append(batch), store.apply(batch))[1]  # type: ignore[func-returns-value]
    async with rig.running():
        await until(lambda: rig.status.state is SourceState.ERROR, "error")
        assert "breaks the contract" in rig.status.error
        flaky.outcome = Records(nodes=(node("n1"),))
        await until(lambda: "n1" in store.nodes, "the next answer counts")


async def test_paused_asks_nothing_and_goes_on_at_once() -> None:
    flaky = Flaky()
    async with Rig(flaky).running() as rig:
        await until(lambda: flaky.asked >= 2, "two requests")
        rig.worker.pause(True)
        await until(lambda: flaky.inside == 0, "the one in flight")
        asked = flaky.asked
        await asyncio.sleep(0.15)
        assert flaky.asked <= asked + 1
        asked = flaky.asked
        rig.worker.pause(False)
        await until(lambda: flaky.asked > asked, "going on")


async def test_refresh_overrides_the_pace_but_not_what_hardly_changes() -> None:
    flaky = Flaky()
    async with Rig(flaky, period_s=20.0).running() as rig:
        await until(lambda: flaky.asked == 1, "the first request")
        rig.worker.set_refresh(0.02)
        await until(lambda: flaky.asked >= 4, "the new pace, without waiting for the old one", seconds=5)
        assert rig.status.period_s == pytest.approx(0.02, abs=0.5)
    standing = Rig(flaky, period_s=60.0)
    standing.worker.set_refresh(0.02)
    assert standing.worker.period_s == 60.0


async def test_news_end_a_rest_and_a_back_off() -> None:
    ask = Flaky()
    async with Rig(ask, period_s=3600.0).running() as rig:
        await until(lambda: ask.asked == 1, "the first look")
        rig.worker.wake()
        await until(lambda: ask.asked == 2, "the next one")
        ask.outcome = Unreachable("gone", "x")
        rig.worker.wake()
        await until(lambda: rig.status.state is SourceState.UNREACHABLE, "the failure")
        ask.outcome = Records()
        rig.worker.wake()
        await until(lambda: rig.status.state is SourceState.OK, "the recovery")


async def test_news_without_an_end_are_looked_at_twice_a_second() -> None:
    ask = Flaky()
    async with Rig(ask, period_s=3600.0).running() as rig:
        started = time.monotonic()
        while ask.asked < 4:
            rig.worker.wake()
            await asyncio.sleep(0.001)
        assert time.monotonic() - started >= 3 * NEWS_S - 0.05


async def test_the_budget_is_shared_by_all_capabilities_of_a_backend() -> None:
    budget = Budget(6)
    flaky, other = Flaky(), Flaky()
    other.outcome = Records(requests=2)
    async with Rig(flaky, budget=budget, askers=2).running() as rig, Rig(other, budget=budget, askers=2).running():
        await until(lambda: flaky.asked and other.asked and rig.status.state is SourceState.OK, "first answers")
        assert rig.status.period_s == pytest.approx(20.0), "6 a minute, two askers: every 20 s"
        await asyncio.sleep(0.2)
    assert (flaky.asked, other.asked) == (1, 1)
    assert budget._total == 3


async def test_a_dear_first_answer_does_not_slow_the_pace() -> None:
    flaky = Flaky()
    flaky.outcome = Records(requests=7)
    async with Rig(flaky, budget=Budget(24), askers=2, period_s=5.0).running() as rig:
        await until(lambda: rig.status.state is SourceState.OK, "the first answer")
        assert rig.status.period_s == pytest.approx(5.0), "a full listing comes once, changes are cheap"


async def test_answers_that_stay_dear_slow_the_pace() -> None:
    flaky = Flaky()
    flaky.outcome = Records(requests=4)
    async with Rig(flaky, budget=Budget(24, window_s=0.24), askers=1, period_s=0.001).running() as rig:
        await until(lambda: flaky.asked >= 8, "some answers", seconds=10)
        assert rig.worker.period_s > 0.03, "0.24 s for 24 requests: four each 0.04 s"


@pytest.mark.parametrize(("error", "spent"), [(Unreachable("down"), 0), (TimedOut("hung"), 2), (Denied("no"), 2)])
async def test_only_a_request_that_reached_somebody_is_paid_for(error: SourceError, spent: int) -> None:
    budget = Budget(24)
    flaky = Flaky()
    flaky.outcome = error
    async with Rig(flaky, budget=budget).running() as rig:
        rig.worker._usual = 2.0
        await until(lambda: rig.status.error, "the failure")
        assert budget._total == spent
        assert rig.status.requests_per_minute == spent


async def test_a_spent_budget_waits() -> None:
    budget = Budget(2, window_s=0.4)
    flaky = Flaky()
    budget.spend(asyncio.get_running_loop().time(), 2)
    started = time.monotonic()
    async with Rig(flaky, budget=budget).running():
        await until(lambda: flaky.asked == 1, "the window to pass")
    assert time.monotonic() - started >= 0.35


def test_deadlines_leave_a_full_listing_its_time() -> None:
    assert deadline_s(2.0) == 15.0
    assert deadline_s(10.0) == 30.0
    assert deadline_s(600.0) == 60.0


def test_late_after_twice_the_period_and_only_once() -> None:
    sent, reports = Sent(), Reports()
    track = tracker(sent, reports, NAME, period_s=2.0)
    now = [1000.0]
    track.now = lambda: now[0]
    assert not track.check_late(9999.0), "what never answered is not late"
    track.begin()
    track.good(Records())
    assert not track.check_late(1004.9)
    assert track.check_late(1005.1)
    assert not track.check_late(1006.0)
    assert sent.states(NAME) == [SourceState.CONNECTING, SourceState.OK, SourceState.LATE]
    assert sent.last(NAME).observed_at == 1000.0
    now[0] = 1010.0
    track.good(Records())
    assert sent.last(NAME).since == 1010.0


def test_what_was_let_go_says_nothing_more_until_it_begins_again() -> None:
    sent, reports = Sent(), Reports()
    track = tracker(sent, reports, NAME)
    track.begin()
    track.good(None)
    track.end()
    track.end()
    track.good(None)
    track.failed(Unreachable("x"), 1.0, NAME)
    assert [batch.ended for batch in sent] == [False, False, True]
    track.begin()
    assert sent[-1].status.state is SourceState.CONNECTING


def test_odd_numbers_of_a_probe_do_not_travel() -> None:
    sent, reports = Sent(), Reports()
    track = tracker(sent, reports, NAME)
    track.begin()
    track.good(None, cpu_percent=float("nan"), bytes_per_s=float("inf"))
    assert (sent[-1].status.cpu_percent, sent[-1].status.bytes_per_s) == (None, None)


def test_the_command_in_a_hint_arrives_whole() -> None:
    options = replace(
        build(Target("trainer-gpu-node-0117"), Values({}, {}, {}), Path("/home/a.very.long.account.name"), {}),
        hostname="trainer-gpu-node-0117.rack-b07.hall-2.datacentre-frankfurt.cluster.example.org",
        port=22022,
        host_key_alias="trainer-gpu-node-0117.ssh.datacentre-frankfurt.cluster.example.org",
        proxy_jump=(Target("bastion-02.datacentre-frankfurt.cluster.example.org", "alice.from.research", 2222),),
        known_hosts_files=(Path("/home/a.very.long.account.name/.ssh/known_hosts.d/cluster-frankfurt"),),
    )
    attempt = Attempt(options, shown_kind="ssh-ed25519", shown_key=b"a key")
    error = connect_error(asyncssh.HostKeyNotVerifiable("Host key is not trusted"), attempt, 7)
    sent, reports = Sent(), Reports()
    track = tracker(sent, reports, NAME)
    track.begin()
    track.failed(error, 1.0, NAME)
    hint = sent[-1].status.hint
    assert hint is not None
    assert len(hint) > 400, "a case of this length was cut before"
    assert hint == error.hint
    assert hint.startswith(f"add it: {add_command(options, 'ssh-ed25519')} ")


def test_a_hint_without_an_end_is_cut_somewhere() -> None:
    sent, reports = Sent(), Reports()
    track = tracker(sent, reports, NAME)
    track.begin()
    track.failed(Unreachable("no", "h", "x" * 1_000_000), 1.0, NAME)
    assert len(sent[-1].status.hint or "") <= HINT_LIMIT
