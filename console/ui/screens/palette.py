"""The palette: every action of a screen, found by any part of its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from console.render.cells import Cell, fit
from console.ui.actions import Action
from console.ui.panes import Caption, LinesPane, Row, Rule
from console.ui.prompt import Prompt

if TYPE_CHECKING:
    from console.ui.app import QuarterdeckApp


def score(action: Action, words: Sequence[str]) -> int | None:
    """Return how well an action fits what is typed, smaller is better; None when it does not."""
    title, rest = action.title.lower(), f"{action.id} {action.help} {action.group}".lower()
    total = 0
    for word in words:
        if title.startswith(word):
            total += 0
        elif word in title:
            total += 1
        elif word in rest:
            total += 3
        elif _in_order(word, title):
            total += 6
        else:
            return None
    return total


def _in_order(word: str, text: str) -> bool:
    """Whether the letters of the word stand in the text in this order."""
    letters = iter(text)
    return all(letter in letters for letter in word)


class Palette(ModalScreen[str | None]):
    """Gives the id of the chosen action, None when it is left."""

    AUTO_FOCUS = ""

    def __init__(self, actions: Sequence[Action]) -> None:
        super().__init__(classes="panel")
        self._actions = [action for action in actions if action.id not in ("palette", "down", "up", "left", "right")]
        self._found: list[Action] = []

    def compose(self) -> ComposeResult:
        """Stack title, input and what was found."""
        self._lines = LinesPane("choices", "surface")
        self._lines.active = True
        with Vertical(id="box"):
            app = cast("QuarterdeckApp", self.app)
            yield Caption("palette", f"type words; {app.key_for('open')} does it, {app.key_for('back')} leaves")
            yield Prompt(">", "", [], on_move=self._lines.move)
            yield self._lines
            yield Rule()

    def on_mount(self) -> None:
        """Show everything."""
        self._search("")

    def _search(self, text: str) -> None:
        keymap = cast("QuarterdeckApp", self.app).keymap
        words = text.lower().split()
        scored = [(value, action) for action in self._actions if (value := score(action, words)) is not None]
        scored.sort(key=lambda pair: pair[0])
        self._found = [action for _, action in scored]
        self._lines.rewind()
        self._lines.show(
            [
                Row(
                    (
                        Cell(fit(keymap.shown(action), 7), "key"),
                        Cell(fit(action.title, 24), "name"),
                        Cell(action.help, "muted"),
                    )
                )
                for action in self._found
            ]
            or [Row((Cell("nothing is called that", "warn"),))]
        )

    def on_prompt_typed(self, event: Prompt.Typed) -> None:
        """Search."""
        event.stop()
        self._search(event.text)

    def on_prompt_entered(self, event: Prompt.Entered) -> None:
        """Give what is under the cursor."""
        event.stop()
        index = self._lines.index
        self.dismiss(self._found[index].id if index < len(self._found) else None)

    def on_prompt_left(self, event: Prompt.Left) -> None:
        """Give nothing."""
        event.stop()
        self.dismiss(None)

    def on_lines_pane_opened(self) -> None:
        """Give what was clicked twice."""
        index = self._lines.index
        self.dismiss(self._found[index].id if index < len(self._found) else None)
