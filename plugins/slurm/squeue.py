"""The text of squeue to rows, a slice at a time. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TypeVar

from console.errors import BadAnswer
from console.text import clean
from plugins.slurm.commands import FREE_FIELDS, MACHINE_FIELDS, SEPARATOR

M = TypeVar("M", bound=Hashable)
Row = tuple[M, str, str]
"""What is to be told of a job except what its user wrote freely; its comment, its name."""
SLICE_BYTES = 64 << 10
"""What is parsed between two breaths of the event loop: about 250 new jobs, 2 to 5 ms."""


HINT = "is squeue replaced by a wrapper here? it must pass -O through"


class Columns:
    """The fields that were asked for, in the order of MACHINE_FIELDS; one that squeue does not know reads as empty."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self._count = len(fields)
        index = {name: at for at, name in enumerate(fields)}
        self._order = None if fields == MACHINE_FIELDS else [index.get(name) for name in MACHINE_FIELDS]

    def split(self, machine: str) -> list[str]:
        """Return the machine fields and the working directory. BadAnswer when there are not as many as asked for."""
        values = machine.split(SEPARATOR, self._count)
        if len(values) != self._count + 1:
            raise BadAnswer("squeue gave a row that cannot be read", clean(machine, limit=120), HINT)
        if self._order is None:
            return values
        return ["" if at is None else values[at] for at in self._order] + values[-1:]


def slices(answer: bytes, nonce: str) -> Iterator[Iterator[Row[str]]]:
    """Yield the rows of an answer, SLICE_BYTES at a time. BadAnswer when it is broken."""
    end = nonce.encode() + b"\n"
    position = 0
    while position < len(answer):
        cut = answer.find(end, position + SLICE_BYTES)
        if cut < 0:
            cut = answer.rfind(end, position)
            if cut < 0 or cut + len(end) != len(answer):
                raise _broken(answer, position if cut < 0 else cut + len(end))
        stop = cut + len(end)
        pieces = answer[position:stop].decode("utf-8", "replace").split(nonce)
        position = stop
        yield _rows(pieces)


def _rows(pieces: list[str]) -> Iterator[Row[str]]:
    """Group the pieces between nonces: machine fields with the directory, comment, name; the last one is a newline."""
    width = len(FREE_FIELDS)
    if len(pieces) % width != 1 or pieces[-1] != "\n":
        raise BadAnswer("squeue gave half a row", clean(pieces[0], limit=120), HINT)
    first = pieces[0]
    for index in range(0, len(pieces) - 1, width):
        machine = first if index == 0 else pieces[index]
        if index:
            if machine[:1] != "\n":
                raise BadAnswer("squeue gave rows that run into one another", clean(machine, limit=120), HINT)
            machine = machine[1:]
        yield machine, pieces[index + 1], pieces[index + 2]


def _broken(answer: bytes, position: int) -> BadAnswer:
    text = answer[position : position + 400].decode("utf-8", "replace")
    if position == 0:
        return BadAnswer(f"squeue printed something else than jobs: {clean(text, limit=160)}", "squeue", HINT)
    return BadAnswer("squeue stopped in the middle of its answer", clean(text, limit=120), "it is asked again soon")
