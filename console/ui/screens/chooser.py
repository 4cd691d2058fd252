"""Choosing from a list: the columns of a table and their order, the outputs of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen

from console.model import LogStream
from console.render.cells import Cell, cell_width, fit
from console.render.tables import Table
from console.ui.actions import CHOOSER
from console.ui.keymap import key_of
from console.ui.panes import Caption, LinesPane, Row, Rule
from console.ui.screens.handlers import Motions

if TYPE_CHECKING:
    from console.ui.app import QuarterdeckApp


class Choosing:
    """What the keys do to every list besides moving in it."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser

    def act_mark(self, argument: str) -> None:
        """Choose what is under the cursor, or not."""
        self._chooser.toggle()

    def act_open(self, argument: str) -> None:
        """Take what is chosen."""
        self._chooser.take()

    def act_back(self, argument: str) -> None:
        """Leave everything as it was."""
        self._chooser.dismiss(None)

    def act_quit(self, argument: str) -> None:
        """Leave the list, not the console."""
        self._chooser.dismiss(None)


class Arranging:
    """What the keys do to the columns of a table beyond that."""

    def __init__(self, chooser: ColumnChooser) -> None:
        self._chooser = chooser

    def act_carry_down(self, argument: str) -> None:
        """Move the column down."""
        self._chooser.carry(1)

    def act_carry_up(self, argument: str) -> None:
        """Move the column up."""
        self._chooser.carry(-1)

    def act_reset(self, argument: str) -> None:
        """Take all columns, by the room."""
        self._chooser.dismiss(())


class Chooser(ModalScreen[tuple[Any, ...] | None]):
    """A list in a panel. Gives what is chosen; None when it is left."""

    AUTO_FOCUS = ""

    def __init__(self, title: str) -> None:
        super().__init__(classes="panel")
        self._title = title
        self.pane = LinesPane("choices", "surface")
        """What the keys for moving move."""
        self.pane.active = True
        self.handlers: tuple[object, ...] = (Choosing(self), Motions(self))

    @property
    def console_app(self) -> QuarterdeckApp:
        """The app, with its own type."""
        return cast("QuarterdeckApp", self.app)

    def compose(self) -> ComposeResult:
        """Stack title and list."""
        with Vertical(id="box"):
            yield Caption(self._title, self.keys())
            yield self.pane
            yield Rule()

    def keys(self) -> str:
        """Return what to press, in words."""
        raise NotImplementedError

    def rows(self) -> list[Row]:
        """Return the list as it stands."""
        raise NotImplementedError

    def toggle(self) -> None:
        """Choose what is under the cursor, or not."""
        raise NotImplementedError

    def take(self) -> None:
        """Give what is chosen."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Show the list."""
        self.pane.show(self.rows())

    def on_key(self, event: Key) -> None:
        """Do what the key means here."""
        event.stop()
        event.prevent_default()
        action = self.console_app.keymap.find(key_of(event.key, event.character), CHOOSER)
        for handler in self.handlers:
            method = None if action is None else getattr(handler, action.method, None)
            if method is not None:
                method("")
                return


class ColumnChooser(Chooser):
    """Gives the ids of the chosen columns; empty: by the room; None when it is left."""

    def __init__(self, table: Table[Any], chosen: Sequence[str] | None) -> None:
        super().__init__(f"columns of {table.title}")
        self._table = table
        ids = [column.id for column in table.columns]
        self._on = set(chosen or ids)
        self._order = [*chosen, *(name for name in ids if name not in chosen)] if chosen else ids
        self.handlers = (Arranging(self), *self.handlers)

    def keys(self) -> str:
        """See `Chooser`."""
        names = ("mark", "carry-down", "carry-up", "reset", "open", "back")
        mark, down, up, reset, take, leave = map(self.console_app.key_for, names)
        return f"{mark} shows, {down} {up} move, {reset} resets, {take} takes, {leave} leaves"

    def rows(self) -> list[Row]:
        """See `Chooser`."""
        rows = []
        for name in self._order:
            column = self._table.column(name)
            mark = "[x] " if name in self._on else "[ ] "
            rows.append(
                Row(
                    (
                        Cell(mark, "key" if name in self._on else "muted"),
                        Cell(fit(name, 14), "name" if name in self._on else "muted"),
                        Cell(column.help, "muted"),
                    )
                )
            )
        return rows

    def toggle(self) -> None:
        """Show the column under the cursor, or not."""
        self._on ^= {self._order[self.pane.index]}
        self.pane.show(self.rows())

    def carry(self, by: int) -> None:
        """Move the column under the cursor, and the cursor with it."""
        at = self.pane.index
        to = at + by
        if 0 <= to < len(self._order):
            self._order[at], self._order[to] = self._order[to], self._order[at]
            self.pane.move(by)
            self.pane.show(self.rows())

    def take(self) -> None:
        """Give what is chosen."""
        chosen = tuple(name for name in self._order if name in self._on)
        natural = tuple(column.id for column in self._table.columns)
        self.dismiss(() if chosen == natural else chosen or None)


class OutputChooser(Chooser):
    """Gives the places in the list of the outputs to read."""

    def __init__(self, streams: Sequence[LogStream], chosen: int) -> None:
        super().__init__("outputs of the job")
        self._streams = streams
        self._marked: set[int] = set()
        self.pane.index = chosen

    def keys(self) -> str:
        """See `Chooser`."""
        mark, take, leave = map(self.console_app.key_for, ("mark", "open", "back"))
        return f"{mark} marks for together, {take} reads, {leave} leaves"

    def rows(self) -> list[Row]:
        """See `Chooser`."""
        width = min(max(cell_width(stream.name) for stream in self._streams), 32)
        return [
            Row(
                (
                    Cell("[x] " if at in self._marked else "[ ] ", "key" if at in self._marked else "muted"),
                    Cell(fit(stream.name, width), "name"),
                    Cell(f"  {stream.path or stream.detail}", "muted"),
                )
            )
            for at, stream in enumerate(self._streams)
        ]

    def toggle(self) -> None:
        """Mark the output under the cursor, or not, and go on to the next."""
        self._marked ^= {self.pane.index}
        self.pane.show(self.rows())
        self.pane.move(1)

    def take(self) -> None:
        """Give what is chosen."""
        self.dismiss(tuple(sorted(self._marked)) or (self.pane.index,))
