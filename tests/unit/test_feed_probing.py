"""The worker of one node's probe, and the gate before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from console.errors import BadAnswer, ConnectionLost, HostKeyUnknown, TimedOut, Unsupported
from console.feed.gate import Gate
from console.feed.pace import Backoff
from console.feed.probing import ProbeWorker
from console.model import ProbeCost, Sample, SourceState
from tests.unit.feed_fakes import FakeOpener, FakeProbe, Reports, Sent, tracker
from tests.unit.records import until

NAME = "ssh:n1"


class Rig:
    """One probe worker on fake probes."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.sent, self.reports, self.opener = Sent(), Reports(), FakeOpener()
        self.worker = ProbeWorker(
            tracker(self.sent, self.reports, NAME, node="n1"),
            NAME,
            self.opener,
            gate or Gate(4),
            backoff=Backoff(lambda: 0.0),
        )
        self.task: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def running(self, pace: float | None = 0.05) -> AsyncIterator[Rig]:
        self.worker.set_pace(pace)
        self.task = asyncio.ensure_future(self.worker.run())
        try:
            yield self
        finally:
            self.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await self.task


async def test_samples_come_until_it_ends_and_then_the_probe_is_closed() -> None:
    async with Rig().running() as rig:
        await until(lambda: rig.sent.samples("n1") >= 3, "three samples")
        assert rig.worker.settled
        assert rig.sent.states(NAME) == [SourceState.CONNECTING, SourceState.OK]
    assert rig.opener.open == set()
    assert len(rig.opener.opened) == 1


async def test_closed_while_nobody_wants_it_and_open_again_when_somebody_does() -> None:
    async with Rig().running(None) as rig:
        await asyncio.sleep(0.05)
        assert rig.opener.tried == []
        assert not rig.sent
        rig.worker.set_pace(0.05)
        await until(lambda: rig.sent.samples("n1") >= 2, "samples")
        rig.worker.set_pace(None)
        await until(lambda: rig.worker.idle, "let go")
        assert rig.opener.open == set()
        assert rig.sent[-1].ended
        rig.worker.set_pace(0.05)
        await until(lambda: rig.opener.open == {"n1"}, "open again")


async def test_a_new_pace_goes_to_the_open_probe() -> None:
    async with Rig().running() as rig:
        await until(lambda: rig.sent.samples("n1") >= 1, "a sample")
        rig.worker.set_pace(10.0)
        await until(lambda: rig.opener.opened[0].periods[-1] == 10.0, "the slower pace")
        await until(lambda: rig.sent.last(NAME).period_s == 10.0, "said so")
        rig.worker.set_pace(0.05)
        await until(lambda: rig.opener.opened[0].periods[-1] == 0.05, "the faster pace")
        assert len(rig.opener.opened) == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ConnectionLost("the line died"), SourceState.UNREACHABLE),
        (BadAnswer("garbage"), SourceState.ERROR),
        (Unsupported("no python3 there"), SourceState.UNSUPPORTED),
        (RuntimeError("a fault of ours"), SourceState.ERROR),
    ],
)
async def test_a_probe_that_fails_is_closed_said_and_tried_again(error: Exception, state: SourceState) -> None:
    async with Rig().running() as rig:
        await until(lambda: rig.sent.samples("n1") >= 1, "a sample")
        rig.opener.opened[0].error = error
        await until(lambda: rig.sent.last(NAME).state is state, "the failure")
        assert str(error) in (rig.sent.last(NAME).error or "")
        await until(lambda: rig.opener.opened[0].closed, "closed")
        assert len(rig.reports) == isinstance(error, RuntimeError)
        if state is not SourceState.UNSUPPORTED:
            await until(lambda: rig.sent.last(NAME).state is SourceState.OK, "recovery")
            assert len(rig.opener.opened) == 2


async def test_an_unknown_host_key_keeps_its_hint_and_is_not_tried_at_once() -> None:
    rig = Rig()
    rig.opener.errors["n1"] = HostKeyUnknown("unknown key", "n1", "ssh-keyscan n1 >> ~/.ssh/known_hosts")
    async with rig.running():
        await until(lambda: rig.sent.last(NAME).state is SourceState.DENIED, "denied")
        assert rig.sent.last(NAME).hint == "ssh-keyscan n1 >> ~/.ssh/known_hosts"
        assert rig.worker.settled
        assert (rig.sent.last(NAME).next_try_at or 0) - time.time() > 15
        await asyncio.sleep(0.1)
        assert rig.opener.tried == ["n1"]


async def test_an_opening_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.probing.OPEN_TIMEOUT_S", 0.05)
    rig = Rig()
    rig.opener.slow.add("n1")
    async with rig.running():
        await until(lambda: rig.sent.last(NAME).state is SourceState.UNREACHABLE, "timeout")
        assert "no probe in" in (rig.sent.last(NAME).error or "")


async def test_silence_is_a_failure_after_three_periods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.probing.LINE_GRACE_S", 0.05)
    async with Rig().running(0.02) as rig:
        await until(lambda: rig.sent.samples("n1") >= 1, "a sample")

        async def silent(timeout_s: float) -> Sample:
            from console.errors import TimedOut

            await asyncio.sleep(timeout_s)
            raise TimedOut("nothing")

        rig.opener.opened[0].next = silent  # type: ignore[method-assign]
        await until(lambda: rig.sent.last(NAME).state is SourceState.UNREACHABLE, "silence")
        assert "silent" in (rig.sent.last(NAME).error or "")


async def test_a_slower_pace_does_not_make_the_line_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.probing.LINE_GRACE_S", 0.05)
    async with Rig().running(0.02) as rig:
        await until(lambda: rig.sent.samples("n1") >= 1, "a sample")
        timeouts: list[float] = []

        async def slow(timeout_s: float) -> Sample:
            from console.errors import TimedOut

            timeouts.append(timeout_s)
            await asyncio.sleep(min(timeout_s, 0.2))
            raise TimedOut("nothing yet")

        rig.opener.opened[0].next = slow  # type: ignore[method-assign]
        rig.worker.set_pace(5.0)
        await until(lambda: len(timeouts) >= 3, "patience")
        assert rig.sent.last(NAME).state is SourceState.OK
        assert timeouts[-1] > 10


async def test_a_close_that_hangs_ends_with_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.probing.CLOSE_TIMEOUT_S", 0.05)
    rig = Rig()
    async with rig.running():
        await until(lambda: rig.sent.samples("n1") >= 1, "a sample")
        rig.opener.opened[0].hang_closing = True
        started = time.monotonic()
    assert time.monotonic() - started < 2


async def test_paused_the_probe_rests_and_is_kept_alive_and_goes_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.probing.LINE_GRACE_S", 0.05)
    async with Rig().running(0.02) as rig:
        await until(lambda: rig.sent.samples("n1") >= 1, "a sample")
        rig.worker.pause(True)
        (probe,) = rig.opener.opened
        await until(lambda: probe.pauses == [True], "it is told")
        count, waits = rig.sent.samples("n1"), probe.waits
        await until(lambda: probe.waits >= waits + 20, "somebody waits on, and that is what keeps it alive")
        assert rig.sent.samples("n1") == count
        assert not probe.closed
        assert rig.sent.states(NAME)[-1] is SourceState.OK, "far longer than three periods, and no failure"
        rig.worker.pause(False)
        await until(lambda: rig.sent.samples("n1") > count, "going on")
        assert probe.pauses == [True, False]
        assert rig.opener.opened == [probe], "on the same line"


async def test_a_resumed_probe_owes_a_sample_from_then_on_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.probing.LINE_GRACE_S", 0.3)
    async with Rig().running(0.02) as rig:
        await until(lambda: rig.sent.samples("n1") >= 1, "a sample")
        (probe,) = rig.opener.opened
        asked: list[float] = []

        async def dead(timeout_s: float) -> Sample:
            asked.append(timeout_s)
            await asyncio.sleep(timeout_s)
            raise TimedOut("nothing")

        probe.next = dead  # type: ignore[method-assign]
        rig.worker.pause(True)
        await until(lambda: len(asked) >= 4, "patience while paused")
        assert rig.sent.last(NAME).state is SourceState.OK
        rig.worker.pause(False)
        await until(lambda: rig.sent.last(NAME).state is SourceState.UNREACHABLE, "silence counts again")


async def test_nothing_is_opened_while_paused() -> None:
    rig = Rig()
    rig.worker.pause(True)
    async with rig.running():
        await asyncio.sleep(0.05)
        assert rig.opener.tried == []
        rig.worker.set_pace(None)
        rig.worker.pause(False)
        await asyncio.sleep(0.05)
        assert rig.opener.tried == [], "wanted no more"
        assert rig.worker.idle
        rig.worker.set_pace(0.05)
        await until(lambda: rig.sent.samples("n1") >= 1, "a sample")
        rig.worker.pause(True)
        rig.opener.opened[0].error = ConnectionLost("the line died")
        await until(lambda: rig.sent.last(NAME).state is SourceState.UNREACHABLE, "the failure is said")
        rig.worker.set_pace(None)
        await until(lambda: rig.worker.idle, "let go although it is paused")


async def test_a_probe_that_opens_into_a_pause_is_told() -> None:
    rig = Rig()
    hold = asyncio.Event()
    opener = rig.opener

    async def slowly(address: str, period_s: float, node: str) -> FakeProbe:
        await hold.wait()
        return await opener(address, period_s, node)

    rig.worker._opener = slowly
    async with rig.running():
        await until(lambda: rig.sent.states(NAME) == [SourceState.CONNECTING], "on its way")
        rig.worker.pause(True)
        hold.set()
        await until(lambda: bool(opener.opened) and opener.opened[0].pauses == [True], "told")
        assert rig.sent.samples("n1") == 0


async def test_the_status_says_what_the_probe_costs_and_how_it_reads() -> None:
    rig = Rig()
    cost = ProbeCost(cpu_percent=0.4, bytes_per_s=800.0, python="3.9.2", accelerators="nvml", period_s=4.0)

    async def next_sample(timeout_s: float) -> Sample:
        await asyncio.sleep(0.01)
        return Sample(node="n1", observed_at=time.time(), cost=cost)

    async with rig.running():
        await until(lambda: rig.opener.opened, "open")
        rig.opener.opened[0].next = next_sample  # type: ignore[method-assign]
        await until(lambda: rig.sent.last(NAME).cpu_percent == 0.4, "its cost")
        last = rig.sent.last(NAME)
        assert (last.bytes_per_s, last.detail, last.period_s) == (800.0, "python 3.9.2, nvml", 4.0)


# ---- the gate


async def test_the_urgent_go_first_and_no_more_than_the_limit() -> None:
    gate = Gate(2, hold_s=60.0)
    order: list[str] = []
    inside = most = 0
    finish = asyncio.Event()

    async def one(name: str) -> None:
        nonlocal inside, most
        async with gate.turn(lambda: name.startswith("u")):
            order.append(name)
            inside += 1
            most = max(most, inside)
            await finish.wait()
            inside -= 1

    tasks = [asyncio.ensure_future(one(name)) for name in ("a", "b", "c", "d", "u1", "u2")]
    await until(lambda: len(order) == 2, "two")
    await asyncio.sleep(0.02)
    assert order == ["a", "b"]
    finish.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "u1", "u2", "c", "d"]
    assert most == 2


async def test_the_dead_hold_up_nobody() -> None:
    gate = Gate(2, hold_s=0.05)
    through: list[int] = []

    async def dead() -> None:
        async with gate.turn(lambda: True):
            await asyncio.sleep(3600)

    async def alive(number: int) -> None:
        async with gate.turn(lambda: False):
            through.append(number)

    tasks = [asyncio.ensure_future(dead()) for _ in range(6)] + [asyncio.ensure_future(alive(n)) for n in range(3)]
    await until(lambda: len(through) == 3, "the living")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert gate._free == 2


async def test_who_gives_up_waiting_loses_no_turn() -> None:
    gate = Gate(1, hold_s=60.0)
    entered = asyncio.Event()

    async def hold() -> None:
        async with gate.turn(lambda: False):
            entered.set()
            await asyncio.sleep(3600)

    async def take() -> None:
        async with gate.turn(lambda: False):
            pass

    holder = asyncio.ensure_future(hold())
    await entered.wait()
    waiting = [asyncio.ensure_future(take()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    holder.cancel()
    await asyncio.gather(holder, *waiting, return_exceptions=True)
    async with asyncio.timeout(1):
        await take()
