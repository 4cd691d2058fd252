"""Output of jobs as lines that a person may see."""

from __future__ import annotations

from bisect import bisect_right

from console.model import LogChunk
from console.text import clean

LONGEST = 1 << 16
"""Characters of one line that are kept; endless lines (a progress bar, a binary file) are cut into such pieces."""


class Lines:
    """Makes lines of pieces of bytes. Of a line that was written over (`\\r`) only the last state counts."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete now, cleaned."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines = [_shown(line) for line in whole]
        while len(self._rest) > LONGEST and b"\r" not in self._rest[-LONGEST:]:
            lines.append(_shown(self._rest[:LONGEST]))
            self._rest = self._rest[LONGEST:]
        if len(self._rest) > LONGEST:
            self._rest = self._rest[-LONGEST:]
        return lines

    def rest(self) -> str:
        """Return what has no line end yet, as it stands now."""
        return _shown(self._rest)


class LogBuffer:
    """A stretch of an output as lines, each with the byte at which it begins; it grows at both ends.

    It holds at most `most` lines: what grows at the end is dropped at the beginning. Where the backend gives no
    offsets they count from the first byte that was seen.
    """

    def __init__(self, most: int = 200_000) -> None:
        self.lines: list[str] = []
        self._starts: list[int] = []
        self._most = most
        self._rest = b""
        self._end = 0
        self.start = 0
        """Byte at which the first line begins."""

    def restart(self, chunk: LogChunk) -> None:
        """Hold this piece and nothing else. It may begin within a line: that line is left out."""
        self.lines, self._starts, self._rest = [], [], b""
        start, data = chunk.start or 0, chunk.data
        if start:
            head, newline, data = data.partition(b"\n")
            start += len(head) + len(newline)
        self.start = self._end = start
        self.append(LogChunk(data=data, start=start))

    def append(self, chunk: LogChunk) -> int:
        """Take what follows; return how many lines were dropped at the beginning."""
        data = self._rest + chunk.data
        at = self._end - len(self._rest)
        *whole, self._rest = data.split(b"\n")
        for line in whole:
            for begin in range(0, max(len(line), 1), LONGEST):
                self.lines.append(_shown(line[begin : begin + LONGEST]))
                self._starts.append(at + begin)
            at += len(line) + 1
        self._end += len(chunk.data)
        dropped = max(len(self.lines) - self._most, 0)
        if dropped:
            del self.lines[:dropped], self._starts[:dropped]
            self.start = self._starts[0]
        return dropped

    def prepend(self, chunk: LogChunk) -> int:
        """Take the piece before the first line; return how many lines it brought: none if no line begins in it."""
        earlier = LogBuffer(self._most)
        earlier.restart(chunk)
        if earlier._rest:
            earlier.append(LogChunk(data=b"\n"))
        if earlier.lines:
            self.lines[:0] = earlier.lines
            self._starts[:0] = earlier._starts
            self.start = earlier.start
        return len(earlier.lines)

    @property
    def end(self) -> int:
        """Byte after the last one that it holds."""
        return self._end

    @property
    def unfinished(self) -> str:
        """The last line, as far as it is written."""
        return _shown(self._rest)

    def at(self, offset: int) -> int:
        """Return the line that holds a byte."""
        return max(bisect_right(self._starts, offset) - 1, 0)

    def find(self, words: str, after: int, by: int) -> int | None:
        """Return the next line from `after` (itself left out) that has these words, `by` 1 down or -1 up."""
        wanted = words.lower()
        lines = range(after + 1, len(self.lines)) if by > 0 else range(min(after, len(self.lines)) - 1, -1, -1)
        return next((at for at in lines if wanted in self.lines[at].lower()), None)


def last_lines(data: bytes, count: int) -> bytes:
    """Return the last `count` lines of a piece, all of it when `count` is 0; a piece may begin within a line."""
    if count <= 0:
        return data
    end = len(data)
    at = end - 1 if data.endswith(b"\n") else end
    for _ in range(count):
        at = data.rfind(b"\n", 0, at)
        if at < 0:
            return data
    return data[at + 1 : end]


def _shown(line: bytes) -> str:
    text = line.removesuffix(b"\r")
    return clean(text.rpartition(b"\r")[2], limit=LONGEST).rstrip(" ")
