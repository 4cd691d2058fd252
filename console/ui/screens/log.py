"""The output of one job: its end, live, and as much before it as somebody asks for."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator
from functools import partial
from typing import Any

from textual.widget import Widget

from console.errors import QuarterdeckError
from console.logs import ranks
from console.logs.merged import MergedLog, open_merged
from console.model import LogStream
from console.render import units
from console.render.cells import Cell
from console.render.training import training_line
from console.ui.live import LogReader
from console.ui.logpane import LogPane
from console.ui.panes import Rule
from console.ui.screens.base import BaseScreen
from console.ui.screens.following import Following
from console.ui.screens.handlers import Motions
from console.ui.screens.logkeys import Reading
from console.ui.screens.logplaces import Places

TAIL_BYTES = 1 << 17


class LogScreen(BaseScreen):
    """One output of a job at a time, or those of several ranks together."""

    kind = "log"

    def __init__(self, key: tuple[str, str]) -> None:
        super().__init__()
        self.pane = LogPane()
        self.rule = Rule()
        self.history: list[str] = []
        self.times: list[str] = []
        self.following = Following(self.pane, self.tick, lambda text: self.console_app.say(text, "warn"))
        self._key = key
        self._streams: tuple[LogStream, ...] = ()
        self._chosen = 0
        self._within: list[int] = []
        self._together: tuple[range, ...] | None = None
        """Ranks whose outputs are read together, empty for all; None: one output."""
        self._picked: tuple[LogStream, ...] = ()
        """Those that were chosen from the list to be read together."""
        self.reader: LogReader | None = None
        self.places = Places(self)
        self.handlers = (Reading(self), Motions(self))

    def body(self) -> Iterable[Widget]:
        """Yield the lines, and under them how the training goes where they tell."""
        yield self.pane
        self.rule.display = False
        yield self.rule

    def on_mount(self) -> None:
        """Ask which outputs there are, and read the first."""
        self.work(self.follow(), "log")

    async def on_unmount(self) -> None:
        """Let go of the output."""
        if self.reader is not None:
            await self.reader.close()

    # ---- reading

    def work(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Run something that reads; what ends it is said."""
        self.run_worker(self._told(work, group), name=f"the {group}", group=group, exclusive=True, exit_on_error=False)

    async def _told(self, work: Coroutine[Any, Any, None], group: str) -> None:
        try:
            await work
        except QuarterdeckError as error:
            if group == "log":
                self.following.say(Cell(error.what, "bad"))
            self.console_app.say(f"{error}. {error.hint}" if error.hint else str(error), "bad")

    async def follow(self) -> None:
        """Show the end of the chosen output, and what follows as it is written."""
        if not self._streams:
            self._streams = await self.console_app.session.desk.log_streams(self._key)
        if not self._streams:
            self.following.say(Cell("nothing is written yet", "muted"))
            return
        old, self.reader = self.reader, None
        if old is not None:
            await old.close()
        reader = self.reader = await self._opened()
        if isinstance(reader, MergedLog):
            self._say_what_is_missing(reader)
        await self.following.from_end(reader, TAIL_BYTES)

    async def _opened(self) -> LogReader:
        desk = self.console_app.session.desk
        if self._together is None:
            return await desk.open_log(self._key, self._streams[self._chosen])
        return await open_merged(partial(desk.open_log, self._key), self._side_by_side())

    def _side_by_side(self) -> list[tuple[int, LogStream]]:
        if self._picked:
            return ranks.numbered(self._picked, every=True)
        chosen = self._together or ()
        return [pair for pair in ranks.numbered(self._streams) if not chosen or ranks.wanted(pair[0], chosen)]

    def _say_what_is_missing(self, reader: MergedLog) -> None:
        words = [f"{number}: {error.what}" for number, error in sorted(reader.failures.items())]
        if reader.left_out:
            words.append(f"{reader.left_out} more are not read: `ranks 64-127` reads others")
        if words:
            self.console_app.say("; ".join(words[:4]), "warn")

    # ---- which output

    def choose_next(self) -> None:
        """Read the next output; of one that several ranks write, the next rank."""
        if len(self._streams) > 1:
            self.choose((self._chosen + (self._together is None)) % len(self._streams))
        elif found := self._ranks_within():
            now = self.pane.buffer.only
            at = found.index(now[0].start) + 1 if len(now) == 1 and now[0].start in found else 0
            self._only(() if at == len(found) else (range(found[at], found[at] + 1),))

    def choose(self, at: int) -> None:
        """Read one output alone."""
        self._chosen, self._together, self._picked = at, None, ()
        self.pane.buffer.only = ()
        self.work(self.follow(), "log")

    def choose_from_list(self) -> None:
        """Choose from a list which outputs to read."""
        from console.ui.screens.chooser import OutputChooser

        if self._streams:
            self.app.push_screen(OutputChooser(self._streams, self._chosen), self._chose)

    def _chose(self, chosen: tuple[int, ...] | None) -> None:
        if chosen and len(chosen) == 1:
            self.choose(chosen[0])
        elif chosen:
            self._picked, self._together = tuple(self._streams[at] for at in chosen), ()
            self.work(self.follow(), "log")

    def read_ranks(self, chosen: tuple[range, ...] | None) -> None:
        """Read these ranks together, empty: all; None: all if it is one now, else the one under the cursor."""
        here = self.pane.buffer.shown(self.pane.index).rank
        if len(self._streams) > 1:
            if chosen is None and self._together is not None:
                at = [self._streams.index(stream) for number, stream in self._side_by_side() if number == here]
                self.choose(at[0] if at else self._chosen)
                return
            self._together, self._picked = chosen or (), ()
            self.work(self.follow(), "log")
        elif self.pane.buffer.form is not None:
            one = () if here is None or self.pane.buffer.only else (range(here, here + 1),)
            self._only(one if chosen is None else chosen)
        else:
            self.console_app.say("this is the only output, and its lines do not say which rank wrote them", "warn")

    def _ranks_within(self) -> list[int]:
        buffer = self.pane.buffer
        if not buffer.only:
            self._within = buffer.ranks() if buffer.form is not None else []
        return self._within

    def _only(self, chosen: tuple[range, ...]) -> None:
        """Hold only the lines of these ranks."""
        self._ranks_within()
        self.pane.buffer.only = chosen
        self.work(self.follow(), "log")

    # ---- what is typed and shown

    def entered(self, sign: str, text: str) -> None:
        """Search, or go to a time."""
        super().entered(sign, text)
        if sign == "/":
            self.close_prompt()
            self.places.search(text, -1)
        elif sign == "@":
            self.close_prompt()
            if text:
                self.console_app.commands.run(f"time {text}")

    def show(self) -> None:
        """Say which output this is, whether it is live, and how the training goes."""
        buffer = self.pane.buffer
        size = f"  {units.size(buffer.end)}B" if buffer.end and self._together is None else ""
        self.header.place = (
            Cell(f"{'/'.join(self._key)}  ", "title"),
            self.following.state,
            Cell(f"  {self._which()}{size}", "muted"),
        )
        self.rule.title = training_line(self.console_app.view, self.following.training, self.size.width)
        self.rule.display = bool(self.rule.title)
        self.rule.sync()
        super().show()

    def _which(self) -> str:
        if not self._streams:
            return "log"
        if isinstance(self.reader, MergedLog) and self._together is not None:
            return f"ranks {ranks.folded(self.reader.numbers)}"
        which = f" {self._chosen + 1}/{len(self._streams)}" if len(self._streams) > 1 else ""
        only = self.pane.buffer.only
        of = f" rank {ranks.said(only)}" if only else ""
        return f"{self._streams[self._chosen].name}{which}{of}"

    def picture(self) -> Iterator[str]:
        """Yield all lines that are loaded."""
        for at in range(self.pane.count):
            yield self.pane.line_with_rank(at)

    def clip(self) -> str:
        """Return the line under the cursor."""
        return self.pane.line(self.pane.index) if self.pane.count else ""
