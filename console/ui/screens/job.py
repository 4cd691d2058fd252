"""The Job screen: what is known of one job, and the end of its output under it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.widget import Widget

from console.errors import QuarterdeckError
from console.model import Attention, Explanation
from console.render.cells import Cell
from console.render.job_page import job_sections
from console.render.lines import Section
from console.render.training import training_line
from console.ui.live import LogReader
from console.ui.logpane import LogPane
from console.ui.panes import LinesPane, Rule
from console.ui.screens.following import Following
from console.ui.screens.pages import PageScreen

TAIL_BYTES = 1 << 16
LOG_SHARE = 3
"""One of so many lines of the screen is for the output."""
LEAST_LOG = 5


class Panes:
    """What only this screen does."""

    def __init__(self, screen: JobScreen) -> None:
        self._screen = screen

    def act_pane(self, argument: str) -> None:
        """Give the keys to the output, or back to the page."""
        self._screen.turn()

    def act_zoom(self, argument: str) -> None:
        """Show the pane that has the keys alone, or both."""
        self._screen.zoomed = not self._screen.zoomed
        self._screen.rearrange()

    def act_back(self, argument: str) -> None:
        """Give up one thing after the other: zoom, the output, the page."""
        screen = self._screen
        if screen.zoomed:
            self.act_zoom("")
        elif screen.output.active:
            screen.turn()
        else:
            screen.app.pop_screen()


class JobScreen(PageScreen):
    """One job. Its backend is asked for its story when the screen opens, and when its state changes."""

    kind = "job"

    def __init__(self, key: tuple[str, str]) -> None:
        super().__init__(key)
        self._key = key
        self.output = LogPane("output")
        self.output.active = False
        self.rule = Rule()
        self.zoomed = False
        self._following = Following(self.output, self.tick, self._notice)
        self._reader: LogReader | None = None
        self._found: Explanation | None = None
        self._error: QuarterdeckError | None = None
        self._asked_in: str | None = None
        """The state in which its backend was asked why."""
        self.handlers = (Panes(self), *self.handlers)

    def body(self) -> Iterable[Widget]:
        """Yield the page, and under a rule the end of the output."""
        yield from super().body()
        yield self.rule
        yield self.output

    def on_mount(self) -> None:
        """Begin to read the output, where the backend can."""
        self.share_room(*self.size)
        if "log" in self.console_app.session.desk.able(self._key[0]):
            self.run_worker(self._read(), name="the output", group="log", exit_on_error=False)
        else:
            self._following.say(Cell("this cluster's backend does not give the output of jobs", "muted"))

    async def on_unmount(self) -> None:
        """Let go of the output."""
        if self._reader is not None:
            await self._reader.close()

    def job(self) -> tuple[str, str]:
        """Return the job that it is about."""
        return self._key

    # ---- panes

    @property
    def pane(self) -> LinesPane:
        """What the keys for moving move."""
        return self.output if self.output.active else self.lines

    def turn(self) -> None:
        """Give the keys to the other pane."""
        self.output.active = not self.output.active
        self.lines.active = not self.output.active
        self.rearrange()

    def rearrange(self) -> None:
        """Share the room again."""
        self.share_room(*self.size)
        self.refresh(layout=True)
        self.call_after_refresh(self.repaint)

    def share_room(self, width: int, height: int) -> None:
        """Give the output its part of the height."""
        alone = self.zoomed
        self.lines.display = not (alone and self.output.active)
        shown = not (alone and self.lines.active)
        self.rule.display = shown
        self.output.display = shown and self._has_output
        self.output.styles.height = "1fr" if alone else max(height // LOG_SHARE - 2, LEAST_LOG)

    @property
    def _has_output(self) -> bool:
        return self.output.count > 0 or self.output.active

    # ---- what its backend says

    async def _read(self) -> None:
        desk = self.console_app.session.desk
        try:
            streams = await desk.log_streams(self._key)
            if not streams:
                self._following.say(Cell("nothing is written yet", "muted"))
                return
            self._reader = await desk.open_log(self._key, streams[0])
            await self._following.from_end(self._reader, TAIL_BYTES)
        except QuarterdeckError as error:
            self._following.say(Cell(error.in_one_line, "warn"))

    def _ask_why(self) -> None:
        """Ask for its story, unless that was asked already while the job was in this state."""
        job = self.console_app.view.store.jobs.get(self._key)
        if job is None or job.state.value == self._asked_in:
            return
        self._asked_in = job.state.value
        if "explain" in self.console_app.session.desk.able(self._key[0]):
            self.run_worker(self._ask(), name="asking why", group="explain", exclusive=True, exit_on_error=False)

    async def _ask(self) -> None:
        self._error = None
        try:
            self._found = await self.console_app.session.desk.explain(self._key)
        except QuarterdeckError as error:
            self._error = error
        self.tick()

    def _notice(self, text: str) -> None:
        self.console_app.say(text, "warn")

    # ---- what is shown

    def sections(self, width: int) -> Sequence[Section]:
        """Return what is known of the job."""
        self._ask_why()
        return job_sections(self.console_app.view, self._key, width, self._found, self._error)

    def show(self) -> None:
        """Show how the output is doing, and how the training goes where its lines tell."""
        state = self._following.state
        told = training_line(self.console_app.view, self._following.training, self.size.width - 20)
        self.rule.title = (Cell("output ", "title"), state, Cell("  "), *told)
        self.rule.sync()
        if self._has_output is not self.output.display and not self.zoomed:
            self.rearrange()
        super().show()

    def attention(self) -> Attention:
        """Its nodes are looked at."""
        store = self.console_app.view.store
        job = store.jobs.get(self._key)
        names = () if job is None else job.node_names
        return Attention(visible=tuple(store.key(job.cluster, name) for name in names) if job is not None else ())

    def clip(self) -> str:
        """Return the line under the cursor."""
        return self.output.line(self.output.index) if self.output.active and self.output.count else super().clip()
