"""Getting about in an output that is never whole in memory: further up and down, by words, by a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.logs import ansi, ranks, seek, stamps
from console.logs.merged import MergedLog, from_moment
from console.model import LogChunk
from console.render import units
from console.render.cells import Cell
from console.ui.live import LogReader

if TYPE_CHECKING:
    from console.ui.screens.log import LogScreen

EARLIER_BYTES = 1 << 18
"""What scrolling over the first line brings, and what is shown around something found far back."""
LONGEST_LINE = 4 << 20
"""Further back than this no beginning of a line is looked for: it is then cut."""
_LINE_BYTES = 1 << 14
"""So far before something found the beginning of its line is looked for."""
SINCE_BYTES = 16 << 20
"""What is read from a time on where a backend gives that and no place in a file."""


class Places:
    """Moves the log screen to other parts of its output."""

    def __init__(self, screen: LogScreen) -> None:
        self._screen = screen

    def go_up(self, by: int) -> None:
        """Move up; at the first line that is loaded, load what stands before it."""
        self._screen.pane.move(-by)
        if self._screen.pane.index == 0 and self._has_more():
            self._screen.work(self._earlier(), "earlier part")

    def go_down(self, by: int) -> None:
        """Move down; at the last line that is loaded, load what stands after it."""
        self._screen.pane.move(by)
        screen = self._screen
        if screen.pane.at_end and not screen.following.live and screen.reader is not None and screen.reader.seekable:
            screen.work(self._later(), "later part")

    def _has_more(self) -> bool:
        return self._screen.reader is not None and self._screen.reader.seekable and self._screen.pane.buffer.start > 0

    async def _earlier(self) -> None:
        reader, pane = self._screen.reader, self._screen.pane
        if reader is None:
            return
        size, brought = EARLIER_BYTES, 0
        while (end := pane.buffer.start) > 0 and not brought:
            begin = max(end - size, 0)
            piece = await reader.read(begin, end - begin)
            if reader is not self._screen.reader or end != pane.buffer.start:
                return
            brought = pane.buffer.prepend(piece, cut=size > LONGEST_LINE)
            size *= 4 if pane.buffer.start == end else 1
        pane.grown(brought)
        self._screen.tick()

    async def _later(self) -> None:
        reader, buffer = self._screen.reader, self._screen.pane.buffer
        if reader is None:
            return
        piece = await reader.read(buffer.end, EARLIER_BYTES)
        if reader is not self._screen.reader or self._screen.following.live:
            return
        if piece.data:
            self._screen.pane.grown(-buffer.append(piece))
            self._screen.tick()
        else:
            self._screen.work(self._screen.following.go_along(reader, LogChunk(data=b"", start=buffer.end)), "log")

    def go_to_end(self) -> None:
        """Go to the last line; after something was found far back, read the end anew."""
        self._screen.pane.go(self._screen.pane.count)
        if self._screen.following.state.text != "live":
            self._screen.work(self._screen.follow(), "log")

    def search(self, words: str, by: int) -> None:
        """Go to the next line that has these words; upwards also through what is not loaded yet."""
        pane = self._screen.pane
        pane.words = words
        if not words:
            pane.sync()
            return
        found = pane.buffer.find(words, pane.index, by)
        if found is not None:
            pane.go(found)
        elif by < 0 and self._has_more():
            self._screen.work(self._search_back(words), "search")
        else:
            pane.sync()
            self._screen.console_app.say(f"{words} stands nowhere {'above' if by < 0 else 'below'}", "warn")

    async def _search_back(self, words: str) -> None:
        reader = self._screen.reader
        if reader is None:
            return

        def told(left: int) -> None:
            self._screen.console_app.say(f"searching for {words}: {units.size(left)} left", "info")

        at = await seek.find_last(reader, words, self._screen.pane.buffer.start, told)
        while at is not None and not await self._is_of_a_chosen_rank(reader, at):
            at = await seek.find_last(reader, words, at, told)
        if at is None:
            self._screen.console_app.say(f"{words} stands nowhere above", "warn")
        else:
            await self._show_around(reader, at, "found further up")

    async def _is_of_a_chosen_rank(self, reader: LogReader, at: int) -> bool:
        """Whether the line that holds a byte is one of those that are shown."""
        buffer = self._screen.pane.buffer
        if not buffer.only or buffer.form is None:
            return True
        begin = max(at - _LINE_BYTES, 0)
        data = (await reader.read(begin, at - begin + ranks.HEAD)).data
        head = data[data.rfind(b"\n", 0, at - begin) + 1 :]
        text, _, _ = ansi.read(head[: 4 * ranks.HEAD].decode("utf-8", "replace"))
        return ranks.wanted(ranks.split(buffer.form, text)[0], buffer.only)

    async def _show_around(self, reader: LogReader, offset: int, why: str) -> None:
        """Show the lines around a byte; they are no longer those at the end."""
        self._screen.workers.cancel_group(self._screen, "log")
        begin = max(offset - EARLIER_BYTES, 0)
        piece = await reader.read(begin, 2 * EARLIER_BYTES)
        if reader is not self._screen.reader:
            return
        self._screen.following.live = False
        self._screen.pane.buffer.restart(piece)
        self._screen.pane.go(self._screen.pane.buffer.at(offset))
        self._screen.console_app.say(
            f"{why}; {self._screen.console_app.key_for('bottom')} goes back to the end", "info"
        )
        self._screen.following.say(Cell("not live", "warn"))

    def go_to_time(self, moment: stamps.Moment) -> None:
        """Go to the first line at or after a moment."""
        self._screen.work(self._to_time(moment), "jump")

    async def _to_time(self, moment: stamps.Moment) -> None:
        reader, pane = self._screen.reader, self._screen.pane
        if reader is None:
            return
        if reader.seekable:
            at = await seek.find_time(reader, moment)
            if at < pane.buffer.start or at > pane.buffer.end:
                await self._show_around(reader, at, "that time")
            else:
                pane.go(pane.buffer.at(at))
        elif isinstance(reader, MergedLog | seek.Timed):
            self._screen.workers.cancel_group(self._screen, "log")
            chunk, whole = await from_moment(reader, moment, SINCE_BYTES)
            pane.buffer.restart(chunk, ranks.MERGED if isinstance(reader, MergedLog) else None)
            pane.go(0)
            self._screen.following.live = whole
            if whole:
                self._screen.work(self._screen.following.go_along(reader, chunk), "log")
            else:
                self._screen.following.say(Cell("not live", "warn"))
        else:
            line = pane.buffer.time(moment)
            if line is None:
                self._screen.console_app.say(seek.NO_TIMES, "warn")
            else:
                pane.go(line)
