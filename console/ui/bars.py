"""The lines above and below every screen: what this is and how fresh, where one is, and which keys there are."""

from __future__ import annotations

from collections.abc import Sequence

from textual.events import Click
from textual.strip import Strip

from console.model import SourceState
from console.render import units
from console.render.cells import Cell, Line, cell_width, fit
from console.render.header import SIMULATED, freshness, title_line, totals_lines
from console.ui.actions import TABLE_SCREENS, Action
from console.ui.canvas import Canvas
from console.ui.keymap import show_key

GAP = 2
PLACE, PLACE_OF_PAGE = 28, 44
"""Cells that are kept for the place in a list, and for what a page is about."""


def line_width(line: Sequence[Cell]) -> int:
    """Return the cells that a line takes."""
    return sum(cell_width(cell.text) for cell in line)


def spread(left: Sequence[Cell], right: Sequence[Cell], width: int, ellipsis: str) -> list[Cell]:
    """Return one line with one part at each end; the right one is cut first, and left out when it has no room."""
    room = width - line_width(left) - GAP
    taken = line_width(right)
    if taken > room:
        text = "".join(cell.text for cell in right)
        right = [Cell(fit(text, room, "left", ellipsis), "muted")] if room >= 8 else []
        taken = line_width(right)
    return [*left, Cell(" " * max(width - line_width(left) - taken, 0)), *right]


class HeaderBar(Canvas):
    """Title, totals of the fleet, and the screens with the place in the list on the right."""

    surface = "panel"

    def __init__(self, screen_kind: str) -> None:
        super().__init__(id="header")
        self._kind = screen_kind
        self.place: tuple[Cell, ...] = ()
        """What stands at the right of the screens: position, marks, filter, order."""
        self._tabs: list[tuple[int, int, str]] = []

    def draw(self, y: int) -> Strip:
        """Return a line: title, totals (as far as the height allows), screens."""
        app = self.console_app
        height, width = self.size.height, self.size.width
        inner = max(width - 2, 1)
        if y == height - 1 and height > 1:
            return self._padded(spread(self._screens(inner), self.place, inner, app.view.glyphs.ellipsis))
        if y == 0:
            return self._padded(self._title(inner))
        lines = totals_lines(app.view, app.view.store.totals, inner, max(height - 2, 0))
        return self._padded(lines[y - 1] if y - 1 < len(lines) else ())

    def _padded(self, line: Sequence[Cell]) -> Strip:
        return self.cells((Cell(" "), *line))

    def _title(self, width: int) -> Line:
        app = self.console_app
        if width >= 50:
            return title_line(app.view, width, paused=app.paused)
        simulated = (Cell(SIMULATED, "simulated"), Cell(" ")) if app.view.simulated else ()
        return (*simulated, freshness(app.view, paused=app.paused))

    def _screens(self, width: int) -> list[Cell]:
        """Return the screens with their keys; where that leaves too little room for the place, closer together, at
        last without the names of the others. It depends on width and screen only, so that nothing jumps."""
        app = self.console_app
        screens = [action for action in app.keymap.actions if action.id.startswith("screen-")]
        room = width - (PLACE if self._kind in TABLE_SCREENS else PLACE_OF_PAGE)
        forms = ((GAP, True), (1, True), (1, False))
        for gap, named in forms:
            parts = [self._screen(action, named or action.id == f"screen-{self._kind}") for action in screens]
            if sum(map(line_width, parts)) + gap * len(parts) <= room:
                break
        cells: list[Cell] = []
        self._tabs = []
        x = 1
        for action, tab in zip(screens, parts, strict=True):
            self._tabs.append((x, x + line_width(tab), action.id))
            cells += [*tab, Cell(" " * gap)]
            x += line_width(tab) + gap
        return cells[:-1]

    def _screen(self, action: Action, named: bool) -> list[Cell]:
        here = action.id == f"screen-{self._kind}"
        key = Cell(self.console_app.keymap.shown(action), "accent" if here else "key")
        return [key, Cell(f" {action.title}", "accent" if here else "label")] if named else [key]

    def on_click(self, event: Click) -> None:
        """Open the screen that is clicked on."""
        if event.y != self.size.height - 1:
            return
        for start, stop, action_id in self._tabs:
            if start <= event.x < stop:
                self.console_app.perform(action_id)


class StatusBar(Canvas):
    """The last line: a message while there is one, else the main keys; requests at the right."""

    surface = "panel"

    def __init__(self, screen_kind: str) -> None:
        super().__init__(id="status")
        self._kind = screen_kind
        self._keys: list[tuple[int, int, str]] = []

    def draw(self, y: int) -> Strip:
        """Return the line."""
        app = self.console_app
        width = max(self.size.width - 2, 1)
        message = app.messages.line
        if message is not None:
            self._keys = []
            return self.cells((Cell(" "), *message))
        right = self._requests()
        line = spread(self._footer(width - line_width(right) - GAP), right, width, app.view.glyphs.ellipsis)
        return self.cells((Cell(" "), *line))

    def _footer(self, width: int) -> list[Cell]:
        app = self.console_app
        idle = app.base.unavailable() if app.base.is_mounted else ()
        offered = [
            action
            for action in app.offered(self._kind)
            if action.footer and app.keymap.keys[action.id] and action.id not in idle
        ]
        kept = sorted(offered, key=_importance)
        room = width
        chosen: list[Action] = []
        for action in kept:
            size = cell_width(self._label(action)) + (GAP if chosen else 0)
            if size > room:
                break
            room -= size
            chosen.append(action)
        cells: list[Cell] = []
        self._keys = []
        x = 1
        for action in sorted(chosen, key=lambda action: action.footer):
            key = show_key(app.keymap.keys[action.id][0])
            parts = [Cell(key, "key"), Cell(f" {_word(action)}", "label")]
            self._keys.append((x, x + line_width(parts), action.id))
            cells += [*parts, Cell(" " * GAP)]
            x += line_width(parts) + GAP
        return cells[:-1]

    def _label(self, action: Action) -> str:
        return f"{show_key(self.console_app.keymap.keys[action.id][0])} {_word(action)}"

    def _requests(self) -> list[Cell]:
        """How much is asked of the schedulers, a minute: what each console costs them."""
        sources = self.console_app.view.store.sources.values()
        asked = [
            source.requests_per_minute
            for source in sources
            if source.node is None and source.state is not SourceState.UNSUPPORTED
        ]
        known = [rate for rate in asked if rate is not None]
        return [Cell(f"{units.rate(sum(known))} req/min", "muted")] if known else []

    def on_click(self, event: Click) -> None:
        """Do what is clicked on."""
        for start, stop, action_id in self._keys:
            if start <= event.x < stop:
                self.console_app.perform(action_id)


def _importance(action: Action) -> int:
    """Leave and help stay longest, then in the order of the footer."""
    return action.footer - 100 if action.footer >= 20 else action.footer


def _word(action: Action) -> str:
    return action.title.lower()
