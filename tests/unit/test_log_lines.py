"""Pieces of output as lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from console.model import LogChunk
from console.render.log import LONGEST, Lines, LogBuffer, last_lines


def test_lines_across_pieces_and_written_over() -> None:
    lines = Lines()
    assert lines.feed(b"one\ntw") == ["one"]
    assert lines.feed(b"o\r\n 10%\r 20%") == ["two"]
    assert lines.rest() == " 20%"
    assert lines.feed(b"\r100%\nend") == ["100%"]
    assert lines.feed(b"\x1b[2J\x00\xff\n") == ["end�"]


def test_an_endless_line_is_cut_and_costs_no_memory() -> None:
    lines = Lines()
    found = [piece for _ in range(8) for piece in lines.feed(b"x" * LONGEST)]
    assert sum(map(len, found)) + len(lines.rest()) == 8 * LONGEST
    over = Lines()
    for _ in range(64):
        assert over.feed(b"y" * 4096 + b"\r") == []
    assert len(over.rest()) <= LONGEST


def test_last_lines() -> None:
    assert last_lines(b"a\nb\nc\n", 2) == b"b\nc\n"
    assert last_lines(b"a\nb\nc", 2) == b"b\nc"
    assert last_lines(b"a\nb\n", 9) == b"a\nb\n"
    assert last_lines(b"a\nb\n", 0) == b"a\nb\n"
    assert last_lines(b"", 5) == b""


@given(st.lists(st.text("ab é", max_size=5)), st.data())
def test_a_buffer_holds_the_same_however_it_comes(words: list[str], data: st.DataObject) -> None:
    whole = "".join(f"{word}\n" for word in words).encode()
    start = data.draw(st.integers(0, len(whole)))
    buffer = LogBuffer()
    buffer.restart(LogChunk(data=whole[start:], start=start))
    assert buffer.end == len(whole)
    while buffer.start > 0:
        begin = max(buffer.start - data.draw(st.integers(1, 40)), 0)
        if not buffer.prepend(LogChunk(data=whole[begin : buffer.start], start=begin)):
            buffer.prepend(LogChunk(data=whole[: buffer.start], start=0))
    assert buffer.lines == [word.rstrip(" ") for word in words]
    for at, line in enumerate(buffer.lines):
        offset = len("".join(f"{word}\n" for word in words[:at]).encode())
        assert buffer.at(offset) == at, line


def test_a_buffer_is_bounded_and_finds() -> None:
    buffer = LogBuffer(most=100)
    dropped = 0
    for at in range(1000):
        dropped += buffer.append(LogChunk(data=b"line %d\n" % at))
    assert dropped == 900
    assert len(buffer.lines) == 100
    assert buffer.find("LINE 95", 99, -1) == 59, "upwards, the nearest"
    assert buffer.find("line 95", 0, 1) == 50
    assert buffer.find("absent", 50, 1) is None
    assert buffer.start == len(b"".join(b"line %d\n" % at for at in range(900)))
