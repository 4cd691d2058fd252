"""What rounds off an explanation: parts of the priority, limits with their usage, licences. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from console.model import Job, Limit, PriorityPart, Queue, Reservation
from console.text import clean
from console.transport.base import Completed
from plugins.slurm import gres
from plugins.slurm.commands import PRIORITY_FACTORS, SEPARATOR, SHARE_FIELDS
from plugins.slurm.failures import words


@dataclass(slots=True, frozen=True)
class Layout:
    """Partitions and reservations as they were listed last."""

    queues: tuple[Queue, ...] = ()
    reservations: tuple[Reservation, ...] | None = ()
    """None: this user may not see them."""


def said(done: Completed) -> str:
    """Return the last words of a command that failed."""
    return words(done.stderr) or words(done.stdout) or f"status {done.exit_status}"


# ---- priority


def priority(done: Completed, queue: str | None) -> tuple[tuple[PriorityPart, ...], str | None]:
    """Return the parts that count, or none and why, out of `Commands.priority`."""
    if b"not running a supported priority plugin" in done.stdout + done.stderr:
        return (), "this cluster does not weigh jobs (priority/basic): of the same partition the oldest comes first"
    rows = [line.split(SEPARATOR) for line in done.stdout.decode("utf-8", "replace").splitlines() if SEPARATOR in line]
    if done.exit_status != 0:
        return (), f"sprio has nothing of it: {said(done)}"
    if not rows:
        return (), "Slurm weighs a job once it may start"
    row = next((row for row in rows if row[1].strip() == queue), rows[0])
    parts = tuple(part for part in _parts([word.strip() for word in row]) if part.value)
    return parts, None if parts else "all its parts are zero"


def _parts(row: list[str]) -> Iterator[PriorityPart]:
    values = iter(row[3:])
    for name, _, normal in PRIORITY_FACTORS:
        value = _float(next(values, ""))
        share = _float(next(values, "")) if normal else None
        if value is not None:
            yield PriorityPart(name=name, value=-value if name == "nice" else value, share=share)
    for name, text in gres.tres(next(values, "")).items():
        if (value := _float(text)) is not None:
            yield PriorityPart(name=f"TRES {clean(name, limit=64)}", value=value)


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value and abs(value) < 1e18 else None  # noqa: PLR0124 - NaN is no number


# ---- fair share


def share_note(done: Completed, account: str, user: str) -> str:
    """Return in words what fair share an account gives one of its users, out of `Commands.shares`; empty: unknown."""
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        row = [word.strip() for word in line.split("|")]
        if len(row) == len(SHARE_FIELDS) and row[0] == account and row[1] == user:
            value = dict(zip(SHARE_FIELDS, row, strict=True))
            norm, used = _float(value["NormShares"]), _float(value["EffectvUsage"])
            if norm is None or used is None:
                return ""
            of = f"{user} may have {100 * norm:.0f} % and used {100 * used:.0f} %"
            level = _float(value["LevelFS"])
            return f"of account {clean(account, limit=64)} {clean(of)}" + (
                "" if level is None else f", level {level:.2f}"
            )
    return ""


# ---- licences

_LICENSE = re.compile(r"^LicenseName=(\S+)\s+Total=(\d+) Used=(\d+)", re.MULTILINE)


def licenses(answer: bytes, asked: str) -> tuple[Limit, ...]:
    """Return the licences that a job asks for (`matlab:2,ansys`) as `scontrol show licenses` counts them."""
    known = {match[1]: match for match in _LICENSE.finditer(answer.decode("utf-8", "replace"))}
    found = []
    for entry in re.split(r"[,|]", asked):
        name, _, count = entry.strip().partition(":")
        if (match := known.get(name)) is not None:
            wanted = float(gres.number(count) or 1)
            scope = f"licence {clean(name, limit=128)}"
            found.append(
                Limit(scope=scope, resource="license", used=float(match[2 + 1]), limit=float(match[2]), asked=wanted)
            )
    return tuple(found)


# ---- limits of QOS and associations


def why_no_limits(done: Completed, job: Job) -> str:
    """Return why no limit was found in the answer."""
    if done.exit_status != 0:
        return f"slurmctld does not tell: {said(done)}"
    of = f"QOS {job.qos} and account {job.account}"
    return f"not among those of {of}: it is one of a QOS of the partition, or of an account above, or hidden from you"
