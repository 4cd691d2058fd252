"""Planning a drain of a thousand nodes with five thousand jobs on them."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.report import Part, Row
from console.model import JobState
from console.render.glyphs import UNICODE
from console.render.plan import plan_text
from console.render.view import View
from tests.unit.acting_world import NOW, World, desk_of, store_of
from tests.unit.records import job, node

NODES, JOBS = 1000, 5000


async def measured(rounds: int) -> tuple[float, float]:
    """Return the median seconds of planning, and of drawing the plan."""
    nodes = [node(f"gpu{number:04}", cluster="lab") for number in range(NODES)]
    jobs = [
        job(str(number), cluster="lab", state=JobState.RUNNING, node_names=(nodes[number % NODES].name,),
            accelerators=1, started_at=NOW - 3600, ends_at=NOW + number, user=f"user{number % 40}")
        for number in range(JOBS)
    ]  # fmt: skip
    world = World("lab", nodes, jobs)
    store = store_of(world)
    with tempfile.TemporaryDirectory(prefix="qd-bench-plan-") as base:
        desk = desk_of(Path(base), world, store=store)
        orders = desk.node_orders("drain", list(store.nodes.values()), reason="INC-4711")
        planning, drawing = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            plan = await desk.plan(orders)
            planning.append(time.perf_counter() - began)
            assert len(plan.interrupts) == JOBS
            began = time.perf_counter()
            plan_text(View(store, NOW, UNICODE), plan, 160)
            drawing.append(time.perf_counter() - began)
    return statistics.median(planning), statistics.median(drawing)


def run(quick: bool = False) -> Part:
    """Plan again and again."""
    part = Part(f"A drain of {NODES:,} nodes with {JOBS:,} jobs on them")
    planning, drawing = asyncio.run(measured(3 if quick else 15))
    part.rows += [
        Row("the plan is made", planning * 1000, "ms", limit=200),
        Row("it is drawn whole", drawing * 1000, "ms"),
    ]
    part.notes.append("Without the scheduler's own answer, which is asked for once for all nodes.")
    return part
