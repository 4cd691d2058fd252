"""What the last line says instead of the keys: notices, each shown once, and answers to what was asked."""

from __future__ import annotations

import time
from collections import deque

from console.render.cells import Cell, Line

SHOWN_S = 6.0


class Messages:
    """One message at a time; notices wait for their turn and stay readable in `notices`."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, str]] = []
        """All notices since the start, with their styles."""
        self.typing: Line | None = None
        """What is said while something is being typed; it stands before all else."""
        self._taken = 0
        self._waiting: deque[tuple[str, str]] = deque()
        self._now: tuple[str, str] | None = None
        self._until = 0.0

    def take(self, notices: list[str]) -> None:
        """Take what the session noticed since the last time."""
        for text in notices[self._taken :]:
            self.notice(text)
        self._taken = len(notices)

    def notice(self, text: str, style: str = "warn") -> None:
        """Show a notice when its turn comes, and keep it."""
        if (text, style) not in self.notices:
            self.notices.append((text, style))
            self._waiting.append((text, style))

    def say(self, text: str, style: str) -> None:
        """Show an answer now."""
        self._now = (text, style)
        self._until = time.monotonic() + SHOWN_S

    def pressed(self) -> None:
        """A key was pressed: an answer has been read."""
        self._now = None

    @property
    def line(self) -> Line | None:
        """What to show now; None: the keys."""
        if self.typing is not None:
            return self.typing
        now = time.monotonic()
        if self._now is not None and now >= self._until:
            self._now = None
        if self._now is None and self._waiting:
            self.say(*self._waiting.popleft())
        return None if self._now is None else (Cell(*self._now),)
