"""Everything below the screen, until it is ended; it takes --simulate, --hosts and --ssh-config of `qd`.

Now and then it prints how many of its nodes have a sample.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from console.config import Overrides, load
from console.model import Attention
from console.session import Session

VISIBLE = 44
"""Nodes that a screen of 48 lines shows."""


async def main(overrides: Overrides) -> None:
    """Run it as the console does, with the attention of one screen; hosts are all marked."""
    everything = overrides.hosts is not None
    session = Session(load(overrides, os.environ))
    await session.start()
    try:
        changes = session.store.subscribe()
        while True:
            await asyncio.sleep(0.25)
            nodes = session.store.nodes
            shown = tuple(nodes)
            session.attend(Attention(visible=shown[:VISIBLE], marked=shown if everything else ()))
            for seen in (changes.nodes, changes.jobs, changes.sources):
                seen.clear()
            live = sum(view.sample is not None for view in nodes.values())
            print(f"{live}/{len(nodes)} live", flush=True)
    finally:
        await session.close()


def overrides(arguments: list[str]) -> Overrides:
    """Read the options, which are named as those of `qd`."""
    parser = argparse.ArgumentParser()
    for option in ("--simulate", "--hosts", "--ssh-config"):
        parser.add_argument(option)
    found = parser.parse_args(arguments)
    return Overrides(simulate=found.simulate, hosts=found.hosts, ssh_config=found.ssh_config)


if __name__ == "__main__":
    asyncio.run(main(overrides(sys.argv[1:])))
