"""Output of jobs as lines that a person may see."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from console.logs import ansi, ranks, stamps
from console.logs.ansi import PLAIN, Sgr, Span
from console.model import LogChunk

LONGEST = 1 << 16
"""Characters of one line that are kept; endless lines (a progress bar, a binary file) are cut into such pieces."""
WRITTEN_OVER = 1 << 12
"""Of longer lines only the last state is kept."""
MOST_CHARACTERS = 64 << 20
"""What a buffer holds at most, however few its lines are."""


class Shown(NamedTuple):
    """One line as it may be shown."""

    text: str
    spans: tuple[Span, ...] = ()
    """Its styles, as it was written with colours."""
    rank: int | None = None
    """Who wrote it, where the lines say so; that is no longer part of the text."""


class Pieces:
    """Cuts bytes into lines, each with the byte at which it begins. It holds no more than LONGEST of the last one.

    Of a line that is written over (`\\r`) only the last state is held.
    """

    def __init__(self, start: int = 0) -> None:
        self.rest = b""
        """What has no line end yet."""
        self._at = start
        """The byte at which that line begins."""
        self.end = start
        """The byte after the last one."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return what is complete now."""
        found = []
        at = self.end - len(self.rest)
        *whole, rest = (self.rest + data).split(b"\n")
        for line in whole:
            at += len(line) + 1
            kept = _last_state(line)
            found += [(self._at + cut, kept[cut : cut + LONGEST]) for cut in range(0, max(len(kept), 1), LONGEST)]
            self._at = at
        self.end += len(data)
        rest = _last_state(rest)
        while len(rest) > LONGEST:
            found.append((self._at, rest[:LONGEST]))
            rest = rest[LONGEST:]
            self._at = self.end - len(rest)
        self.rest = rest
        return found


def _last_state(line: bytes) -> bytes:
    """Return a line that was often written over without what nobody sees; its head may say whose it is."""
    over = line.rfind(b"\r", 0, len(line) - 1) if len(line) > WRITTEN_OVER else -1
    return line if over < 0 else line.partition(b"\r")[0][: ranks.HEAD] + line[over:]


class Lines:
    """Makes lines of pieces of bytes as they come."""

    def __init__(self, form: re.Pattern[str] | None = None) -> None:
        """`form` is how the lines say their rank, one of `console.logs.ranks.FORMS`."""
        self._pieces = Pieces()
        self._cleaner = Cleaner(form)

    @property
    def form(self) -> re.Pattern[str] | None:
        """How the lines say their rank, None when they do not."""
        return self._cleaner.form

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete now, cleaned."""
        return [line.text for line in self.take(data)]

    def take(self, data: bytes) -> list[Shown]:
        """Return the same with their colours and ranks."""
        return [self._cleaner.line(raw) for _, raw in self._pieces.feed(data)]

    def rest(self) -> str:
        """Return what has no line end yet, as it stands now."""
        return self.last().text

    def last(self) -> Shown:
        """Return the same with its colours and rank."""
        return self._cleaner.peek(self._pieces.rest)


class Cleaner:
    """Reads lines one after the other; colours that are not reset go on in the next line of the same rank."""

    def __init__(self, form: re.Pattern[str] | None = None) -> None:
        self.form = form
        self._states: dict[int | None, Sgr] = {}

    def line(self, raw: bytes) -> Shown:
        """Return the next line."""
        shown, state = self._read(raw)
        if state == PLAIN:
            self._states.pop(shown.rank, None)
        else:
            self._states[shown.rank] = state
        return shown

    def peek(self, raw: bytes) -> Shown:
        """Return a line that is not complete."""
        return self._read(raw)[0]

    def _read(self, raw: bytes) -> tuple[Shown, Sgr]:
        text = raw.removesuffix(b"\r").decode("utf-8", "replace")
        over, _, text = text.rpartition("\r")
        rank = size = None
        if self.form is not None:
            # The rank stands before what was written over, and before colours as a rule.
            rank, size = ranks.split(self.form, ansi.read((over or text)[: 4 * ranks.HEAD])[0])
        state = self._states.get(rank, PLAIN)
        if over:
            state = ansi.after(over, state)
        text, spans, state = ansi.read(text, state)
        if over and self.form is not None and size:
            again, size = ranks.split(self.form, text)
            size = size if again == rank else 0
        if size:
            text = text[size:]
            spans = ansi.moved(spans, size, len(text))
        bare = text.rstrip(" ")
        return Shown(bare, ansi.moved(spans, 0, len(bare)) if len(bare) < len(text) else spans, rank), state


class LogBuffer:
    """A stretch of an output as lines, each with the byte at which it begins; it grows at both ends.

    It holds at most `most` lines: what grows at the end is dropped at the beginning. Where the backend gives no
    offsets they count from the first byte that was seen. Where most lines say which rank wrote them, that is told apart
    from their text.
    """

    def __init__(self, most: int = 200_000) -> None:
        self.lines: list[str] = []
        self._looks: list[tuple[tuple[Span, ...], int | None]] = []
        self._starts: list[int] = []
        self._most = most
        self._characters = 0
        self._pieces = Pieces()
        self._cleaner = Cleaner()
        self._decided = False
        self._last: Shown | None = None
        """The unfinished line as it may be shown, once somebody asked."""
        self.only: tuple[range, ...] = ()
        """Ranks whose lines are held; empty: all. It holds for what comes from now on."""
        self.start = 0
        """Byte at which the first line begins."""
        self.rank_width = 1
        """Cells that the widest rank takes that was seen."""

    @property
    def form(self) -> re.Pattern[str] | None:
        """How the lines say their rank, None when they do not."""
        return self._cleaner.form

    def restart(self, chunk: LogChunk, form: re.Pattern[str] | None = None) -> None:
        """Hold this piece and nothing else. It may begin within a line: that line is left out, unless it is all."""
        self._begin(chunk, form, decided=form is not None, cut=True)

    def _begin(self, chunk: LogChunk, form: re.Pattern[str] | None, *, decided: bool, cut: bool) -> None:
        self.lines, self._looks, self._starts, self._characters = [], [], [], 0
        start, data = chunk.start or 0, chunk.data
        if start:
            head, newline, after = data.partition(b"\n")
            if newline or not cut:
                start, data = start + len(head) + len(newline), after
        self.start = start
        self._pieces = Pieces(start)
        self._cleaner = Cleaner(form)
        self._decided = decided
        self.append(LogChunk(data=data, start=start))

    def append(self, chunk: LogChunk) -> int:
        """Take what follows; return how many lines were dropped at the beginning."""
        raw = self._pieces.feed(chunk.data)
        self._last = None
        if not self._decided:
            self._decide([line for _, line in raw])
        for at, line in raw:
            self._hold(at, self._cleaner.line(line))
        over = max(len(self.lines) - self._most, 0)
        excess = self._characters - sum(map(len, self.lines[:over])) - MOST_CHARACTERS
        while excess > 0 and over < len(self.lines):
            excess -= len(self.lines[over])
            over += 1
        return self._drop(over)

    def _decide(self, raw: list[bytes]) -> None:
        """See whether lines say their rank; those that are held already are read once more."""
        seen = Cleaner()
        sample = [*self.lines, *(seen.line(line).text for line in raw[:500])]
        self._cleaner.form = ranks.form(sample) if len(sample) > 3 else None
        self._decided = self._cleaner.form is not None or len(sample) >= ranks.SAMPLE
        if self._cleaner.form is None:
            return
        for at, text in enumerate(self.lines):
            rank, size = ranks.split(self._cleaner.form, text)
            self.lines[at] = text[size:]
            self._looks[at] = ansi.moved(self._looks[at][0], size, len(text) - size), rank
            self.rank_width = max(self.rank_width, len(str(rank or 0)))

    def _hold(self, at: int, shown: Shown) -> None:
        if self.only and self.form is not None and not ranks.wanted(shown.rank, self.only):
            return
        if shown.rank is not None:
            self.rank_width = max(self.rank_width, len(str(shown.rank)))
        self.lines.append(shown.text)
        self._looks.append((shown.spans, shown.rank))
        self._starts.append(at)
        self._characters += len(shown.text)

    def _drop(self, over: int) -> int:
        if over:
            self._characters -= sum(map(len, self.lines[:over]))
            del self.lines[:over], self._starts[:over], self._looks[:over]
            self.start = self._starts[0] if self._starts else self.end
        return over

    def prepend(self, chunk: LogChunk, *, cut: bool = False) -> int:
        """Take the piece before the first line; return how many lines it brought: none if no line begins in it.

        With `cut` it is taken even so.
        """
        earlier = LogBuffer(self._most)
        earlier.only = self.only
        earlier._begin(chunk, self.form, decided=True, cut=cut)
        if earlier._pieces.rest:
            earlier.append(LogChunk(data=b"\n"))
        if earlier.end > earlier.start:
            self.lines[:0] = earlier.lines
            self._starts[:0] = earlier._starts
            self._looks[:0] = earlier._looks
            self._characters += earlier._characters
            self.start = earlier.start
        return len(earlier.lines)

    @property
    def end(self) -> int:
        """Byte after the last one that it holds."""
        return self._pieces.end

    @property
    def unfinished(self) -> str:
        """The last line, as far as it is written."""
        last = self._unfinished()
        hidden = self.only and self.form is not None and not ranks.wanted(last.rank, self.only)
        return "" if hidden else last.text

    def shown(self, at: int) -> Shown:
        """Return a line with its colours and its rank; the one after the last is the unfinished one."""
        if at < len(self.lines):
            return Shown(self.lines[at], *self._looks[at])
        return self._unfinished()

    def _unfinished(self) -> Shown:
        if self._last is None:
            self._last = self._cleaner.peek(self._pieces.rest)
        return self._last

    def ranks(self) -> list[int]:
        """Return the ranks whose lines are held, in order."""
        return sorted({rank for _, rank in self._looks if rank is not None})

    def at(self, offset: int) -> int:
        """Return the line that holds a byte."""
        return max(bisect_right(self._starts, offset) - 1, 0)

    def find(self, words: str, after: int, by: int) -> int | None:
        """Return the next line from `after` (itself left out) that has these words, `by` 1 down or -1 up."""
        wanted = words.lower()
        lines = range(after + 1, len(self.lines)) if by > 0 else range(min(after, len(self.lines)) - 1, -1, -1)
        return next((at for at in lines if wanted in self.lines[at].lower()), None)

    def time(self, moment: stamps.Moment) -> int | None:
        """Return the first line that was written at or after a moment, the number of lines when none was.

        None when no line says a time. Raises UsageError.
        """
        found = [(at, stamp) for at, line in enumerate(self.lines) if (stamp := stamps.read(line)) is not None]
        if not found:
            return None
        wanted = moment.before(found[-1][1])
        return next((at for at, stamp in found if stamp.at >= wanted), len(self.lines))


def is_binary(data: bytes) -> bool:
    """Whether a piece of an output is no text."""
    return b"\0" in data


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
