"""Where what is read now goes on from what was read before, in an output that tells no positions. Pure."""

from __future__ import annotations

_ANCHOR_BYTES = 4096
_GIVE_UP_BYTES = 8 << 20
"""If what was read before is not met within so much, it lies further back: everything is new."""


class Joint:
    """Lets pass what comes after the end of `before`, also when the stream has to be opened anew.

    The same lines over and over cannot be told apart: then what was read last is taken for the last of them.
    """

    def __init__(self, before: bytes) -> None:
        self._anchor = before[-_ANCHOR_BYTES:]
        self._held = b""
        self._met = False
        self.restart()

    def restart(self) -> None:
        """Say that the next piece comes from a stream that begins somewhere further back."""
        self._held, self._met = b"", not self._anchor

    def feed(self, data: bytes) -> bytes:
        """Return what of it is new; what may still be old is held back."""
        if self._met:
            return self._pass(data)
        self._held += data
        found = self._held.rfind(self._anchor)
        if found >= 0:
            return self._pass(self._held[found + len(self._anchor) :])
        return self.flush() if len(self._held) > _GIVE_UP_BYTES else b""

    def flush(self) -> bytes:
        """Return what was held back and is new: nothing else is coming that could say where it belongs."""
        # It may begin inside of what was read before.
        sizes = range(min(len(self._anchor), len(self._held)), 0, -1)
        known = next((size for size in sizes if self._held.startswith(self._anchor[-size:])), 0)
        return self._pass(self._held[known:]) if self._held else b""

    def _pass(self, data: bytes) -> bytes:
        self._met, self._held = True, b""
        self._anchor = (self._anchor + data[-_ANCHOR_BYTES:])[-_ANCHOR_BYTES:]
        return data
