"""A bare asyncssh reader: `stream.py SSH_CONFIG PERIOD_S HOST…` holds one ticking line per host, and counts.

It is what any console over SSH must at least do, so it is the reference for the cost of ours. Now and then it
prints how many hosts have spoken so far.
"""

from __future__ import annotations

import asyncio
import sys

import asyncssh

SAMPLER = "while :; do cat /proc/loadavg /proc/stat /proc/meminfo; sleep {period}; done"


async def watch(host: str, config: str, period: str, spoke: set[str], gate: asyncio.Semaphore) -> None:
    """Read one host for ever."""
    async with gate:
        connection = await asyncssh.connect(host, config=[config])
    async with connection, connection.create_process(SAMPLER.format(period=period)) as process:
        async for _ in process.stdout:
            spoke.add(host)


async def main(config: str, period: str, hosts: list[str]) -> None:
    """Watch all hosts."""
    spoke: set[str] = set()
    gate = asyncio.Semaphore(32)
    tasks = [asyncio.create_task(watch(host, config, period, spoke, gate)) for host in hosts]
    while not any(task.done() for task in tasks):
        await asyncio.sleep(0.25)
        print(f"{len(spoke)} live", flush=True)
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
