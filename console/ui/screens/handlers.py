"""What the actions of a screen do, by subject. A method `act_ID(argument)` is found by the id of its action."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from console.errors import UsageError

if TYPE_CHECKING:
    from console.ui.screens.listing import ListScreen


class Pane(Protocol):
    """What has a cursor that moves over rows."""

    @property
    def index(self) -> int:
        """Where the cursor is."""

    @property
    def count(self) -> int:
        """How many rows there are."""

    @property
    def page(self) -> int:
        """How many are on screen."""

    def move(self, by: int) -> None:
        """Move the cursor by rows."""

    def go(self, index: int) -> None:
        """Move the cursor to a row."""

    def sideways(self, by: int) -> None:
        """Move or scroll sideways."""


class HasPane(Protocol):
    """A screen of which one pane has the keys."""

    @property
    def pane(self) -> Pane:
        """That pane."""


class Motions:
    """Moving about."""

    def __init__(self, screen: HasPane) -> None:
        self._screen = screen

    def act_down(self, argument: str) -> None:
        """One row down."""
        self._screen.pane.move(1)

    def act_up(self, argument: str) -> None:
        """One row up."""
        self._screen.pane.move(-1)

    def act_left(self, argument: str) -> None:
        """To the left."""
        self._screen.pane.sideways(-1)

    def act_right(self, argument: str) -> None:
        """To the right."""
        self._screen.pane.sideways(1)

    def act_top(self, argument: str) -> None:
        """To the first row."""
        self._screen.pane.go(0)

    def act_bottom(self, argument: str) -> None:
        """To the last row."""
        self._screen.pane.go(max(self._screen.pane.count - 1, 0))

    def act_half_down(self, argument: str) -> None:
        """Half a page down."""
        self._screen.pane.move(max(self._screen.pane.page // 2, 1))

    def act_half_up(self, argument: str) -> None:
        """Half a page up."""
        self._screen.pane.move(-max(self._screen.pane.page // 2, 1))

    def act_page_down(self, argument: str) -> None:
        """A page down."""
        self._screen.pane.move(max(self._screen.pane.page - 1, 1))

    def act_page_up(self, argument: str) -> None:
        """A page up."""
        self._screen.pane.move(-max(self._screen.pane.page - 1, 1))


class Marking:
    """Marks, and what is taken along."""

    def __init__(self, screen: ListScreen) -> None:
        self._screen = screen

    def act_mark(self, argument: str) -> None:
        """Mark the row, or the open range."""
        self._screen.table.toggle_mark()

    def act_mark_range(self, argument: str) -> None:
        """Begin a range, or mark it."""
        self._screen.table.toggle_range()

    def act_mark_all(self, argument: str) -> None:
        """Mark all that is shown, or nothing."""
        self._screen.table.toggle_all()

    def act_back(self, argument: str) -> None:
        """Give up one thing after the other: range, zoom, details, filter, marks."""
        screen = self._screen
        table = screen.table
        if table.range_start is not None:
            table.range_start = None
            table.sync()
        elif screen.zoomed:
            screen.zoomed = False
            screen.rearrange()
        elif screen.in_details:
            screen.in_details = False
            screen.rearrange()
        elif screen.filter_text:
            screen.set_filter("")
        elif table.marks:
            table.clear_marks()


class Arranging:
    """Order, columns and panes."""

    def __init__(self, screen: ListScreen) -> None:
        self._screen = screen

    def act_sort_left(self, argument: str) -> None:
        """Sort by the column on the left."""
        self._step(-1)

    def act_sort_right(self, argument: str) -> None:
        """Sort by the column on the right."""
        self._step(1)

    def _step(self, by: int) -> None:
        screen = self._screen
        columns = [place.column.id for place in screen.table.placed]
        current = screen.model.column.id
        at = columns.index(current) if current in columns else -by
        if columns:
            screen.sort_by(columns[(at + by) % len(columns)])

    def act_sort_reverse(self, argument: str) -> None:
        """Turn the order round."""
        self._screen.sort(self._screen.model.column, not self._screen.model.descending)

    def act_sort(self, argument: str) -> None:
        """Sort by a column; a `-` in front or `desc` behind it: from the greatest. UsageError."""
        words = argument.split()
        if not words:
            raise UsageError("no column is named", "sort", f"columns: {self._names()}")
        name = words[0].lstrip("-+")
        self._screen.sort_by(name)
        if words[0][0] in "-+" or words[1:] in (["desc"], ["asc"]):
            descending = words[0].startswith("-") or words[1:] == ["desc"]
            self._screen.sort(self._screen.model.column, descending)

    def _names(self) -> str:
        return ", ".join(column.id for column in self._screen.model.table.columns)

    def act_columns(self, argument: str) -> None:
        """Show these columns (`auto`: by the room); without names, choose from a list. UsageError."""
        screen = self._screen
        names = argument.replace(",", " ").split()
        if not names:
            from console.ui.screens.chooser import ColumnChooser

            screen.app.push_screen(ColumnChooser(screen.model.table, screen.table.chosen), screen.set_columns)
        elif names == ["auto"]:
            screen.set_columns(())
        else:
            screen.set_columns(tuple(screen.model.table.column(name).id for name in names))

    def act_details(self, argument: str) -> None:
        """Show or hide the details."""
        screen = self._screen
        screen.zoomed = False
        screen.wants_details = not screen.details_open
        screen.in_details = False
        screen.rearrange()

    def act_pane(self, argument: str) -> None:
        """Give the keys to the details, opening them if need be, or back to the table."""
        screen = self._screen
        if not screen.details_open:
            screen.wants_details = True
            screen.in_details = True
        else:
            screen.in_details = not screen.in_details
        screen.rearrange()

    def act_zoom(self, argument: str) -> None:
        """Show the pane that has the keys alone, or all panes."""
        self._screen.zoomed = not self._screen.zoomed
        self._screen.rearrange()


class Filtering:
    """The filter line."""

    def __init__(self, screen: ListScreen) -> None:
        self._screen = screen

    def act_filter(self, argument: str) -> None:
        """Open the filter line, or filter at once."""
        screen = self._screen
        if argument:
            screen.set_filter(argument)
            if screen.filter_error is not None:
                raise screen.filter_error
            return
        from console.ui.prompt import Prompt

        screen.ask(Prompt("/", screen.filter_text, screen.filter_history))
