"""Everything below the screen: `headless.py NODES` runs a session on a simulated cluster until it is ended."""

from __future__ import annotations

import asyncio
import os
import sys

from console.config import Overrides, load
from console.model import Attention
from console.session import Session

VISIBLE = 44
"""Nodes that a screen of 48 lines shows."""


async def main(nodes: int) -> None:
    """Run it as the console does, with the attention of one screen."""
    session = Session(load(Overrides(simulate=f"{nodes}:7"), os.environ))
    await session.start()
    try:
        changes = session.store.subscribe()
        session.attend(Attention(visible=tuple(f"gpu{number:04d}" for number in range(1, VISIBLE + 1))))
        while True:
            await asyncio.sleep(1.0)
            for seen in (changes.nodes, changes.jobs, changes.sources):
                seen.clear()
            print(f"{len(session.store.nodes)} nodes, {len(session.store.jobs)} jobs", flush=True)
    finally:
        await session.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
