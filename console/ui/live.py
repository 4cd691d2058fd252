"""What the screens need of the session that feeds them."""

from __future__ import annotations

from typing import Protocol

from console.model import Attention
from console.store import Store


class LiveSession(Protocol):
    """A running console below its screens. `console.session.Session` is the real one."""

    store: Store
    simulated: bool
    """True for `--simulate`: every screen says SIMULATED."""
    notices: list[str]
    """One-line notices of start-up (a broken plugin, a bad theme), each shown once; it may grow while running."""

    async def start(self) -> None:
        """Import what is heavy, open the backends and start the feeds. Called after the first paint."""

    async def close(self) -> None:
        """Stop the feeds and close every connection; at most two seconds."""

    def attend(self, attention: Attention) -> None:
        """Say what is on screen, marked and selected."""

    def pause(self, paused: bool) -> None:
        """Stop asking, or go on."""

    def set_refresh(self, period_s: float | None) -> None:
        """Override the pace; None: each source's own."""

    def save(self, name: str, text: str) -> str:
        """Write text to a new file in the working directory, never over another; return its path. OSError."""
