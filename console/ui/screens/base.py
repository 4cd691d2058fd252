"""What all screens share: header, status line, keys, the prompt, and room that may become too small."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.events import Key, Resize
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

from console.model import Attempt, Attention
from console.render.tables import RowId
from console.ui.bars import HeaderBar, StatusBar
from console.ui.canvas import Canvas
from console.ui.compositor import NarrowCompositor
from console.ui.keymap import key_of
from console.ui.panes import TooSmall

if TYPE_CHECKING:
    from console.ui.app import QuarterdeckApp
    from console.ui.prompt import Prompt

LEAST_WIDTH, LEAST_HEIGHT = 40, 8


class BaseScreen(Screen[None]):
    """Header, body and status line. Actions are methods `act_…(argument)`; what is missing here the app does."""

    AUTO_FOCUS = ""
    BINDINGS = []
    kind = ""
    """Its name in the registry of actions."""
    handlers: tuple[object, ...] = ()
    """What carries out its own actions; the rest the app does."""

    @property
    def console_app(self) -> QuarterdeckApp:
        """The app, with its own type."""
        return cast("QuarterdeckApp", self.app)

    def __init__(self, kind: str = "") -> None:
        super().__init__()
        self._compositor = NarrowCompositor()
        self.kind = kind or self.kind
        self.header = HeaderBar(self.kind)
        self.status = StatusBar(self.kind)
        self.prompt: Prompt | None = None
        """The open line of input."""
        self._answered: Callable[[str], None] | None = None
        """Who waits for what is entered into it; None: the screen."""

    def compose(self) -> ComposeResult:
        """Stack header, body and status line."""
        yield TooSmall(id="too-small")
        yield self.header
        yield from self.body()
        yield self.status

    def body(self) -> Iterable[Widget]:
        """Yield what stands between header and status line."""
        return ()

    def on_resize(self, event: Resize) -> None:
        """Give the header as many lines as there is room for."""
        width, height = event.size
        self.set_class(width < LEAST_WIDTH or height < LEAST_HEIGHT, "-too-small")
        self.header.styles.height = 4 if height >= 30 and width < 120 else 3 if height >= 14 else 2
        self.share_room(width, height)

    def share_room(self, width: int, height: int) -> None:
        """Give the panes of the body their sizes."""

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Tell the app what ended a worker: the message comes to the node that runs it, and goes no further."""
        self.console_app.worker_changed(event.worker)

    # ---- keys

    def on_key(self, event: Key) -> None:
        """Do what the key means on this screen."""
        if self.prompt is not None:
            return
        action = self.console_app.keymap.find(key_of(event.key, event.character), self.kind)
        if action is not None:
            event.stop()
            event.prevent_default()
            self.console_app.perform(action.id)

    def ask(self, prompt: Prompt, answered: Callable[[str], None] | None = None) -> None:
        """Open a line of input above the status line; what is entered goes to `answered`, else to `entered`."""
        if self.prompt is None:
            self.prompt, self._answered = prompt, answered
            self.mount(prompt, before=self.status)

    def close_prompt(self) -> None:
        """Close the line of input."""
        prompt, self.prompt, self._answered = self.prompt, None, None
        if prompt is not None:
            self.set_focus(None)
            prompt.remove()

    # Textual calls the handlers of every class, not only the last one: what a screen does otherwise stands in methods.

    def on_prompt_entered(self, event: Prompt.Entered) -> None:
        """Take what was entered."""
        if self._answered is None:
            self.entered(event.sign, event.text)
            return
        answered = self._answered
        self.close_prompt()
        answered(event.text)

    def entered(self, sign: str, text: str) -> None:
        """Carry out a command."""
        if sign == ":":
            self.close_prompt()
            self.console_app.explain(None)
            if text:
                self.console_app.commands.run(text)

    def on_prompt_typed(self, event: Prompt.Typed) -> None:
        """Take what is being typed."""
        if self.prompt is not None:
            self.typed(event.sign, event.text)

    def typed(self, sign: str, text: str) -> None:
        """Say what the command does."""
        if sign == ":":
            self.console_app.explain(self.console_app.commands.explain(text))

    def on_prompt_left(self, event: Prompt.Left) -> None:
        """Close the line."""
        self.left(event.sign)

    def left(self, sign: str) -> None:
        """Give up the line."""
        self.console_app.explain(None)
        self.close_prompt()

    # ---- what is shown

    def steps(self) -> Iterator[None]:
        """Take what changed and show it, a few milliseconds at a time; begun a few times a second while on top."""
        self.show()
        yield

    def tick(self) -> None:
        """Take what changed and show it, at once."""
        for _ in self.steps():
            pass

    def show(self) -> None:
        """Show what an action did: nothing else, so that the next key is not waited for."""
        self.header.sync()
        self.status.sync()

    def repaint(self) -> None:
        """Draw everything anew: another theme."""
        for canvas in self.query(Canvas):
            canvas.redraw()

    def job(self) -> tuple[str, str] | None:
        """Return (cluster, id) of the job that this is about, or that is under the cursor."""
        return None

    def meant_nodes(self) -> Sequence[str]:
        """Return the keys of the nodes that an action would be about: marked, else under the cursor."""
        return ()

    def meant_jobs(self) -> Sequence[tuple[str, str]]:
        """Return the jobs that an action would be about: marked, else under the cursor."""
        job = self.job()
        return () if job is None else (job,)

    def meant_attempt(self) -> Attempt | None:
        """Return the attempt of the journal that this is about, or that is under the cursor."""
        return None

    def unavailable(self) -> Collection[str]:
        """Return the actions that mean nothing here at the moment: the footer does not offer them."""
        return () if self.meant_attempt() is not None else ("undo",)

    def attention(self) -> Attention:
        """Return what is on screen, marked and selected."""
        return Attention()

    def target(self) -> tuple[str, RowId] | None:
        """Return (page, id) of what is under the cursor, None when nothing opens there."""
        return None

    def picture(self) -> Iterator[str]:
        """Yield what is shown as lines of text, for a file; there may be a hundred thousand."""
        yield from ()

    def clip(self) -> str:
        """Return what is marked, else what is under the cursor, for the clipboard."""
        return ""

    def on_screen_resume(self) -> None:
        """Catch up with what changed meanwhile."""
        self.call_after_refresh(self.tick)
