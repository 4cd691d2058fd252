"""`warm_run.py SSH_CONFIG HOSTS COMMAND TIMES`: a session that holds its connections runs a command again and again.

Prints the wall and CPU seconds of each run but the first, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from console.actions.errand import Errand
from console.config import Overrides, load
from console.render.answers import fold_answers
from console.session import Session


async def main(ssh_config: str, hosts: str, line: str, times: int) -> None:
    """Open a session as the console does, without its screen, and run."""
    config = load(Overrides(hosts=hosts, ssh_config=ssh_config), os.environ)
    session = Session(config, headless=True, pace=None)
    await session.start()
    await session.settle(5)
    found = []
    try:
        for _ in range(times + 1):
            began, cpu = time.perf_counter(), time.process_time()
            desk = session.runner
            planned = desk.plan(list(session.store.nodes.values()), Errand(argv=(line,)))
            groups = fold_answers(await desk.run(planned, fan_out=256).run())
            found.append((time.perf_counter() - began, time.process_time() - cpu, len(groups[0].nodes)))
    finally:
        await session.close()
    print(json.dumps(found[1:]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
