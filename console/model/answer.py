"""What nodes answer to a command that was run on them."""

from __future__ import annotations

from console.model.base import Record
from console.model.plan import OutcomeState


class Answer(Record, frozen=True):
    """How a command went on one node. `done`: it ended with 0; `skipped`: it never began there."""

    cluster: str
    node: str
    state: OutcomeState
    exit_status: int | None = None
    """128 + signal number when a signal ended it; None: it did not end by itself, or never ran."""
    output: str = ""
    """Standard output, cleaned; its beginning where it was too long, with a line that says so."""
    errors: str = ""
    """Standard error, in the same way."""
    detail: str = ""
    """Why it is not done, for every node alike: `exit 2`, `the connection was refused`."""
    hint: str = ""
    denied: bool = False
    """Somebody who may decide said no."""
    unreachable: bool = False
    """It was not reached at all."""
    seconds: float = 0.0


class Group(Record, frozen=True):
    """Nodes that answered the same."""

    nodes: tuple[str, ...]
    answer: Answer
    """Of the first of them."""
