"""When Python looks for garbage: never while somebody presses keys.

A full collection walks every container that ten thousand nodes and a hundred thousand jobs are made of: a tenth of a
second and more in which no key is answered. The young generations, where nearly all garbage is, stay automatic.
"""

from __future__ import annotations

import gc
import time

_THRESHOLDS = (700, 6, 1_000_000)
"""Young objects between two looks, and looks between two at those that outlived one: a millisecond or two each."""
_QUIET_S = 20.0
"""Without a key for so long, nobody feels a pause."""
_EVERY_S = 120.0


class Garbage:
    """Holds full collections back until nobody is at the keys."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._pressed = self._collected = time.monotonic()

    def begin(self) -> None:
        """Hold them back from now on."""
        gc.set_threshold(*_THRESHOLDS)

    def end(self) -> None:
        """Leave the process as it was."""
        gc.set_threshold(*self._before)

    def pressed(self) -> None:
        """Take that a key was pressed."""
        self._pressed = time.monotonic()

    def tick(self) -> None:
        """Collect when it is due and nobody is at the keys."""
        now = time.monotonic()
        if now - self._pressed > _QUIET_S and now - self._collected > _EVERY_S:
            gc.collect()
            self._collected = time.monotonic()
