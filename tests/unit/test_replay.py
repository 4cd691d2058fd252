"""Everything that a feed emits is plain data: a session through bytes is the same session."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from console.feed.base import Feed
from console.feed.hub import Feeding, Hub, ProbePace
from console.feed.replay import ReplayFeed, recording
from console.model import Attention, Batch, SourceState, encode_batch
from console.plugin import Site
from console.registry import Registry
from console.store import Store
from tests.unit.feed_fakes import FakeOpener
from tests.unit.records import gpu, listing, measured, node, queue, until


def state(store: Store) -> Any:
    """Everything that a store shows."""
    return (
        {key: (view.facets, view.state, view.sample, set(view.jobs), view.findings, view.probe)
         for key, view in store.nodes.items()},
        store.jobs, store.sources, store.clusters, store.queues, store.reservations, store.findings,
        {name: getattr(store.totals, name) for name in ("gpus", "gpus_busy", "power_w", "traffic", "measured")},
        {key: list(store.history(key, "power_w")) for key in store.nodes},
    )  # fmt: skip


class NoSite:
    """The simulated cluster asks the world for its name and the time."""

    def __init__(self) -> None:
        self.environ: Mapping[str, str] = {}
        self.cluster = "sim"

    def which(self, program: str) -> str | None:
        return None

    def transport(self, via: str | None = None) -> Any:
        raise AssertionError("nothing is reached")

    def expand(self, nodeset: str) -> list[str]:
        return [nodeset]

    def now(self) -> float:
        return time.time()


async def test_a_session_through_bytes_gives_the_same_store() -> None:
    site: Site = NoSite()
    plugin = Registry().load("simulated")
    settings = msgspec.convert({"nodes": 16, "seed": 3}, plugin.settings_type)
    hub = Hub([Feeding(plugin.open(settings, site), "off")], FakeOpener(), pace=ProbePace())
    live, second, kept = Store(), Store(), []

    def take(batch: Batch) -> None:
        live.apply(batch)
        through(batch)

    through = recording(second.apply, lambda at, data: kept.append((at, data)), time.time)
    task = asyncio.ensure_future(hub.run(take))
    await until(lambda: live.totals.measured == 16 and len(kept) > 8, "a living cluster")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert live.jobs
    assert all(isinstance(data, bytes) for _, data in kept)
    assert state(second) == state(live), "over a socket"
    third = Store()
    await ReplayFeed(kept).run(third.apply)
    assert state(third) == state(live), "from a recording"


async def test_replay_keeps_the_time_that_lay_between() -> None:
    steps = [(0.0, listing("s", node("n1"))), (1.0, measured("n1", 1.0, gpu())), (2.0, queue("j"))]
    feed: Feed = ReplayFeed([(at, encode_batch(batch)) for at, batch in steps], speed=20.0)
    seen: list[float] = []
    started = time.monotonic()
    await feed.run(lambda batch: seen.append(time.monotonic() - started))
    assert len(seen) == 3
    assert seen[2] >= 0.09


async def test_replay_halts_while_paused() -> None:
    feed = ReplayFeed([(0.0, encode_batch(listing("s", node("n1"))))])
    feed.attend(Attention())
    feed.set_refresh(1.0)
    feed.pause(True)
    seen: list[Batch] = []
    task = asyncio.ensure_future(feed.run(seen.append))
    await asyncio.sleep(0.05)
    assert seen == []
    feed.pause(False)
    await task
    assert seen[0].status.state is SourceState.OK


async def test_bytes_of_something_else_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        await ReplayFeed([(0.0, msgspec.msgpack.encode({"status": 7}))]).run(lambda batch: None)
