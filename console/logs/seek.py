"""Finding a place in an output without reading all of it: by a time, or by words further up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from console.errors import NoSuchFile, Unsupported
from console.logs import ansi, ranks, stamps
from console.logs.stamps import Moment, Stamp
from console.model import LogChunk

EDGE_BYTES = 1 << 16
"""What is looked at for the first and for the last time, and read line by line once a search is that close."""
PROBE_BYTES = 1 << 14
MOST_BYTES = 4 << 20
"""So far a probe looks for a line with a time."""
READ_BYTES = 4 << 20
"""What one step of a search reads where the bytes must come here."""
FIRST_BYTES, GROWTH = 4 << 20, 16
"""The first stretch that is searched where the file is, and how many times longer each further one is."""
NO_TIMES = "its lines say no time"
_HINT = "ISO 8601, 14:02:31, Nov 24 14:02:31, I1124 14:02:31 or seconds since 1970, at their head"


class Seekable(Protocol):
    """What a search needs of a `console.plugin.LogReader`."""

    async def tail(self, limit_bytes: int) -> LogChunk:
        """Return its last bytes."""

    async def read(self, offset: int, limit_bytes: int) -> LogChunk:
        """Return bytes from an offset."""


@runtime_checkable
class Searcher(Protocol):
    """A reader that searches where the file is, so that nothing has to travel."""

    async def search(self, words: bytes, begin: int, end: int) -> int | None:
        """Return the byte of the last place in [begin, end) at which the words begin, ASCII in upper or lower case.

        Raises SourceError; Unsupported when that machine cannot.
        """


@runtime_checkable
class Timed(Protocol):
    """A reader whose backend keeps the time of every line."""

    async def since(self, at: float, limit_bytes: int) -> tuple[LogChunk, bool]:
        """Return what was written from a time on (seconds since 1970), and whether that is all of it.

        `follow` goes on after it. Raises SourceError.
        """


# ---- by time


def stamp(line: bytes) -> Stamp | None:
    """Return the time that a line as it was written says; a rank before it is passed over."""
    text = ansi.read(line[:512].decode("utf-8", "replace"))[0]
    found = stamps.read(text)
    if found is not None:
        return found
    for pattern in ranks.FORMS:
        _, size = ranks.split(pattern, text)
        if size:
            return stamps.read(text[size:])
    return None


def stamped(data: bytes, start: int, whole: bool) -> list[tuple[int, Stamp]]:
    """Return (byte, time) of the lines of a piece that say theirs; unless `whole` the first may be cut."""
    found = []
    at = 0 if whole else data.find(b"\n") + 1 or len(data)
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        if (time := stamp(data[at : min(end, at + 512)])) is not None:
            found.append((start + at, time))
        at = end + 1
    return found


async def find_time(reader: Seekable, moment: Moment) -> int:
    """Return the byte of the first line at or after a moment, the size when all are earlier.

    Takes some twenty small reads, whatever the size. Raises SourceError; NoSuchFile when no line says a time.
    """
    tail = await reader.tail(EDGE_BYTES)
    start = tail.start or 0
    size = start + len(tail.data)
    ends = stamped(tail.data, start, start == 0)
    head = stamped((await reader.read(0, EDGE_BYTES)).data, 0, True)
    if not ends or not head:
        raise NoSuchFile(NO_TIMES, "this output", _HINT)
    first, last = head[0][1], ends[-1][1]
    asked = Stamp(moment.before(last), last.dated)
    wanted = _key(asked, first)
    if not last.dated and wanted > _key(last, first):
        # Outside of what it tells of: at the nearer of its ends.
        return size if wanted - _key(last, first) < stamps.DAY_S - wanted and moment.ago_s is None else 0
    low, high = 0, size
    while high - low > EDGE_BYTES:
        middle = (low + high) // 2
        found = await _next_stamp(reader, middle, high)
        if found is not None and _key(found[1], first) < wanted:
            low = found[0]
        else:
            high = middle
    piece = await reader.read(low, high - low + EDGE_BYTES)
    near = stamped(piece.data, low, True)
    return next((at for at, time in near if _key(time, first) >= wanted), size)


def _key(time: Stamp, first: Stamp) -> float:
    """Return what grows from line to line: without a date, the time since the first line, below a day."""
    return time.at if time.dated else (time.at - first.at) % stamps.DAY_S


async def _next_stamp(reader: Seekable, begin: int, end: int) -> tuple[int, Stamp] | None:
    """Return (byte, time) of the first line after a byte that says one, None when none does before `end`."""
    size = PROBE_BYTES
    while True:
        piece = await reader.read(begin, min(size, end - begin))
        found = stamped(piece.data, begin, begin == 0)
        if found:
            return found[0]
        if size >= min(end - begin, MOST_BYTES):
            return None
        size *= 8


# ---- by words


async def find_last(
    reader: Seekable, words: str, before: int, told: Callable[[int], None] = lambda _: None
) -> int | None:
    """Return the byte of the last place before `before` at which words stand, None when nowhere.

    Upper and lower case are the same, of ASCII. It goes from there to the beginning, on the machine of the file where
    that can; `told` is called with the bytes that are left. Raises SourceError.
    """
    wanted = words.lower().encode()
    size = FIRST_BYTES
    end = before
    if isinstance(reader, Searcher):
        try:
            while end > 0:
                begin = max(end - size, 0)
                found = await reader.search(wanted, begin, end)
                if found is not None or begin == 0:
                    return found
                end, size = begin, size * GROWTH
                told(end)
        except Unsupported:
            pass
    while end > 0:
        begin = max(end - READ_BYTES, 0)
        piece = await reader.read(begin, end - begin + len(wanted) - 1)
        at = await asyncio.to_thread(_last_of, piece.data, wanted)
        if at >= 0:
            return begin + at
        end = begin
        told(end)
    return None


def _last_of(data: bytes, wanted: bytes) -> int:
    return data.lower().rfind(wanted)
