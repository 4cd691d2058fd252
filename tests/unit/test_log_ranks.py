"""Who wrote a line: prefixes in one file, and several outputs read as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.errors import Denied, NoSuchFile, SourceError, Unsupported, UsageError
from console.logs import ranks
from console.logs.merged import AT_MOST, MergedLog, in_order, open_merged
from console.logs.stamps import moment
from console.model import LogChunk, LogStream
from console.render.log import Lines, LogBuffer
from console.transport.files import FileReader
from console.transport.local import LocalTransport


@pytest.mark.parametrize(
    ("line", "rank", "text"),
    [
        ("  3: step 10", 3, "step 10"),
        ("12:", 12, ""),
        ("[rank3]: Traceback", 3, "Traceback"),
        ("[rank3]:[W1124 14:02:31.1 ProcessGroup]", 3, "[W1124 14:02:31.1 ProcessGroup]"),
        ("[default12]:loss 3", 12, "loss 3"),
        ("[trainer0]: x", 0, "x"),
        ("[1,7]<stderr>: x", 7, "x"),
    ],
)
def test_how_lines_say_their_rank(line: str, rank: int, text: str) -> None:
    found = [(number, line[size:]) for form in ranks.FORMS for number, size in (ranks.split(form, line),) if size]
    assert found == [(rank, text)]


@pytest.mark.parametrize(
    "line", ["3 : x", "12:34:56 x", "error: x", "[INFO]: x", "[3]: x", "1234567: x", "[1,2] x", ""]
)
def test_other_lines_say_none(line: str) -> None:
    assert all(ranks.split(form, line) == (None, 0) for form in ranks.FORMS)


def test_ranks_are_recognised_by_most_lines_only() -> None:
    assert ranks.form(["0: a", "1: b", "", "0: c", "1: d"]) is ranks.FORMS[0]
    assert ranks.form(["0: a", "0: b", "0: c"]) is None, "one rank is no rank"
    assert ranks.form(["0: a", "1: b", "word", "other", "3: c"]) is None
    assert ranks.form([]) is None


def test_what_somebody_asks_for() -> None:
    assert ranks.ranges("all") == ()
    assert ranks.ranges("0-3, 7") == (range(4), range(7, 8))
    assert ranks.said(ranks.ranges("0-9999999,3")) == "0-9999999,3"
    assert ranks.wanted(2, ranks.ranges("0-3"))
    assert not ranks.wanted(None, ranks.ranges("0-3"))
    assert ranks.folded([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    for wrong in ("", "x", "3-1", "-1", "1,,2", "1-", "99999999"):
        with pytest.raises(UsageError):
            ranks.ranges(wrong)


def test_numbers_are_ranks_where_these_differ() -> None:
    streams = [LogStream(name="stdout", rank=0), LogStream(name="err"), LogStream(name="r2", rank=2)]
    assert [(number, stream.name) for number, stream in ranks.numbered(streams)] == [(0, "stdout"), (2, "r2")]
    assert [number for number, _ in ranks.numbered(streams, every=True)] == [0, 1, 2]
    twice = [LogStream(name="worker-0", rank=0), LogStream(name="ps-0", rank=0)]
    assert [(number, stream.name) for number, stream in ranks.numbered(twice)] == [(0, "worker-0"), (1, "ps-0")]


def test_a_buffer_tells_ranks_from_text_and_holds_some_alone() -> None:
    data = b"".join(b"%2d: \x1b[3%dmstep %d\n" % (at % 12, at % 8, at) for at in range(48))
    buffer = LogBuffer()
    buffer.restart(LogChunk(data=data, start=0))
    assert buffer.form is ranks.FORMS[0]
    assert buffer.shown(13).rank == 1
    assert buffer.shown(13).text == "step 13"
    assert buffer.shown(13).spans[0][:2] == (0, 7)
    assert buffer.rank_width == 2
    assert buffer.ranks() == list(range(12))
    buffer.only = ranks.ranges("3")
    buffer.restart(LogChunk(data=data[200:], start=200))
    buffer.append(LogChunk(data=b" 3: more\n 4: other\n 4: unfin"))
    assert buffer.unfinished == ""
    start = buffer.start
    assert buffer.prepend(LogChunk(data=data[: buffer.start], start=0)) > 0
    assert buffer.start == 0 < start
    assert buffer.lines == ["step 3", "step 15", "step 27", "step 39", "more"]


def test_ranks_are_seen_also_when_a_log_begins_small() -> None:
    buffer = LogBuffer()
    buffer.restart(LogChunk(data=b"", start=0))
    for at in range(8):
        buffer.append(LogChunk(data=b"[rank%d]: line\n" % (at % 2)))
    assert [buffer.shown(at).rank for at in range(8)] == [0, 1] * 4
    assert set(buffer.lines) == {"line"}
    plain = LogBuffer()
    plain.restart(LogChunk(data=b"no rank\n" * 20, start=0))
    plain.append(LogChunk(data=b"0: a\n1: b\n" * 40))
    assert plain.form is None, "it is decided once"


def test_colours_of_one_rank_do_not_run_into_another() -> None:
    lines = Lines(ranks.MERGED)
    found = lines.take(b"0: \x1b[31mred\n1: plain\n0: still red\n")
    assert [bool(line.spans) for line in found] == [True, False, True]
    (bar,) = lines.take(b"3: 10%\r 90%\n")
    assert (bar.rank, bar.text) == (3, " 90%")
    (labelled,) = lines.take(b"3: 10%\r3: 90%\n")
    assert (labelled.rank, labelled.text) == (3, "90%")


class Part:
    """One output."""

    seekable = True

    def __init__(self, data: bytes, *news: bytes | SourceError, start: int = 0) -> None:
        self.data, self.news, self.start = data, news, start
        self.closed = False

    async def tail(self, limit_bytes: int) -> LogChunk:
        data = self.data[-limit_bytes:]
        return LogChunk(data=data, start=self.start + len(self.data) - len(data))

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        return LogChunk(data=self.data[offset : offset + limit_bytes], start=offset)

    async def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        for piece in self.news:
            await asyncio.sleep(0)
            if isinstance(piece, SourceError):
                raise piece
            yield LogChunk(data=piece)

    async def close(self) -> None:
        self.closed = True


async def opened(**parts: Part) -> MergedLog:
    async def open_log(stream: LogStream) -> Part:
        if stream.name not in parts:
            raise Denied("permission denied", stream.name)
        return parts[stream.name]

    names = ["a", "b", "c"]
    return await open_merged(open_log, [(at, LogStream(name=name)) for at, name in enumerate(names)])


async def followed(merged: MergedLog, after: LogChunk) -> list[bytes]:
    return b"".join([piece.data async for piece in merged.follow(after)]).splitlines()


async def test_what_is_written_stands_by_time_and_what_follows_as_it_comes() -> None:
    a = Part(b"2026-11-24 14:02:31,1 a1\n  detail\n2026-11-24 14:02:33,1 a2\nhal", b"f\nmore\n")
    b = Part(b"2026-11-24T14:02:32Z b1\n2026-11-24T14:02:34Z b2\n", b"x", b"y\nlast without an end")
    merged = await opened(a=a, b=b)
    assert not merged.seekable
    assert merged.failures[2].what == "permission denied"
    tail = await merged.tail(1 << 20)
    assert [line[:40] for line in tail.data.decode().splitlines()] == [
        "0: 2026-11-24 14:02:31,1 a1",
        "0:   detail",
        "1: 2026-11-24T14:02:32Z b1",
        "0: 2026-11-24 14:02:33,1 a2",
        "1: 2026-11-24T14:02:34Z b2",
    ]
    lines = await followed(merged, tail)
    assert [line for line in lines if line.startswith(b"0")] == [b"0: half", b"0: more"]
    assert [line for line in lines if line.startswith(b"1")] == [b"1: xy", b"1: last without an end"]
    with pytest.raises(Unsupported):
        await merged.read(0, 1)
    await merged.close()
    assert a.closed
    assert b.closed


async def test_one_that_fails_does_not_end_the_others() -> None:
    merged = await opened(a=Part(b"", NoSuchFile("gone", "a")), b=Part(b"", b"one\n", b"two\n"))
    assert await followed(merged, await merged.tail(100)) == [b"1: one", b"1: two"]
    assert merged.failures[0].what == "gone"
    alone = await opened(a=Part(b"", NoSuchFile("gone", "a")))
    with pytest.raises(NoSuchFile):
        await followed(alone, await alone.tail(100))
    with pytest.raises(Denied):
        await opened()


async def test_all_are_read_from_a_time_on() -> None:
    early = Part(b"".join(b"2026-11-24 14:%02d:00 early\n" % at for at in range(30)))
    late = Part(b"".join(b"2026-11-24 14:%02d:00 late\n" % at for at in range(60)), b"on\n")
    merged = await opened(a=early, b=late, c=Part(b"no time\n"))
    chunk, whole = await merged.from_moment(moment("32m"), 1 << 20)
    lines = chunk.data.decode().splitlines()
    assert whole
    assert lines[:4] == [
        *("0: 2026-11-24 14:27:00 early", "1: 2026-11-24 14:27:00 late"),
        *("0: 2026-11-24 14:28:00 early", "1: 2026-11-24 14:28:00 late"),
    ], "before the last line of all, not of each"
    assert lines[-1] == "1: 2026-11-24 14:59:00 late"
    assert len(lines) == 3 + 33
    assert merged.failures[2].what == "its lines say no time"
    assert await followed(merged, chunk) == [b"1: on"]
    with pytest.raises(NoSuchFile, match="say no time"):
        await (await opened(a=Part(b"x\n"))).from_moment(moment("1m"), 100)


async def test_who_follows_many_does_not_hurry_in_each(tmp_path: Path) -> None:
    async def open_log(stream: LogStream) -> FileReader:
        return FileReader(LocalTransport(), str(tmp_path / stream.name))

    for count, patience in ((2, 1.0), (64, 8.0)):
        streams = [(at, LogStream(name=f"{at}")) for at in range(count)]
        merged = await open_merged(open_log, streams)
        assert {reader.patience for _, reader in merged._parts} == {patience}  # type: ignore[attr-defined]


async def test_an_endless_line_of_one_holds_no_memory() -> None:
    merged = await opened(a=Part(b"", *[b"x" * 50_000] * 40))
    lines = await followed(merged, await merged.tail(100))
    assert sum(len(line) - 3 for line in lines) == 2_000_000
    assert max(map(len, lines)) < 120_000


async def test_five_hundred_ranks_are_not_all_opened() -> None:
    count = 0

    async def open_log(stream: LogStream) -> Part:
        nonlocal count
        count += 1
        return Part(b"hello\n" * 10_000, start=1)

    streams = [(at, LogStream(name=f"rank {at}", rank=at)) for at in range(512)]
    merged = await open_merged(open_log, streams)
    assert count == AT_MOST == len(merged.numbers)
    assert merged.left_out == 512 - AT_MOST
    assert len((await merged.tail(1 << 20)).data) < 2 << 20


def test_lines_without_times_stand_by_their_distance_from_the_end() -> None:
    assert in_order([(0, [b"a", b"b", b"c"]), (1, [b"y", b"z"])]) == [
        (0, b"a"), (0, b"b"), (1, b"y"), (0, b"c"), (1, b"z"),
    ]  # fmt: skip
    mixed = in_order([(0, [b"2026-11-24T14:02:31 x", b"2026-11-24T14:02:30 back"]), (1, [b"none"])])
    assert [line[1][-4:] for line in mixed] == [b"none", b"31 x", b"back"]
