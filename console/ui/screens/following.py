"""The end of one output in a pane, live, and what its lines tell of the training."""

from __future__ import annotations

from collections.abc import Callable

from console.logs.merged import MergedLog
from console.logs.ranks import MERGED
from console.model import LogChunk
from console.render.cells import Cell
from console.render.log import is_binary
from console.render.training import Training
from console.ui.live import LogReader
from console.ui.logpane import LogPane


class Following:
    """Brings what a reader gives into a pane. `told` is called when there is something new to show."""

    def __init__(self, pane: LogPane, told: Callable[[], None], notice: Callable[[str], None]) -> None:
        self.pane = pane
        self.training = Training()
        self.live = True
        self.state = Cell("asking ...", "muted")
        self._speaker: int | None = None
        """The rank whose lines tell of the training where several are read; None: all do."""
        self._told = told
        self._notice = notice

    def say(self, state: Cell) -> None:
        """Say how the reading is going."""
        self.state = state
        self._told()

    async def from_end(self, reader: LogReader, limit_bytes: int) -> None:
        """Show the end of an output, and what follows as it is written. Raises SourceError."""
        chunk = await reader.tail(limit_bytes)
        self.pane.buffer.restart(chunk, MERGED if isinstance(reader, MergedLog) else None)
        self.pane.go(self.pane.count)
        self._learn(0, anew=True)
        if is_binary(chunk.data):
            self._notice("this is no text: what can be shown of it is shown")
        await self.go_along(reader, chunk)

    async def go_along(self, reader: LogReader, chunk: LogChunk) -> None:
        """Show what follows a piece as it is written. Raises SourceError."""
        self.live = True
        self.say(Cell("live", "ok"))
        async for piece in reader.follow(chunk):
            self._take(piece)
        self.say(Cell("ended", "muted"))

    def _take(self, piece: LogChunk) -> None:
        pane = self.pane
        at_end = pane.at_end
        if piece.anew:
            pane.buffer.restart(piece)
            self._learn(0, anew=True)
            self._notice("the output begins anew")
        else:
            before = len(pane.buffer.lines)
            dropped = pane.buffer.append(piece)
            pane.grown(-dropped)
            self._learn(max(before - dropped, 0))
        if at_end or piece.anew:
            pane.go(pane.count)
        self._told()

    def _learn(self, first: int, *, anew: bool = False) -> None:
        """Take what the lines from `first` on say of the training; of several ranks the lowest speaks for all."""
        buffer = self.pane.buffer
        if anew:
            self.training = Training()
            self._speaker = next(iter(buffer.ranks()), None)
        for at in range(first, len(buffer.lines)):
            shown = buffer.shown(at)
            if shown.rank is None or self._speaker is None or shown.rank == self._speaker:
                self.training.take(shown.text)
