"""The hub: which workers there are, and who is probed at which pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from console.errors import Unreachable
from console.feed.hub import Feeding, Hub, ProbePace
from console.model import Attention, Records, SourceState
from console.store import Store
from tests.unit.feed_fakes import FakeBackend, FakeOpener, ListingBackend, Reports, SamplingBackend, Sent
from tests.unit.records import node, until

PACE = ProbePace(attended_s=0.05, linger_s=0.2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.hub.TICK_S", 0.02)
    monkeypatch.setattr("console.feed.hub.ALLOT_DELAY_S", 0.005)


def hosts(*names: str, **fields: Any) -> Records:
    return Records(nodes=tuple(node(name, address=f"ssh:{name}", **fields) for name in names), complete=("nodes",))


class Rig:
    """A hub on fake backends and fake probes, in front of a real store."""

    def __init__(self, *feedings: Feeding, pace: ProbePace = PACE) -> None:
        self.sent, self.reports, self.opener, self.store = Sent(), Reports(), FakeOpener(), Store()
        self.hub = Hub(feedings, self.opener, pace=pace, report=self.reports)

    def take(self, batch: Any) -> None:
        self.sent.append(batch)
        self.store.apply(batch)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rig]:
        task = asyncio.ensure_future(self.hub.run(self.take))
        try:
            yield self
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert self.opener.open == set()
        assert self.reports == []


async def test_one_worker_for_each_capability() -> None:
    class Both(ListingBackend, SamplingBackend):
        pass

    both = Both(hosts("n1"))
    async with Rig(Feeding(both, "off"), Feeding(FakeBackend(cluster="none"), "all")).running() as rig:
        rig.hub.attend(Attention(visible=("n1",)))
        await until(lambda: rig.sent.samples("n1") >= 2, "telemetry of what is looked at")
        assert set(rig.store.sources) == {"slurm:lab/nodes", "slurm:lab/telemetry"}
        assert rig.opener.tried == []


async def test_probes_follow_the_inventory() -> None:
    backend = ListingBackend(hosts("n1", "n2"))
    async with Rig(Feeding(backend, "all")).running() as rig:
        await until(lambda: rig.opener.open == {"n1", "n2"}, "both open")
        await until(lambda: rig.hub.settled, "settled")
        assert all(rig.store.nodes[name].sample for name in ("n1", "n2"))
        backend.records = hosts("n2", "n3")
        await until(lambda: rig.opener.open == {"n2", "n3"}, "n1 closed, n3 open")
        await until(lambda: "ssh:n1" not in rig.store.sources, "its source is forgotten")
        assert set(rig.store.nodes) == {"n2", "n3"}
        backend.records = Records(nodes=(node("n2", address="ssh:other"),))
        await until(lambda: rig.opener.addresses[-1] == "ssh:other", "its new address")
        backend.records = Records(nodes=(node("n2"),), gone_nodes=("n3",))
        await until(lambda: rig.opener.open == set(), "nothing to be probed")


async def test_a_machine_of_two_inventories_is_probed_once() -> None:
    slurm = ListingBackend(hosts("n1"))
    plain = ListingBackend(hosts("n1.dc1", cluster="hosts"), cluster="hosts")
    async with Rig(Feeding(slurm, "all"), Feeding(plain, "all")).running() as rig:
        await until(lambda: slurm.asked > 2 and plain.asked > 2 and rig.hub.settled, "both listed")
        assert len(rig.opener.open) == 1
        assert len(rig.store.nodes) == 1


async def test_two_machines_behind_one_address_have_a_source_each() -> None:
    records = Records(nodes=(node("a", address="local"), node("b", address="local")), complete=("nodes",))
    async with Rig(Feeding(ListingBackend(records), "all")).running() as rig:
        await until(lambda: rig.opener.open == {"a", "b"}, "both")
        assert {"local", "local (b)"} <= rig.sent.names()


async def test_visible_nodes_only_while_somebody_looks() -> None:
    backend = ListingBackend(hosts("n1", "n2", "n3"))
    async with Rig(Feeding(backend, "visible")).running() as rig:
        await until(lambda: backend.asked >= 3, "listings")
        assert rig.opener.tried == []
        rig.hub.attend(Attention(visible=("n2",), selected="n1"))
        await until(lambda: rig.opener.open == {"n1", "n2"}, "what is looked at")
        rig.hub.attend(Attention(visible=("n3",)))
        await until(lambda: rig.opener.open == {"n1", "n2", "n3"}, "the new one, the old ones linger")
        assert rig.opener.of("n1")[0].closed is False
        await until(lambda: rig.opener.open == {"n3"}, "the old ones closed")
        await until(lambda: "ssh:n1" not in rig.store.sources, "its source is forgotten")
        assert rig.store.nodes["n1"].sample is not None, "what it brought stays"


async def test_off_is_off() -> None:
    backend = ListingBackend(hosts("n1"))
    async with Rig(Feeding(backend, "off")).running() as rig:
        rig.hub.attend(Attention(visible=("n1",), selected="n1"))
        await until(lambda: backend.asked >= 3, "listings")
        assert rig.opener.tried == []


async def test_what_is_looked_at_is_faster_than_the_rest() -> None:
    pace = ProbePace(attended_s=0.05, others_s=5.0)
    async with Rig(Feeding(ListingBackend(hosts("n1", "n2")), "all"), pace=pace).running() as rig:
        await until(lambda: rig.opener.open == {"n1", "n2"}, "open")
        rig.hub.attend(Attention(marked=("n2", "unknown")))
        await until(lambda: rig.opener.of("n2")[0].periods[-1] == 0.05, "faster")
        assert rig.opener.of("n1")[0].periods == [5.0]
        rig.hub.set_refresh(1.0)
        await until(lambda: rig.opener.of("n2")[0].periods[-1] == 1.0, "as the user says")
        rig.hub.attend(Attention())
        await until(lambda: rig.opener.of("n2")[0].periods[-1] == 5.0, "slower again")


async def test_no_more_probes_than_the_limit_and_the_attended_take_their_place() -> None:
    pace = ProbePace(attended_s=0.05, limit=2)
    async with Rig(Feeding(ListingBackend(hosts("n1", "n2", "n3", "n4")), "all"), pace=pace).running() as rig:
        await until(lambda: rig.opener.open == {"n1", "n2"}, "two")
        rig.hub.attend(Attention(selected="n4"))
        await until(lambda: rig.opener.open == {"n4", "n1"}, "the selected one")


async def test_the_attended_connect_first() -> None:
    names = [f"n{index}" for index in range(40)]
    pace = ProbePace(attended_s=0.05, starting=1)
    backend = ListingBackend(Records(), cluster="lab")
    async with Rig(Feeding(backend, "all"), pace=pace).running() as rig:
        rig.hub.attend(Attention(visible=("n30", "n31")))
        backend.records = hosts(*names)
        await until(lambda: len(rig.opener.tried) >= 4, "the first ones")
        assert set(rig.opener.tried[:2]) == {"n30", "n31"}


async def test_dead_nodes_hold_up_nobody() -> None:
    names = [f"n{index}" for index in range(20)]
    pace = ProbePace(attended_s=0.05, starting=4)
    rig = Rig(Feeding(ListingBackend(hosts(*names)), "all"), pace=pace)
    rig.opener.slow.update(names[:5])
    rig.opener.errors.update({name: Unreachable("no route", name) for name in names[5:10]})
    async with rig.running():
        await until(lambda: rig.opener.open == set(names[10:]), "the living")
        await until(lambda: rig.sent.last("ssh:n9").state is SourceState.UNREACHABLE, "the dead are named")
        assert rig.store.totals.worst_source is SourceState.UNREACHABLE


async def test_pause_stops_asking_and_lateness_too() -> None:
    backend = ListingBackend(hosts("n1"))
    async with Rig(Feeding(backend, "all")).running() as rig:
        await until(lambda: rig.sent.samples("n1") >= 2, "live")
        rig.hub.pause(True)
        (probe,) = rig.opener.opened
        await until(lambda: probe.pauses == [True], "the probe rests")
        asked, samples = backend.asked, rig.sent.samples("n1")
        rig.hub.attend(Attention(visible=("n1",)))
        await asyncio.sleep(0.1)
        assert backend.asked <= asked + 1
        assert rig.sent.samples("n1") == samples
        assert rig.opener.open == {"n1"}
        rig.hub.pause(False)
        await until(lambda: probe.pauses == [True, False], "the probe goes on")
        await until(lambda: backend.asked > asked + 1 and rig.sent.samples("n1") > samples, "going on")


async def test_what_was_not_asked_is_not_late_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.status.LATE_GRACE_S", 0.5)
    answers = asyncio.Event()
    answers.set()

    class Listing(ListingBackend):
        async def inventory(self) -> Records:
            await answers.wait()
            return await super().inventory()

    name = "slurm:lab/nodes"
    async with Rig(Feeding(Listing(hosts()), "off")).running() as rig:
        await until(lambda: rig.sent.states(name)[-1:] == [SourceState.OK], "live")
        answers.clear()
        rig.hub.pause(True)
        seen_at = rig.sent.last(name).observed_at or 0.0
        await until(lambda: time.time() - seen_at > 1.0, "a pause that would be silence")
        rig.hub.pause(False)
        resumed = time.time()
        await until(lambda: rig.sent.last(name).state is SourceState.LATE, "silence counts from now on")
        assert time.time() - resumed >= 0.5
        answers.set()


async def test_what_falls_silent_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.status.LATE_GRACE_S", 0.05)
    stuck = asyncio.Event()

    class Slow(ListingBackend):
        async def inventory(self) -> Records:
            if self.asked:
                await stuck.wait()
            return await super().inventory()

    async with Rig(Feeding(Slow(hosts()), "off")).running() as rig:
        await until(lambda: rig.sent.last("slurm:lab/nodes").state is SourceState.LATE, "late")
        stuck.set()
        await until(lambda: rig.sent.last("slurm:lab/nodes").state is SourceState.OK, "live again")


async def test_a_probe_that_will_not_close_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.feed.hub.CLOSE_S", 0.1)
    rig = Rig(Feeding(ListingBackend(hosts("n1")), "all"))
    task = asyncio.ensure_future(rig.hub.run(rig.take))
    await until(lambda: rig.opener.opened, "open")
    rig.opener.opened[0].hang_closing = True
    started = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert time.monotonic() - started < 1.5
    rest = [other for other in asyncio.all_tasks() if other is not asyncio.current_task()]
    for other in rest:
        other.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def test_a_small_fleet_is_watched_whole_and_a_large_one_slowly() -> None:
    pace = ProbePace()
    assert pace.others(256, 2.0) == 2.0
    assert pace.others(300, 2.0) == 10.0
    assert pace.others(5000, 2.0) == 30.0
    assert pace.others(200, 60.0) == 60.0
    assert ProbePace(others_s=2.0).others(200, 2.0) == 2.0
