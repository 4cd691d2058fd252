"""Who may connect now."""

from __future__ import annotations

import asyncio
import time

from console.transport.gate import Gate


async def test_bounds_what_is_worked_on() -> None:
    gate = Gate(2, hold_s=60)
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with gate.slot():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 2


async def test_those_who_wait_for_a_dead_machine_give_way() -> None:
    gate = Gate(2, hold_s=0.01)
    forever = asyncio.Event()

    async def hang() -> None:
        async with gate.slot():
            await forever.wait()

    dead = [asyncio.create_task(hang()) for _ in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10), gate.slot():
        pass
    for task in dead:
        task.cancel()
    await asyncio.wait(dead)
    async with asyncio.timeout(10), gate.slot(), gate.slot():
        pass


async def test_nobody_new_starts_while_this_process_is_behind() -> None:
    gate = Gate(1, hold_s=0.01)
    entered = asyncio.Event()

    async def enter() -> None:
        async with gate.slot():
            entered.set()

    async with gate.slot():
        waiting = asyncio.create_task(enter())
        await asyncio.sleep(0)
        time.sleep(0.1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not entered.is_set()
    await asyncio.wait_for(waiting, 10)
