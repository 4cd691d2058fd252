"""A session on one Kubernetes cluster without a screen: what lists and watches cost, and how long the loop was held.

    python -m benchmarks.apps.kube_session KUBECONFIG NODES [SECONDS]

Prints a line of JSON when all nodes are in the store, and with SECONDS another one about that long afterwards.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import sys
import time
from contextlib import suppress
from typing import Any

import psutil

from console.config import Config
from console.discover import Found, Opening
from console.session import Session
from plugins.kubernetes import plugin
from plugins.kubernetes.settings import KubernetesSettings

IMPORTED = (
    "kubernetes.aio.client",
    "plugins.kubernetes.backend",
    "console.discover",
    "console.feed.hub",
    "console.registry",
    "console.transport.pool",
    "ClusterShell.NodeSet",
)


class Lag:
    """How long the loop was held at the most."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def run(self) -> None:
        """Look every five milliseconds."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            self.worst_s = max(self.worst_s, time.perf_counter() - began - 0.005)


def told(session: Session, began: float, spent: float, rss: int, lag: Lag) -> None:
    """Print what it has cost so far."""
    store = session.store
    found: dict[str, Any] = {
        "nodes": len(store.nodes),
        "jobs": len(store.jobs),
        "cpu_s": time.process_time() - spent,
        "wall_s": time.perf_counter() - began,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "rss_before": rss,
        "lag_s": lag.worst_s,
    }
    print(json.dumps(found), flush=True)


async def main(kubeconfig: str, nodes: int, seconds: float) -> int:
    """Open, wait for everything, go on for a while."""
    settings = KubernetesSettings(kubeconfig=kubeconfig, telemetry="off")

    async def find(_site: Any) -> Found:
        return Found([Opening("kube", plugin, settings, "the benchmark")], [])

    session = Session(Config(), find=find)
    rss = psutil.Process().memory_info().rss
    lag = Lag()
    watching = asyncio.create_task(lag.run())
    # What is imported is not counted, as that of the reference is not.
    for module in IMPORTED:
        importlib.import_module(module)
    began, spent = time.perf_counter(), time.process_time()
    await session.start()
    while len(session.store.nodes) < nodes or not session.store.jobs:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.02)
    told(session, began, spent, rss, lag)
    if seconds:
        lag.worst_s = 0.0
        began, spent = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        told(session, began, spent, rss, lag)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await session.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)))
