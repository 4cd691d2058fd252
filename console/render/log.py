"""Output of jobs as lines that a person may see."""

from __future__ import annotations

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
    return clean(text.rpartition(b"\r")[2], limit=LONGEST)
