"""The line for filters and commands, with history and completion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Key
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Input
from textual.widgets.input import Selection

from console.render.cells import Cell
from console.ui.actions import LINE
from console.ui.canvas import Canvas
from console.ui.keymap import key_of

if TYPE_CHECKING:
    from console.ui.app import QuarterdeckApp

_ALWAYS: Mapping[str, str] = MappingProxyType({"enter": "open", "escape": "back"})


class Sign(Canvas):
    """The character that says what the line is for."""

    surface = "surface"

    def __init__(self, text: str) -> None:
        super().__init__(id="sign")
        self._text = text
        self.styles.width = max(len(text) + 2, 3)

    def draw(self, y: int) -> Strip:
        """Return the line."""
        return self.cells((Cell(f" {self._text}", "key"),))


class _Line(Input):
    """An input that leaves the keys of history, completion and leaving to the prompt."""

    async def _on_key(self, event: Key) -> None:
        prompt = self.parent
        if isinstance(prompt, Prompt) and not event.is_printable and prompt.take_key(event.key, event.character):
            event.stop()
            event.prevent_default()
            return
        await super()._on_key(event)


class Prompt(Horizontal):
    """One line of input above the status line. It tells its screen what is typed or entered, and that it is left."""

    class Typed(Message):
        """The text changed."""

        def __init__(self, sign: str, text: str) -> None:
            super().__init__()
            self.sign, self.text = sign, text

    class Entered(Message):
        """Enter was pressed."""

        def __init__(self, sign: str, text: str) -> None:
            super().__init__()
            self.sign, self.text = sign, text

    class Left(Message):
        """Escape was pressed."""

        def __init__(self, sign: str) -> None:
            super().__init__()
            self.sign = sign

    def __init__(
        self,
        sign: str,
        text: str,
        history: list[str],
        complete: Callable[[str], Sequence[str]] | None = None,
        on_move: Callable[[int], None] | None = None,
        replace: bool = True,
    ) -> None:
        """Begin with `text`; with `replace` it is selected: typing replaces it, moving the cursor keeps it."""
        super().__init__()
        self._replace = replace
        self.sign = sign
        self._line = _Line(value=text, compact=True, select_on_focus=False)
        # Two bytes a second are two too many on a slow line.
        self._line.cursor_blink = False
        self._history = history
        self._at = len(history)
        self._draft = text
        self._complete = complete
        self._on_move = on_move
        self._offers: list[str] = []

    def compose(self) -> ComposeResult:
        """Put the sign before the line."""
        yield Sign(self.sign)
        yield self._line

    def on_mount(self) -> None:
        """Take the keys."""
        self._line.focus()
        self._line.selection = Selection(0 if self._replace else len(self.text), len(self.text))

    @property
    def text(self) -> str:
        """What is typed."""
        return self._line.value

    def take_key(self, key: str, character: str | None) -> bool:
        """Take a key that is not for the text; whether it was one."""
        meant = self._meaning(key_of(key, character))
        if meant != "pane":
            self._offers = []
        match meant:
            case "open":
                self._enter()
            case "back":
                self._tell(self.Left(self.sign))
            case "up" | "down":
                by = -1 if meant == "up" else 1
                if self._on_move is not None:
                    self._on_move(by)
                else:
                    self._recall(by)
            case "pane":
                self._next_offer()
            case _:
                return False
        return True

    def _meaning(self, key: str) -> str | None:
        """Return the action of a key; enter and escape always do what they say, or nobody would find out of here."""
        if key == "backspace" and not self._line.value:
            return "back"
        action = cast("QuarterdeckApp", self.app).keymap.find(key, LINE)
        return action.id if action is not None else _ALWAYS.get(key)

    def _recall(self, by: int) -> None:
        if self._at == len(self._history):
            self._draft = self._line.value
        self._at = min(max(self._at + by, 0), len(self._history))
        self._set(self._history[self._at] if self._at < len(self._history) else self._draft)

    def _next_offer(self) -> None:
        if not self._offers and self._complete is not None:
            self._offers = list(self._complete(self._line.value))
        if self._offers:
            self._offers.append(self._offers.pop(0))
            self._set(self._offers[-1])

    def _set(self, text: str) -> None:
        self._line.value = text
        self._line.cursor_position = len(text)

    def _enter(self) -> None:
        text = self._line.value.strip()
        if text:
            if text in self._history:
                self._history.remove(text)
            self._history.append(text)
        self._tell(self.Entered(self.sign, text))

    def _tell(self, message: Message) -> None:
        self.screen.post_message(message)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell the screen."""
        event.stop()
        self._tell(self.Typed(self.sign, event.value))
