"""Lines out of pieces."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import BadAnswer, ConnectionLost, TimedOut
from console.transport.lines import HIGH_BYTES, LineBuffer


def buffer() -> tuple[LineBuffer, list[bool]]:
    held: list[bool] = []
    return LineBuffer("h1", held.append), held


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_lines_do_not_depend_on_how_they_were_cut(pieces: list[bytes]) -> None:
    async def read() -> None:
        lines, _ = buffer()
        for piece in pieces:
            lines.feed(piece)
        lines.end(ConnectionLost("over", "h1"))
        *whole, _ = b"".join(pieces).split(b"\n")
        for line in whole:
            assert await lines.read_line(1, 1000) == line
        with pytest.raises(ConnectionLost):
            await lines.read_line(1, 1000)

    asyncio.run(read())


async def test_waits_and_then_gives_up() -> None:
    lines, _ = buffer()
    with pytest.raises(TimedOut):
        await lines.read_line(0.01, 100)
    lines.feed(b"ha")
    with pytest.raises(TimedOut):
        await lines.read_line(0.01, 100)
    asyncio.get_running_loop().call_later(0.01, lines.feed, b"lf\nmore")
    assert await lines.read_line(5, 100) == b"half"


async def test_limit_counts_with_and_without_newline() -> None:
    for data in (b"x" * 11, b"x" * 11 + b"\n"):
        lines, _ = buffer()
        lines.feed(data)
        for _ in range(2):
            with pytest.raises(BadAnswer, match="longer than 10 bytes"):
                await lines.read_line(1, 10)
    lines, _ = buffer()
    lines.feed(b"x" * 10 + b"\n")
    assert await lines.read_line(1, 10) == b"x" * 10


async def test_sender_is_held_back_and_let_go() -> None:
    lines, held = buffer()
    lines.feed(b"a\n" + b"x" * HIGH_BYTES)
    assert held == [True]
    assert await lines.read_line(1, 100) == b"a"
    lines.feed(b"x")
    # A reader that takes longer lines than what is held has to get them.
    reading = asyncio.create_task(lines.read_line(5, 4 * HIGH_BYTES))
    await asyncio.sleep(0)
    assert held[-1] is False
    lines.feed(b"x" * HIGH_BYTES + b"\n")
    assert len(await reading) == 2 * HIGH_BYTES + 1
    assert held[-1] is False
