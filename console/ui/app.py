"""The console on screen: a list of what exists, and the clock that keeps it true."""

from __future__ import annotations

import locale
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from textual.app import App
from textual.screen import Screen

from console.errors import QuarterdeckError
from console.model import Attention
from console.render import themes
from console.render.cells import Cell
from console.render.glyphs import ASCII, UNICODE
from console.render.tables import TABLES
from console.render.view import View
from console.ui import theme as looks
from console.ui.actions import ACTIONS, TABLE_SCREENS, by_id
from console.ui.commands import Commands
from console.ui.keymap import Keymap
from console.ui.live import LiveSession, UiSettings
from console.ui.screens.base import BaseScreen
from console.ui.screens.fleet import FleetScreen
from console.ui.screens.listing import ListScreen
from console.ui.wide import Doing, Going

TICK_S = 0.25
"""How often the screen looks for changes of the store."""
MESSAGE_S = 6.0


class QuarterdeckApp(App[int]):
    """The console. `crash` holds what ended it, when that was not foreseen."""

    CSS_PATH = "styles.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = []  # noqa: RUF012 - the type is Textual's

    def __init__(
        self,
        session: LiveSession,
        settings: UiSettings,
        screen: str = "fleet",
        theme_dir: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.animation_level = "none"
        self.session = session
        self.settings = settings
        self.theme_dir = theme_dir
        self.clock = clock
        plain = settings.ascii if settings.ascii is not None else not _utf8()
        self.view = View(session.store, clock(), ASCII if plain else UNICODE, session.simulated)
        self.keymap = Keymap(ACTIONS, settings.keymap)
        self.commands = Commands(self)
        self.command_history: list[str] = []
        self.paused = False
        self.message: tuple[str, str] | None = None
        self.quiet: tuple[Cell, ...] | None = None
        self.notices: list[str] = []
        self._first = screen if screen in TABLE_SCREENS else "fleet"
        self._message_until = 0.0
        self._waiting: list[tuple[str, str]] = []
        self._attention = Attention()
        self._seen_notices = 0
        self._handlers = (Going(self), Doing(self))
        self.styles_of_theme = self._start_theme()
