"""What the actions of the log screen do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.logs import ranks, stamps
from console.ui.prompt import Prompt

if TYPE_CHECKING:
    from console.ui.screens.log import LogScreen


class Reading:
    """What only the log screen does; what it does not do here, `Motions` does."""

    def __init__(self, screen: LogScreen) -> None:
        self._screen = screen

    def act_top(self, argument: str) -> None:
        """To the first line that is loaded; what stands before it comes."""
        self._screen.places.go_up(self._screen.pane.count)

    def act_up(self, argument: str) -> None:
        """One line up."""
        self._screen.places.go_up(1)

    def act_page_up(self, argument: str) -> None:
        """A page up."""
        self._screen.places.go_up(max(self._screen.pane.page - 1, 1))

    def act_half_up(self, argument: str) -> None:
        """Half a page up."""
        self._screen.places.go_up(max(self._screen.pane.page // 2, 1))

    def act_down(self, argument: str) -> None:
        """One line down."""
        self._screen.places.go_down(1)

    def act_page_down(self, argument: str) -> None:
        """A page down."""
        self._screen.places.go_down(max(self._screen.pane.page - 1, 1))

    def act_half_down(self, argument: str) -> None:
        """Half a page down."""
        self._screen.places.go_down(max(self._screen.pane.page // 2, 1))

    def act_bottom(self, argument: str) -> None:
        """To the end, and go along with it."""
        self._screen.places.go_to_end()

    def act_find(self, argument: str) -> None:
        """Search upwards."""
        screen = self._screen
        if argument:
            screen.places.search(argument, -1)
        else:
            screen.ask(Prompt("/", screen.pane.words, screen.history))

    def act_find_up(self, argument: str) -> None:
        """Search on, upwards."""
        self._screen.places.search(self._screen.pane.words, -1)

    def act_find_down(self, argument: str) -> None:
        """Search on, downwards."""
        self._screen.places.search(self._screen.pane.words, 1)

    def act_time(self, argument: str) -> None:
        """Go to a time. UsageError."""
        screen = self._screen
        if argument:
            screen.places.go_to_time(stamps.moment(argument))
        else:
            screen.ask(Prompt("@", "", screen.times))

    def act_ranks(self, argument: str) -> None:
        """Read these ranks together; without an argument all, or again one. UsageError."""
        self._screen.read_ranks(ranks.ranges(argument) if argument else None)

    def act_outputs(self, argument: str) -> None:
        """Choose from a list."""
        self._screen.choose_from_list()

    def act_next_output(self, argument: str) -> None:
        """Read the next output of the job."""
        self._screen.choose_next()
