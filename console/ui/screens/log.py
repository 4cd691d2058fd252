"""The output of one job: its end, live, and as much before it as somebody asks for."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator, Sequence
from typing import Any

from textual.widget import Widget

from console.errors import QuarterdeckError
from console.model import LogChunk, LogStream
from console.render import units
from console.render.cells import Cell
from console.render.training import Training, training_line
from console.ui.live import LogReader
from console.ui.logpane import LogPane
from console.ui.panes import Rule
from console.ui.prompt import Prompt
from console.ui.screens.base import BaseScreen
from console.ui.screens.handlers import Motions

TAIL_BYTES = 1 << 20
EARLIER_BYTES = 1 << 18
"""What scrolling over the first line brings, and what is shown around something found far back."""
LONGEST_LINE = 64 << 20
"""Further back than this no beginning of a line is looked for."""
SEARCH_BYTES = 4 << 20
"""What one step of a search through what is not loaded reads."""


class Reading:
    """What only this screen does."""

    def __init__(self, screen: LogScreen) -> None:
        self._screen = screen

    def act_top(self, argument: str) -> None:
        """To the first line that is loaded; what stands before it comes."""
        self._screen.go_up(self._screen.pane.count)

    def act_up(self, argument: str) -> None:
        """One line up."""
        self._screen.go_up(1)

    def act_page_up(self, argument: str) -> None:
        """A page up."""
        self._screen.go_up(max(self._screen.pane.page - 1, 1))

    def act_half_up(self, argument: str) -> None:
        """Half a page up."""
        self._screen.go_up(max(self._screen.pane.page // 2, 1))

    def act_bottom(self, argument: str) -> None:
        """To the end, and go along with it."""
        self._screen.go_to_end()

    def act_find(self, argument: str) -> None:
        """Search upwards."""
        screen = self._screen
        if argument:
            screen.search(argument, -1)
        else:
            screen.ask(Prompt("/", screen.pane.words, screen.history))

    def act_find_up(self, argument: str) -> None:
        """Search on, upwards."""
        self._screen.search(self._screen.pane.words, -1)

    def act_find_down(self, argument: str) -> None:
        """Search on, downwards."""
        self._screen.search(self._screen.pane.words, 1)

    def act_next_output(self, argument: str) -> None:
        """Read the next output of the job."""
        self._screen.choose(1)


class LogScreen(BaseScreen):
    """One output of a job at a time."""

    kind = "log"

    def __init__(self, key: tuple[str, str]) -> None:
        super().__init__()
        self.pane = LogPane()
        self.rule = Rule()
        self.history: list[str] = []
        self._training = Training()
        self._key = key
        self._streams: tuple[LogStream, ...] = ()
        self._chosen = 0
        self._reader: LogReader | None = None
        self._state = Cell("asking ...", "muted")
        self.handlers = (Reading(self), Motions(self))

    def body(self) -> Iterable[Widget]:
        """Yield the lines, and under them how the training goes where they tell."""
        yield self.pane
        self.rule.display = False
        yield self.rule

    def on_mount(self) -> None:
        """Ask which outputs there are, and read the first."""
        self._work(self._follow(), "log")

    async def on_unmount(self) -> None:
        """Let go of the output."""
        if self._reader is not None:
            await self._reader.close()

    # ---- reading

    def _work(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Run something that reads; what ends it is said."""
        self.run_worker(self._told(work), name=f"the {group}", group=group, exclusive=True, exit_on_error=False)

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except QuarterdeckError as error:
            self._say(Cell(error.what, "bad"))
            self.console_app.say(f"{error}. {error.hint}" if error.hint else str(error), "bad")

    def _say(self, state: Cell) -> None:
        self._state = state
        self.tick()

    async def _follow(self) -> None:
        """Show the end of the chosen output, and what follows as it is written."""
        desk, pane = self.console_app.session.desk, self.pane
        if not self._streams:
            self._streams = await desk.log_streams(self._key)
        if not self._streams:
            self._say(Cell("nothing is written yet", "muted"))
            return
        reader = self._reader = await desk.open_log(self._key, self._streams[self._chosen])
        chunk = await reader.tail(TAIL_BYTES)
        pane.buffer.restart(chunk)
        pane.go(pane.count)
        self._learn(pane.buffer.lines, anew=True)
        self._say(Cell("live", "ok"))
        async for piece in reader.follow(chunk):
            self._take(piece)
        self._say(Cell("ended", "muted"))

    def _take(self, piece: LogChunk) -> None:
        pane = self.pane
        at_end = pane.at_end
        if piece.anew:
            pane.buffer.restart(piece)
            self._learn(pane.buffer.lines, anew=True)
            self.console_app.say("the output begins anew", "warn")
        else:
            before = len(pane.buffer.lines)
            dropped = pane.buffer.append(piece)
            pane.grown(-dropped)
            self._learn(pane.buffer.lines[before - dropped :])
        if at_end or piece.anew:
            pane.go(pane.count)
        self.tick()

    def _learn(self, lines: Sequence[str], *, anew: bool = False) -> None:
        """Take what lines say of the training."""
        if anew:
            self._training = Training()
        for line in lines:
            self._training.take(line)

    # ---- moving and searching

    def go_up(self, by: int) -> None:
        """Move up; at the first line that is loaded, load what stands before it."""
        self.pane.move(-by)
        if self.pane.index == 0 and self._has_more():
            self._work(self._earlier(), "earlier part")

    def _has_more(self) -> bool:
        return self._reader is not None and self._reader.seekable and self.pane.buffer.start > 0

    async def _earlier(self) -> None:
        reader, pane = self._reader, self.pane
        if reader is None:
            return
        size, end, brought = EARLIER_BYTES, pane.buffer.start, 0
        while end > 0 and not brought and size <= LONGEST_LINE:
            begin = max(end - size, 0)
            brought = pane.buffer.prepend(await reader.read(begin, end - begin))
            size *= 4
        pane.grown(brought)
        self.tick()

    def go_to_end(self) -> None:
        """Go to the last line; after something was found far back, read the end anew."""
        self.pane.go(self.pane.count)
        if self._state.text != "live":
            self._work(self._follow(), "log")

    def choose(self, by: int) -> None:
        """Read another output."""
        if len(self._streams) > 1:
            self._chosen = (self._chosen + by) % len(self._streams)
            self._work(self._follow(), "log")

    def search(self, words: str, by: int) -> None:
        """Go to the next line that has these words; upwards also through what is not loaded yet."""
        pane = self.pane
        pane.words = words
        if not words:
            pane.sync()
            return
        found = pane.buffer.find(words, pane.index, by)
        if found is not None:
            pane.go(found)
        elif by < 0 and self._has_more():
            self._work(self._search_back(words), "search")
        else:
            pane.sync()
            self.console_app.say(f"{words} stands nowhere {'above' if by < 0 else 'below'}", "warn")

    async def _search_back(self, words: str) -> None:
        reader = self._reader
        if reader is None:
            return
        wanted, end = words.lower().encode(), self.pane.buffer.start
        while end > 0:
            begin = max(end - SEARCH_BYTES, 0)
            piece = await reader.read(begin, end - begin + len(wanted))
            at = piece.data.lower().rfind(wanted)
            if at >= 0:
                await self._show_around(reader, begin + at)
                return
            end = begin
            self.console_app.say(f"searching for {words}: {units.size(end)} left", "info")
        self.console_app.say(f"{words} stands nowhere above", "warn")

    async def _show_around(self, reader: LogReader, offset: int) -> None:
        """Show the lines around a byte; they are no longer those at the end."""
        self.workers.cancel_group(self, "log")
        begin = max(offset - EARLIER_BYTES, 0)
        self.pane.buffer.restart(await reader.read(begin, 2 * EARLIER_BYTES))
        self.pane.go(self.pane.buffer.at(offset))
        self.console_app.say("found further up; G goes back to the end", "info")
        self._say(Cell("not live", "warn"))

    def entered(self, sign: str, text: str) -> None:
        """Search."""
        super().entered(sign, text)
        if sign == "/":
            self.close_prompt()
            self.search(text, -1)

    # ---- what is shown

    def show(self) -> None:
        """Say which output this is, whether it is live, and how the training goes."""
        buffer = self.pane.buffer
        which = f"{self._chosen + 1}/{len(self._streams)} " if len(self._streams) > 1 else ""
        name = self._streams[self._chosen].name if self._streams else "log"
        size = f"  {units.size(buffer.end)}B" if buffer.end else ""
        self.header.place = (
            Cell(f"{'/'.join(self._key)}  ", "title"),
            Cell(f"{name} {which} ", "muted"),
            self._state,
            Cell(size, "muted"),
        )
        self.rule.title = training_line(self.console_app.view, self._training, self.size.width)
        self.rule.display = bool(self.rule.title)
        self.rule.sync()
        super().show()

    def picture(self) -> Iterator[str]:
        """Yield all lines that are loaded."""
        yield from self.pane.buffer.lines
        if self.pane.buffer.unfinished:
            yield self.pane.buffer.unfinished

    def clip(self) -> str:
        """Return the line under the cursor."""
        return self.pane.line(self.pane.index) if self.pane.count else ""
