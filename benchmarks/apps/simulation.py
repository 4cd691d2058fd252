"""The simulation alone, asked as the feed asks it: `simulation.py NODES SECONDS`. It keeps nothing."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from console.model import Attention
from plugins.simulated import SimulatedSettings, plugin


class Site:
    """The clock is all that a simulation asks for."""

    cluster = "sim"
    environ: dict[str, str] = {}

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()


async def main(nodes: int, seconds: float) -> None:
    """Ask every two seconds."""
    site: Any = Site()
    backend = plugin.open(SimulatedSettings(nodes=nodes, seed=7), site)
    end = time.monotonic() + seconds
    visible = Attention(visible=tuple(f"gpu{number:04d}" for number in range(1, 45)))
    while time.monotonic() < end:
        await backend.inventory()
        await backend.jobs()
        await backend.telemetry(visible)
        await asyncio.sleep(2.0)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
