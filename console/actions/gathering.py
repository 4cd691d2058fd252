"""What one node prints: the beginning is kept, all of it is counted, and whether two are equal stays known."""

from __future__ import annotations

import hashlib

from console.text import clean

KEPT_BYTES = 1 << 20
"""Of each output of one node."""


_KNOWN_BYTES = 1 << 16
"""Longer texts are cleaned for each node anew: memory is dearer."""


class Gathered:
    """One output."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._parts: list[bytes] = []
        self._room = kept_bytes
        self._all: hashlib.blake2b | None = None
        self.size = 0

    def take(self, data: bytes) -> None:
        """Take what comes next."""
        self.size += len(data)
        if self._room >= len(data):
            self._parts.append(data)
            self._room -= len(data)
            return
        if self._all is None:
            self._parts.append(data[: self._room])
            self._all = hashlib.blake2b(digest_size=4)
            data, self._room = data[self._room :], 0
        self._all.update(data)

    def text(self, known: dict[bytes, str]) -> str:
        """Return it for people; `known` keeps what was cleaned before, for most nodes say the same."""
        data = b"".join(self._parts)
        text = known.get(data)
        if text is None:
            text = _text(data)
            if len(data) <= _KNOWN_BYTES:
                known[data] = text
        if self._all is not None:
            rest = self._all.hexdigest()
            text = f"{text}\n[{self.size:,} bytes; what follows was not kept, its checksum is {rest}]"
        return text


def _text(data: bytes) -> str:
    if b"\0" in data:
        return f"[binary: {len(data):,} bytes, checksum {hashlib.blake2b(data, digest_size=8).hexdigest()}]"
    return clean(data, multiline=True, limit=0).rstrip("\n")
