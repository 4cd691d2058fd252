"""The console on screen: a list of what exists, and the clock that keeps it true."""

from __future__ import annotations

import asyncio
import gc
import locale
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from textual.app import App
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Event, Key, Paste
from textual.worker import Worker, WorkerState

from console.errors import ConfigError, QuarterdeckError, UsageError
from console.model import Attention
from console.render import themes
from console.render.cells import Cell
from console.render.glyphs import fitting
from console.render.tables import RowId
from console.render.view import View
from console.text import clean
from console.ui import theme as looks
from console.ui.acting import Acting
from console.ui.actions import ACTIONS, TABLE_SCREENS, Action, by_id
from console.ui.commands import Commands
from console.ui.doing import Doing, Going
from console.ui.driver import TerminalDriver
from console.ui.garbage import Garbage
from console.ui.keymap import Keymap
from console.ui.live import LiveSession, UiSettings
from console.ui.messages import Messages
from console.ui.running import Running
from console.ui.screens.base import BaseScreen
from console.ui.screens.fleet import FleetScreen
from console.ui.screens.listing import ListScreen
from console.ui.typeahead import TypeAhead

SESSION = "session"
"""The worker that starts it."""
TICK_S = 0.25
"""How often the screen looks for changes of the store."""
REST_S = 0.003
"""How long keys have the loop for themselves between two slices of work on the screen."""
PATIENCE = 8
"""Rests that one slice waits for keys: whoever keeps one pressed wants to see the numbers move too."""


class QuarterdeckApp(App[int]):
    """The console. `crash` is what ended it, when that was not foreseen; `refused` what kept it from starting."""

    CSS_PATH = Path(__file__).with_name("styles.tcss")
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = []

    def __init__(
        self,
        session: LiveSession,
        settings: UiSettings,
        screen: str = "fleet",
        theme_dir: Path | None = None,
        clock: Callable[[], float] = time.time,
        filter_text: str = "",
    ) -> None:
        # With NO_COLOR Textual would turn colours into greys, unless it takes the terminal's own: then into none.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.animation_level = "none"
        self.session = session
        self.settings = settings
        self.theme_dir = theme_dir
        self.clock = clock
        glyphs = fitting(settings.ascii, os.environ, _utf8())
        self.view = View(session.store, clock(), glyphs, session.simulated)
        self.actions: Mapping[str, Action] = by_id()
        self.keymap = Keymap(ACTIONS, settings.keymap)
        self.commands = Commands(self)
        self.command_history: list[str] = []
        self.messages = Messages()
        self.garbage = Garbage()
        self.typeahead = TypeAhead(self, super().on_event)
        self.paused = False
        self.refused: UsageError | ConfigError | None = None
        """What is wrong with the command line or the configuration, when only the start could find it out."""
        self._first = screen if screen in TABLE_SCREENS else "fleet"
        self._first_filter = filter_text
        self._lists: dict[str, ListScreen] = {}
        self._attention = Attention()
        self.runs = Running(self)
        self._handlers = (Going(self), Doing(self), self.runs)
        self.acting = Acting(self)
        self.styles_of_theme = looks.Styles(self._first_theme())
        for notice in self.keymap.notices:
            self.messages.notice(notice)

    # ---- life

    def get_driver_class(self) -> type[Driver]:
        """Return what speaks to the terminal; one that the environment names stays."""
        found = super().get_driver_class()
        return TerminalDriver if found is LinuxDriver else found

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the variables of styles.tcss that Textual does not know."""
        return dict(looks.VARIABLES)

    def get_default_screen(self) -> ListScreen:
        """Return the first screen."""
        return self.listing(self._first)

    def on_mount(self) -> None:
        """Begin: what is heavy starts after the first paint."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit, 128 + number, 128 + number)
        self.app_resume_signal.subscribe(self, lambda _app: self.refresh(layout=True))
        self.garbage.begin()
        self.run_worker(self.typeahead.run(), name="keys", group="keys")
        if self._first_filter:
            self.call_after_refresh(self.listing(self._first).set_filter, self._first_filter)
        self.call_after_refresh(self._begin)

    async def on_event(self, event: Event) -> None:
        """Put keys into their order; the rest goes its usual way."""
        if isinstance(event, Key | Paste):
            await self.typeahead.add(event)
        else:
            await super().on_event(event)

    def _begin(self) -> None:
        gc.enable()
        self.run_worker(self.session.start(), name=SESSION, group=SESSION, exit_on_error=False)
        self.set_interval(TICK_S, self._beat)

    async def on_unmount(self) -> None:
        """Close what the session opened."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
        self.garbage.end()
        await self.session.close()

    @property
    def crash(self) -> Exception | None:
        """What ended the console although nobody foresaw it."""
        return self._exception

    def _fatal_error(self) -> None:
        # Textual would print the traceback with all local values; the caller writes `crash` to a file instead.
        self._close_messages_no_wait()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what ended a worker of the app itself."""
        self.worker_changed(event.worker)

    def worker_changed(self, worker: Worker[Any]) -> None:
        """Say in one line what ended a worker; a mistake in the command line or the configuration ends the console."""
        error, name = worker.error, worker.name
        if worker.state is not WorkerState.ERROR or error is None:
            return
        starting = name == SESSION
        if starting and isinstance(error, UsageError | ConfigError):
            self.refused = error
            self.exit(return_code=error.exit_code)
            return
        if isinstance(error, QuarterdeckError):
            text = clean(error.in_one_line)
            self.messages.notice(f"{name} failed: {text}", "bad")
        else:
            kept = self.session.report(error, name)
            text = f"unforeseen {type(error).__name__}" + (f": see {kept}" if kept else "")
        if starting:
            self.view.failure = text

    # ---- themes

    def theme_names(self) -> list[str]:
        """Return the names of all themes."""
        return themes.names(self.theme_dir)

    def _first_theme(self) -> themes.Theme:
        wanted = looks.choose(self.settings.theme, os.environ, self.console.color_system)
        chosen, notice = looks.load(wanted, self.theme_dir)
        try:
            made = looks.textual_theme(chosen)
        except QuarterdeckError as error:
            notice = f"{error}; the theme {themes.DEFAULT} is used"
            chosen = themes.load(themes.DEFAULT)
            made = looks.textual_theme(chosen)
        if notice is not None:
            self.messages.notice(notice, "warn")
        self.register_theme(made)
        self.theme = made.name
        return chosen

    def set_theme(self, name: str) -> None:
        """Take another theme. ConfigError when it cannot be read or used."""
        chosen = themes.load(name, self.theme_dir)
        made = looks.textual_theme(chosen)
        self.register_theme(made)
        self.styles_of_theme = looks.Styles(chosen)
        self.theme = made.name
        self.call_after_refresh(self.repaint)

    def repaint(self) -> None:
        """Draw every screen anew."""
        for screen in self.screen_stack:
            if isinstance(screen, BaseScreen):
                screen.repaint()

    # ---- screens

    def listing(self, kind: str) -> ListScreen:
        """Return the screen of a table, made when it is first asked for."""
        found = self._lists.get(kind)
        if found is None:
            columns = self.settings.columns.get(kind)
            made = FleetScreen(columns) if kind == "fleet" else ListScreen(kind, columns)
            found = self._lists[kind] = made
            if kind != self._first:
                # It stays while another screen is on top: cursor, marks and filter are there when one comes back.
                self.install_screen(found, kind)
        return found

    @property
    def base(self) -> BaseScreen:
        """The screen on top, below palette and choosers."""
        screen = self._top()
        assert screen is not None, "there is one from the first paint to the end"
        return screen

    def _top(self) -> BaseScreen | None:
        """Return the screen on top, None when the console is closing."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, BaseScreen)), None)

    @property
    def kind(self) -> str:
        """The name of the screen on top in the registry of actions."""
        return self.base.kind

    def show(self, kind: str) -> None:
        """Go to the screen of a table, leaving any page."""
        screen = self.listing(kind)
        while len(self.screen_stack) > 1 and self.screen is not screen:
            self.pop_screen()
        if self.screen is not screen:
            self.push_screen(screen)

    def open(self, kind: str, row_id: RowId) -> None:
        """Open the page of one thing on top."""
        from console.ui.screens.attempt import AttemptScreen
        from console.ui.screens.explain import ExplainScreen
        from console.ui.screens.job import JobScreen
        from console.ui.screens.log import LogScreen
        from console.ui.screens.pages import NodeScreen

        if kind in ("node", "attempt"):
            self.push_screen(NodeScreen(row_id) if kind == "node" else AttemptScreen(row_id))
            return
        jobs: dict[str, Callable[[tuple[str, str]], BaseScreen]] = {
            "job": JobScreen,
            "explain": ExplainScreen,
            "log": LogScreen,
        }
        self.push_screen(jobs[kind]((row_id[0], row_id[1])))

    # ---- what happens

    def perform(self, action_id: str, argument: str = "") -> None:
        """Carry out an action; what cannot be done is said."""
        action = self.actions[action_id]
        if action.order and (why := self.acting.why_not(action.order)) is not None:
            self.say(why, "warn")
            return
        if action.asks and not argument:
            action, argument = self.actions["command"], f"{action.id} "
        screen = self.base
        self.messages.pressed()
        self.garbage.pressed()
        do = self._doer(action)
        if do is not None:
            try:
                do(argument)
            except QuarterdeckError as error:
                self.say(error.in_one_line, "bad")
        screen.show()

    def _doer(self, action: Action) -> Callable[[str], None] | None:
        """Return what carries an action out: the screen on top, else the console."""
        if action.order:
            return partial(self.acting.begin, action)
        for handler in (*self.base.handlers, *self._handlers):
            method: Callable[[str], None] | None = getattr(handler, action.method, None)
            if method is not None:
                return method
        return None

    def offered(self, screen: str) -> list[Action]:
        """Return the actions of a screen that something connected here can do."""
        able = {name for cluster in self.session.store.clusters for name in self.session.desk.able(cluster)}
        return [
            action
            for action in self.keymap.offered(screen)
            if (action.needs in able if action.needs else not action.order or self.acting.offers(action.order))
            and (not action.acts or self.runs.allowed)
        ]

    def chosen(self, action_id: str | None) -> None:
        """Carry out what the palette gave."""
        if action_id is not None:
            self.perform(action_id)

    def say(self, text: str, style: str = "info") -> None:
        """Show a message on the last line for a while."""
        self.messages.say(clean(text), style)
        self.base.status.sync()

    def key_for(self, action_id: str) -> str:
        """Return the first key of an action as people write it; empty when it has none."""
        return self.keymap.shown(self.actions[action_id])

    def column_names(self) -> list[str]:
        """Return the columns of the table that is shown; empty on other screens."""
        screen = self.base
        return [column.id for column in screen.model.table.columns] if isinstance(screen, ListScreen) else []

    def explain(self, line: Sequence[Cell] | None) -> None:
        """Show a line at the bottom as long as something is being typed."""
        self.messages.typing = tuple(line) if line is not None else None
        self.base.status.sync()

    def tick(self) -> None:
        """Show what changed, and tell the session what is looked at, at once."""
        for _ in self._steps():
            pass

    async def _beat(self) -> None:
        """Do what `tick` does, and let keys come in between."""
        for _ in self._steps():
            await self.rest()

    async def rest(self) -> None:
        """Leave the loop to others between two slices of work; while keys are under way, to them."""
        for _ in range(PATIENCE):
            await asyncio.sleep(REST_S)
            if not self.typeahead.busy:
                break

    def _steps(self) -> Iterator[None]:
        if not self.screen_stack:
            return  # it is closing, and the clock ticks once more
        self.view.now = self.clock()
        self.garbage.tick()
        self.messages.take(self.session.notices)
        screen = self._top()
        if screen is None or not screen.is_mounted:
            return
        for _ in screen.steps():
            yield
            if self._top() is not screen:
                # It was left, or another was opened, meanwhile.
                return
        attention = screen.attention()
        if attention != self._attention:
            self._attention = attention
            self.session.attend(attention)


def _utf8() -> bool:
    encoding = locale.getpreferredencoding(False) if not os.environ.get("LC_ALL") else os.environ["LC_ALL"]
    return "utf" in encoding.lower().replace("-", "") or "utf" in (locale.setlocale(locale.LC_CTYPE) or "").lower()
