"""Slurm's reason codes in plain words: why a job waits or ended, and what would have to happen. Pure.

The codes of limits are made of parts (`QOS` `Max` `GRES` `PerUser`) and read by `plugins.slurm.limits`. The others
stand in reasons.toml, with what slurmctld writes in the place of a code.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cache
from importlib import resources

import msgspec

from console.text import clean
from plugins.slurm.limits import LimitCode, limit_code


class Kind(enum.StrEnum):
    """What a reason says about the job."""

    QUEUE = "queue"
    """It competes: it starts as soon as enough is free and nobody more important wants it."""
    LIMIT = "limit"
    """A quota is used up."""
    WAIT = "wait"
    """Something else must happen first; only then does it compete."""
    STUCK = "stuck"
    """It never starts as it stands."""
    ENDED = "ended"
    """Not why it waits but how it ended, or why it was put back."""
    UNKNOWN = "unknown"


@dataclass(slots=True, frozen=True)
class Meaning:
    """What a reason means."""

    code: str
    """As Slurm gives it, without what follows a comma."""
    kind: Kind
    text: str
    next_step: str = ""
    limit: LimitCode | None = None


class _Entry(msgspec.Struct, forbid_unknown_fields=True, rename={"next_step": "next"}):
    text: str
    kind: Kind = Kind.ENDED
    next_step: str = ""


class _Book(msgspec.Struct, forbid_unknown_fields=True):
    reasons: dict[str, _Entry]
    endings: dict[str, _Entry]


@cache
def _book() -> _Book:
    return msgspec.toml.decode((resources.files(__package__) / "reasons.toml").read_bytes(), type=_Book)


def codes() -> tuple[str, ...]:
    """Return the codes that have a text of their own."""
    return tuple(_book().reasons)


def meaning(reason: str, job_id: str = "ID") -> Meaning:
    """Return what a reason of squeue means, with the job's id in its next step.

    What follows the code (`ReqNodeNotAvail, UnavailableNodes:n6`, `RaisedSignal:9(Killed)`) changes nothing; what
    nobody knows is shown as it is.
    """
    text = reason.strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    plain = text.replace("_", " ")
    code = text.partition(",")[0]
    for key in (text, plain, code, code.partition(":")[0]):
        if (entry := _book().reasons.get(key)) is not None:
            return Meaning(key, entry.kind, entry.text, _filled(entry.next_step, job_id))
    if (limit := limit_code(code)) is not None:
        kind = Kind.STUCK if limit.hopeless else Kind.LIMIT
        return Meaning(code, kind, limit.text, limit.next_step, limit)
    return Meaning(clean(code, limit=120), Kind.UNKNOWN, clean(text, limit=300))


def ending(state: str, job_id: str = "ID") -> tuple[str, str]:
    """Return (text, next step) for the state in which a job ended; the state itself when nobody knows it."""
    word = state.upper().partition(" ")[0].partition("+")[0]
    entry = _book().endings.get(word)
    if entry is None:
        return clean(state, limit=120), ""
    return entry.text, _filled(entry.next_step, job_id)


def _filled(step: str, job_id: str) -> str:
    return step.replace("{id}", job_id).replace("{array}", job_id.partition("_")[0])
