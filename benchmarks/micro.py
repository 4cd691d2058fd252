"""The parts below the screen, one by one, in this process."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable
from typing import Any

from benchmarks.report import Part, Row
from console.model import Attention, Batch, Records, SourceState, SourceStatus, decode_batch, encode_batch
from console.store import Store
from plugins.simulated import SimulatedSettings, plugin


class _Site:
    """A clock that is moved by hand."""

    cluster = "sim"

    def __init__(self) -> None:
        self.time = 1_790_000_000.0

    def now(self) -> float:
        return self.time


def _batch(name: str, records: Records, at: float) -> Batch:
    status = SourceStatus(
        name=f"simulated:sim/{name}",
        kind="simulated",
        cluster="sim",
        state=SourceState.OK,
        observed_at=at,
        period_s=2,
    )
    return Batch(status=status, records=records)


def _cpu(began: float) -> float:
    return time.process_time() - began


async def _simulated(nodes: int, rounds: int) -> tuple[dict[str, float], Store]:
    """Run a simulated cluster into a store; return CPU milliseconds of each step."""
    site: Any = _Site()
    backend = plugin.open(SimulatedSettings(nodes=nodes, seed=7), site)
    store = Store()
    costs: dict[str, float] = {}
    attention = Attention()

    def add(name: str, began: float) -> None:
        costs[name] = costs.get(name, 0.0) + _cpu(began) * 1000

    began = time.process_time()
    first = [("nodes", await backend.inventory()), ("jobs", await backend.jobs())]
    add("first listing, made", began)
    began = time.process_time()
    for name, records in first:
        store.apply(_batch(name, records, site.time))
    add("first listing, applied", began)
    del first, records
    for _ in range(2 + rounds):
        site.time += 2
        began = time.process_time()
        changes = [("nodes", await backend.inventory()), ("jobs", await backend.jobs())]
        add("changes, made", began)
        began = time.process_time()
        samples = await backend.telemetry(attention)
        add("samples, made", began)
        began = time.process_time()
        for name, records in changes:
            store.apply(_batch(name, records, site.time))
        add("changes, applied", began)
        batch = _batch("telemetry", samples, site.time)
        began = time.process_time()
        store.apply(batch)
        add("samples, applied", began)
        began = time.process_time()
        same = decode_batch(encode_batch(batch))
        add("samples, through msgpack", began)
        if same != batch:
            raise AssertionError("msgpack changed a batch")
    for name in (
        "changes, made",
        "samples, made",
        "changes, applied",
        "samples, applied",
        "samples, through msgpack",
    ):
        costs[name] /= 2 + rounds
    return costs, store


def _rows(costs: dict[str, float], noun: str) -> Iterable[Row]:
    made = costs["samples, made"]
    for name, value in costs.items():
        beside = ("samples, made", made) if name.startswith("samples, ") and value != made else ("", None)
        yield Row(f"{noun}: {name}", value, "ms CPU", *beside)


def run(quick: bool = False) -> Part:
    """Measure at both sizes."""
    part = Part("Simulation and store, one by one")
    rounds = 3 if quick else 15
    for nodes, noun in ((1000, "1,000 nodes, 10,000 jobs"), (10_000, "10,000 nodes, 100,000 jobs")):
        costs, store = asyncio.run(_simulated(nodes, rounds))
        part.rows += _rows(costs, noun)
        if nodes == 1000:
            full = store.rings.used_bytes / 1e6
            part.rows.append(Row(f"{noun}: history when its rings are full", full, "MB"))
        gc.collect()
        began = time.perf_counter()
        gc.collect()
        part.rows.append(Row(f"{noun}: one full garbage collection", (time.perf_counter() - began) * 1000, "ms"))
        del store
    part.notes.append(
        "One answer every 2 s: at 1,000 nodes it holds every node's sample, at 10,000 a thousand in turn. "
        "20 ms of CPU in 2 s are 1 % of a core."
    )
    return part
