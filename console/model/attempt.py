"""What the journal keeps: who tried what, how it went, and what the world looked like afterwards."""

from __future__ import annotations

from typing import Literal

from console.model.base import Record
from console.model.plan import Plan, Seen, StepOutcome


class Actor(Record, frozen=True):
    """Who acts, and from where."""

    user: str
    uid: int
    host: str
    pid: int
    sudo_user: str | None = None
    """Who became this user by sudo."""
    tty: str | None = None
    origin: str | None = None
    """The address that the SSH session came from."""
    version: str = ""


class Entry(Record, frozen=True):
    """One line."""

    kind: Literal["start", "begin", "outcome", "end"]
    attempt: str
    seq: int
    """Counts within the attempt: clocks jump."""
    at: float
    by: Actor | None = None
    plan: Plan | None = None
    reason: str | None = None
    step: int | None = None
    outcomes: tuple[StepOutcome, ...] = ()
    after: tuple[Seen, ...] = ()
    unmet: dict[str, str] = {}
    """Target to why the plan's promise does not hold for it."""
    ended: str = ""
    """`done`, `interrupted`, or what stopped it."""


class Attempt(Record, frozen=True):
    """What the journal knows of one attempt."""

    id: str
    by: Actor | None
    plan: Plan
    reason: str | None
    started_at: float
    begun: tuple[int, ...] = ()
    """Steps that were about to run."""
    outcomes: tuple[StepOutcome, ...] = ()
    finished: tuple[int, ...] = ()
    after: tuple[Seen, ...] = ()
    unmet: dict[str, str] = {}
    ended_at: float | None = None
    ended: str = ""
    alive: bool = False
    """Its console still works on it, as far as this host can tell."""

    @property
    def in_doubt(self) -> tuple[int, ...]:
        """Steps that began and have no outcome: whether they happened is not known."""
        return tuple(step for step in self.begun if step not in self.finished)
