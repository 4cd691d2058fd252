"""Several outputs of a job as one: each line with the number of its output before it (`3: text`).

What is written already stands in the order of the times that the lines say; where none does, the last lines of all
stand together. What follows stands as it comes. A line without a time follows the one before it in its own output.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from heapq import merge
from typing import Protocol, runtime_checkable

from console.errors import SourceError, Unsupported
from console.logs.seek import EDGE_BYTES, Timed, find_time, stamp, stamped
from console.logs.stamps import DAY_S, Moment
from console.model import LogChunk, LogStream
from console.plugin import LogReader

AT_MOST = 64
"""Outputs that are read at once."""
LEAST_BYTES = 1 << 14
"""What is read of the end of each, however many there are."""
LONGEST = 1 << 16
"""Bytes of one line; a longer one comes in pieces."""
_AT_ONCE = 8
"""Outputs that are opened at a time."""
_WAITING = 64
"""Pieces that wait to be taken; who writes faster than we show is read later."""

_HURRIED = 8
"""Outputs that are followed as closely as one alone; more share that many looks."""

Line = tuple[float, int, int, bytes]
"""(time, place in its output, number of its output, text)."""


@runtime_checkable
class Patient(Protocol):
    """A reader that asks again and again, and can be told to take more time."""

    patience: float
    """How many times longer than usual it rests."""


class MergedLog:
    """Several open outputs; a `console.plugin.LogReader`."""

    seekable = False

    def __init__(self, parts: Sequence[tuple[int, LogReader]], failures: dict[int, SourceError], left_out: int) -> None:
        self._parts = parts
        self.failures = failures
        """Why some are not read, or no longer."""
        self.left_out = left_out
        """How many more were asked for than are read at once."""
        for _, reader in parts:
            if isinstance(reader, Patient):
                reader.patience = max(len(parts) / _HURRIED, 1.0)
        self._ends: dict[int, LogChunk] = {}
        self._rests: dict[int, bytes] = {}

    @property
    def numbers(self) -> list[int]:
        """Those that are read."""
        return [number for number, _ in self._parts]

    async def tail(self, limit_bytes: int) -> LogChunk:
        """Return the last lines of all. Raises SourceError when none can be read."""
        share = self._share(limit_bytes)
        self._ends = await self._of_each(lambda reader: reader.tail(share))
        return self._together(cut=True)

    async def from_moment(self, moment: Moment, limit_bytes: int) -> tuple[LogChunk, bool]:
        """Return what all wrote at or after a moment, and whether that is all of it; `follow` goes on after it.

        Raises SourceError, NoSuchFile when no line of any says a time.
        """
        share = self._share(limit_bytes)
        tails = await self._of_each(lambda reader: reader.tail(EDGE_BYTES))
        lasts = [times[-1][1] for chunk in tails.values() if (times := stamped(chunk.data, 0, whole=True))]
        if lasts:
            # Of all outputs the same time, though some may have ended earlier.
            last = max(lasts)
            at = moment.before(last)
            asked = Moment(at=at) if last.dated else Moment(clock_s=at % DAY_S)
        else:
            asked = moment

        async def begun(reader: LogReader) -> LogChunk:
            if reader.seekable:
                return await reader.read(await find_time(reader, asked), share)
            if isinstance(reader, Timed):
                return (await reader.since(moment.epoch(), share))[0]
            return await reader.tail(share)

        self._ends = await self._of_each(begun)
        whole = all(len(chunk.data) < share for chunk in self._ends.values())
        return self._together(cut=False), whole

    def _share(self, limit_bytes: int) -> int:
        return max(limit_bytes // max(len(self._parts), 1), LEAST_BYTES)

    async def _of_each(self, ask: Callable[[LogReader], Awaitable[LogChunk]]) -> dict[int, LogChunk]:
        """Return the answer of every output; why one gives none is kept. Raises SourceError when none gives one."""
        gate = asyncio.Semaphore(_AT_ONCE)
        found: dict[int, LogChunk] = {}

        async def one(number: int, reader: LogReader) -> None:
            async with gate:
                try:
                    found[number] = await ask(reader)
                except SourceError as error:
                    self.failures[number] = error

        await asyncio.gather(*(one(number, reader) for number, reader in self._parts))
        if self.failures and not found:
            raise next(reversed(self.failures.values()))
        return {number: found[number] for number in self.numbers if number in found}

    def _together(self, *, cut: bool) -> LogChunk:
        """Return the lines of the pieces that were read last; with `cut` the first of each may be half a line."""
        pieces = []
        for number, chunk in self._ends.items():
            *lines, self._rests[number] = chunk.data.split(b"\n")
            pieces.append((number, lines[1:] if cut and chunk.start else lines))
        return LogChunk(data=b"".join(_numbered(number, text) for number, text in in_order(pieces)))

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        """Not possible: bytes of several outputs have no common order."""
        raise Unsupported("several outputs together can be read at their end only", "ranks", "read one of them")

    async def follow(self, after: LogChunk) -> AsyncIterator[LogChunk]:
        """Yield what all of them write, until all have ended. Raises SourceError when the last one failed."""
        news: asyncio.Queue[tuple[int, LogChunk | None]] = asyncio.Queue(_WAITING)
        tasks = [asyncio.create_task(self._feed(number, reader, news)) for number, reader in self._parts]
        left = len(tasks)
        try:
            while left:
                number, chunk = await news.get()
                data = self._take(number, chunk)
                left -= chunk is None
                if data:
                    yield LogChunk(data=data)
            if all(number in self.failures for number in self.numbers):
                raise next(reversed(self.failures.values()))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Let go of all."""
        await asyncio.gather(*(reader.close() for _, reader in self._parts))

    async def _feed(self, number: int, reader: LogReader, news: asyncio.Queue[tuple[int, LogChunk | None]]) -> None:
        try:
            if number in self._ends:
                async for chunk in reader.follow(self._ends.pop(number)):
                    await news.put((number, chunk))
        except SourceError as error:
            self.failures[number] = error
        await news.put((number, None))

    def _take(self, number: int, chunk: LogChunk | None) -> bytes:
        """Return the complete lines of a piece, numbered; None ends the output."""
        rest = self._rests.pop(number, b"")
        if chunk is None:
            return _numbered(number, rest) if rest else b""
        head = b""
        if chunk.anew:
            head, rest = _numbered(number, b"-- the output begins anew --"), b""
        *lines, rest = (rest + chunk.data).split(b"\n")
        if len(rest) > LONGEST:
            lines.append(rest)
            rest = b""
        self._rests[number] = rest
        return head + b"".join(_numbered(number, line) for line in lines)


def in_order(pieces: Sequence[tuple[int, Sequence[bytes]]]) -> list[tuple[int, bytes]]:
    """Return the lines of several outputs as (number, line) by the times that they say."""
    timed: list[list[Line]] = []
    untimed: list[list[Line]] = []
    for number, lines in pieces:
        stamps = [stamp(line) for line in lines]
        first = next((found for found in stamps if found is not None), None)
        if first is None:
            # Counted from the end, so that the last lines of all stand together.
            untimed.append([(at - len(lines), at, number, line) for at, line in enumerate(lines)])
            continue
        last, rows = first.at, []
        for at, (line, found) in enumerate(zip(lines, stamps, strict=True)):
            # An output never goes back: what says an earlier time than the line before it follows that line.
            last = max(last, found.at) if found is not None else last
            rows.append((last, at, number, line))
        timed.append(rows)
    return [(number, line) for rows in (untimed, timed) for _, _, number, line in merge(*rows, key=_key)]


def _key(line: Line) -> tuple[float, int]:
    return line[0], line[2]


def _numbered(number: int, line: bytes) -> bytes:
    return b"%d: %s\n" % (number, line)


async def from_moment(reader: MergedLog | Timed, moment: Moment, limit_bytes: int) -> tuple[LogChunk, bool]:
    """Return what was written at or after a moment, and whether that is all of it; `follow` goes on after it.

    Raises SourceError.
    """
    if isinstance(reader, MergedLog):
        return await reader.from_moment(moment, limit_bytes)
    return await reader.since(moment.epoch(), limit_bytes)


async def open_merged(
    open_log: Callable[[LogStream], Awaitable[LogReader]], streams: Sequence[tuple[int, LogStream]]
) -> MergedLog:
    """Open the first AT_MOST of these outputs, each with its number. Raises SourceError when none can be opened."""
    gate = asyncio.Semaphore(_AT_ONCE)
    failures: dict[int, SourceError] = {}

    async def one(number: int, stream: LogStream) -> tuple[int, LogReader] | None:
        async with gate:
            try:
                return number, await open_log(stream)
            except SourceError as error:
                failures[number] = error
                return None

    opened = await asyncio.gather(*(one(number, stream) for number, stream in streams[:AT_MOST]))
    parts = [part for part in opened if part is not None]
    if failures and not parts:
        raise next(iter(failures.values()))
    return MergedLog(parts, failures, max(len(streams) - AT_MOST, 0))
