"""The objects of one long list, cut out of a JSON answer as it comes.

An answer of slurmrestd about ten thousand jobs has a hundred megabytes. It is never held as a whole, nor read in one
go: every piece that comes gives the objects that end in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from plugins.slurm.rest_wire import clean_json, not_known

T = TypeVar("T")
_FIRST = rb'\{\s*("(?:[^"\\]|\\.)*")\s*:'
_HEAD_BYTES = 1 << 20
"""Within so much the list begins."""
_ENDS = re.compile(rb"\}\s*\]")


class Elements(Generic[T]):
    """Reads one answer. What stands between the objects is found by the name that each of them begins with.

    A text in JSON cannot hold that name as a name, for its quotes are escaped there. An object inside of one that
    begins with the same name can: what does not decode is then not ended yet.
    """

    def __init__(self, name: str, kind: type[T], where: str) -> None:
        """`name`: of the list; `kind`: what its objects are; `where`: who answers."""
        self._open = re.compile(b'"' + name.encode() + rb'"\s*:\s*\[\s*(?=(\]|' + _FIRST + b"))", re.DOTALL)
        self._decoder = msgspec.json.Decoder(kind)
        self._where = where
        self._between: re.Pattern[bytes] | None = None
        self._head = b""
        self._rest = b""
        self._seen = 0
        """Up to where the rest holds no end of an object."""

    def feed(self, piece: bytes) -> Iterator[T]:
        """Yield the objects that end in a piece, all but the last of the list. BadAnswer: they have another form."""
        self._rest += piece
        if self._between is None:
            found = self._open.search(self._rest)
            if found is None and len(self._rest) > _HEAD_BYTES:
                raise not_known(msgspec.DecodeError(), self._rest, self._where)
            if found is None or found[1] == b"]":
                return
            self._between = re.compile(rb"\}\s*,\s*(?=\{\s*" + re.escape(found[2]) + rb"\s*:)")
            self._head, self._rest = self._rest[: found.end()], self._rest[found.end() :]
        start = 0
        at = self._seen
        while found := self._between.search(self._rest, at):
            at = found.end()
            if (element := self._whole(self._rest[start : found.start() + 1])) is not None:
                start = at
                yield element
        self._rest = self._rest[start:]
        # What stands between two may itself be cut in two.
        self._seen = max(0, len(self._rest) - 256)

    def end(self) -> tuple[list[T], bytes]:
        """Return the last object, if there is one, and the answer without them. BadAnswer: cut, or without the list."""
        if self._between is None:
            if self._open.search(self._rest) is None:
                raise not_known(msgspec.DecodeError(), self._rest, self._where)
            return [], self._rest
        for found in reversed(list(_ENDS.finditer(self._rest))):
            if (element := self._whole(self._rest[: found.start() + 1])) is not None:
                return [element], self._head + self._rest[found.end() - 1 :]
        raise not_known(msgspec.DecodeError(), self._rest, self._where)

    def _whole(self, text: bytes) -> T | None:
        """Return the object that a text is; None when it is not all of one. BadAnswer when it has another form."""
        try:
            return self._decoder.decode(clean_json(text))
        except msgspec.ValidationError as error:
            raise not_known(error, text, self._where) from None
        except msgspec.DecodeError:
            return None
