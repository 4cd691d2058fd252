"""What a feed is: anything that emits batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from console.model import Attention, Batch

Sink = Callable[[Batch], None]
"""Takes batches on the event loop; quick, never raises."""


class Feed(Protocol):
    """Emits batches until it is closed: live sources, a collector's socket, a recording, all alike."""

    async def run(self, sink: Sink) -> None:
        """Emit batches until cancelled or at an end (a recording). Failures become batches, not exceptions."""

    def attend(self, attention: Attention) -> None:
        """Say what somebody looks at now. Cheap; may be called many times a second."""

    def pause(self, paused: bool) -> None:
        """Stop asking, or go on."""

    def set_refresh(self, period_s: float | None) -> None:
        """Override the pace of what is looked at; None: each source's own."""
