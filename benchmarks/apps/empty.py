"""The least that a Textual program is: one line of text."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static


class Empty(App[None]):
    """Shows one word."""

    def compose(self) -> ComposeResult:
        """Return its only widget."""
        yield Static("quarterdeck")


if __name__ == "__main__":
    Empty().run()
