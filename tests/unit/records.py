"""Short ways to say records and batches, for the tests of feed, store and session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from console.model import (
    Accelerator,
    Batch,
    Host,
    Job,
    JobState,
    Link,
    LinkKind,
    Node,
    Records,
    Sample,
    SourceState,
    SourceStatus,
)


def status(name: str, *, kind: str = "slurm", cluster: str = "lab", **fields: Any) -> SourceStatus:
    """A source that is well unless said otherwise."""
    return SourceStatus(name=name, kind=kind, cluster=cluster, **{"state": SourceState.OK, **fields})


def batch(source: str | SourceStatus, **records: Any) -> Batch:
    """One answer of a source."""
    return Batch(status=status(source) if isinstance(source, str) else source, records=Records(**records))


def listing(source: str | SourceStatus, *nodes: Node) -> Batch:
    """All nodes of a source."""
    return batch(source, nodes=nodes, complete=("nodes",))


def queue(source: str | SourceStatus, *jobs: Job) -> Batch:
    """All jobs of a source."""
    return batch(source, jobs=jobs, complete=("jobs",))


def node(name: str, *, cluster: str = "lab", **fields: Any) -> Node:
    """A node of cluster lab."""
    return Node(name=name, cluster=cluster, **fields)


def job(job_id: str, *, cluster: str = "lab", **fields: Any) -> Job:
    """A job of cluster lab; it runs when it has nodes."""
    state = JobState.RUNNING if fields.get("node_names") else JobState.PENDING
    return Job(id=job_id, cluster=cluster, **{"state": state, **fields})


def gpu(index: int = 0, percent: float | None = 50.0, **fields: Any) -> Accelerator:
    """A GPU of 700 W and 80 GB."""
    return Accelerator(
        index=index,
        utilization_percent=percent,
        **{"power_w": 700.0, "memory_used_bytes": 40 << 30, "memory_total_bytes": 80 << 30, **fields},
    )


def port(name: str, **fields: Any) -> Link:
    """An InfiniBand port that is up."""
    return Link(name=name, **{"kind": LinkKind.INFINIBAND, "state": "up", **fields})


def sample(name: str, at: float = 1000.0, *gpus: Accelerator, **fields: Any) -> Sample:
    """What a probe saw."""
    return Sample(node=name, observed_at=at, **{"host": Host(cpu_percent=10.0), "accelerators": gpus, **fields})


def probe(name: str, state: SourceState = SourceState.OK, **fields: Any) -> SourceStatus:
    """The status of the probe of one node."""
    return status(f"ssh:{name}", kind="ssh", node=name, state=state, **fields)


def measured(name: str, at: float = 1000.0, *gpus: Accelerator, **fields: Any) -> Batch:
    """One tick of the probe of one node."""
    return Batch(status=probe(name, observed_at=at), records=Records(samples=(sample(name, at, *gpus, **fields),)))


async def until(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.005)
