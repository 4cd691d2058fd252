"""The command line: every action by its name, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from console.render.cells import Cell
from console.suggest import nearest
from console.ui.actions import Action

if TYPE_CHECKING:
    from console.ui.app import QuarterdeckApp


class Commands:
    """What can be typed after `:` on the screen that is shown."""

    def __init__(self, app: QuarterdeckApp) -> None:
        self._app = app

    def _offered(self) -> dict[str, Action]:
        names: dict[str, Action] = {}
        for action in self._app.offered(self._app.kind):
            names[action.id] = action
            if action.id.startswith("screen-"):
                names[action.id.removeprefix("screen-")] = action
        return names

    def run(self, text: str) -> None:
        """Carry out what was typed; a mistake is said, with what was probably meant."""
        name, _, argument = text.strip().partition(" ")
        if name in ("q", "quit", "q!"):
            name = "quit"
        offered = self._offered()
        action = offered.get(name)
        if action is None:
            starting = sorted({action.id for word, action in offered.items() if word.startswith(name)})
            if len(starting) == 1:
                action = next(action for action in offered.values() if action.id == starting[0])
        if action is None:
            close = nearest(name, offered)
            hint = f"did you mean {close}?" if close else "? lists what there is"
            self._app.say(f"no command is called {name}; {hint}", "bad")
            return
        self._app.perform(action.id, argument.strip())

    def complete(self, text: str) -> Sequence[str]:
        """Return whole lines that begin with what is typed."""
        name, space, argument = text.partition(" ")
        if not space:
            return sorted(word for word in self._offered() if word.startswith(name))
        return [f"{name} {word}" for word in self._arguments(name) if word.startswith(argument)]

    def _arguments(self, name: str) -> Sequence[str]:
        app = self._app
        if name == "theme":
            return app.theme_names()
        if name in ("sort", "columns"):
            return app.column_names()
        if name == "refresh":
            return ("auto", "1", "2", "5", "10", "30")
        return ()

    def explain(self, text: str) -> tuple[Cell, ...] | None:
        """Return what the first word would do, for under the line."""
        name = text.strip().partition(" ")[0]
        if not name:
            return (Cell("an action by its name; tab completes, ? lists them", "muted"),)
        offered = self._offered()
        action = offered.get(name)
        if action is not None:
            argument = f" {action.argument}" if action.argument else ""
            meant = self._app.acting.meant(action.order or action.id) if action.order or action.acts else ""
            about = f": {meant}" if meant else ""
            return (Cell(f"{name}{argument}", "key"), Cell(f"  {action.help}", "label"), Cell(about, "accent"))
        words = sorted(word for word in offered if word.startswith(name))
        if not words:
            return (Cell(f"no command begins with {name}", "warn"),)
        return (Cell("  ".join(words), "muted"),)
