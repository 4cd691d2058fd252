"""Limits and how much of them is used, out of `scontrol --oneliner show assoc_mgr`: as slurmctld counts, now. Pure.

    ClusterName=lab Account=research UserName=alice(20001) … GrpTRES=cpu=N(4),gres/gpu=8(8) … MaxJobs=2(1) …
    QOS=normal(1) … GrpJobs=N(3) … User Limits= alice(20001)={MaxJobsPU=1(1) … MaxTRESPU=cpu=N(4)}

`N` is no limit; what stands in parentheses is used. Slurm 22.05 names the user of a QOS by number alone: `20001={…}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from console.model import Job, Limit
from console.text import clean
from plugins.slurm import gres
from plugins.slurm.limits import LimitCode
from plugins.slurm.parse import words

_AMOUNT = re.compile(r"(N|\d{1,18})(?:\((\d{1,18}(?:\.\d+)?)\))?", re.ASCII)
_COUNTS = {"jobs": "Jobs", "submitjobs": "SubmitJobs", "submitjob": "SubmitJobs", "job": "Jobs"}
_MEGABYTE = float(1 << 20)


@dataclass(slots=True, frozen=True)
class _Amount:
    limit: float | None
    used: float | None


def limits(
    answer: bytes, job: Job, code: LimitCode, *, uid: str | None = None, gres_names: tuple[str, ...] = ("gpu",)
) -> tuple[Limit, ...]:
    """Return the limits that a reason names, those that are set, with their usage and what the job asks for.

    `uid`: the number of the job's owner.
    """
    found = []
    for scope, value in _records(answer.decode("utf-8", "replace"), job, code, uid):
        for name, amount in _amounts(value.get(key(code), ""), code):
            asked = _asked(name, job, code, gres_names)
            if amount.limit is not None and (asked != 0 or not name.startswith("gres/")):
                found.append(_limit(scope, name, amount, asked, code))
    return tuple(found)


def key(code: LimitCode) -> str:
    """Return the word under which slurmctld shows such a limit."""
    suffix = {"Job": "PJ", "Node": "PN", "User": "PU", "Account": "PA"}.get(code.per, "")
    if code.what.startswith("wall"):
        return "GrpWall" if code.span == "Grp" else "MaxWallPJ"
    if (count := _COUNTS.get(code.what)) is not None:
        return f"{code.span}{count}{suffix}"
    if code.span == "Grp":
        return f"GrpTRES{code.measure.replace('Minutes', 'Mins')}"
    return f"{code.span}TRES{'Mins' if code.measure else ''}{suffix or 'PJ'}"


def _records(text: str, job: Job, code: LimitCode, uid: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield whose limits these are, and the words: of the QOS, or of the user in the account and of the account."""
    for line in text.splitlines():
        if code.owner == "QOS" and job.qos and line.startswith(f"QOS={job.qos}("):
            yield from _qos(line, job, code, uid)
        elif code.owner == "Assoc" and line.startswith("ClusterName="):
            value = words(line.partition(" Comment=")[0])
            user = value.get("UserName", "").partition("(")[0]
            if value.get("Account") == job.account and user in ("", job.user):
                of = f"account {job.account}" + (f", user {user}" if user else "")
                yield clean(of, limit=256), value


def _qos(line: str, job: Job, code: LimitCode, uid: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    scope = clean(f"QOS {job.qos}", limit=256)
    whole, _, nested = line.partition("Account Limits=")
    accounts, _, users = nested.partition("User Limits=")
    if code.per == "User" and job.user:
        names = rf"{re.escape(job.user)}\(\d+\)" + (f"|{re.escape(uid)}" if uid else "")
        if (match := re.search(rf"(?:^| )(?:{names})=\{{([^}}]*)\}}", users)) is not None:
            yield f"{scope}, user {job.user}", words(match[1].strip())
    elif code.per == "Account" and job.account:
        if (match := re.search(rf"(?:^| ){re.escape(job.account)}=\{{([^}}]*)\}}", accounts)) is not None:
            yield f"{scope}, account {job.account}", words(match[1].strip())
    else:
        yield scope, words(whole)


def _amounts(text: str, code: LimitCode) -> Iterator[tuple[str, _Amount]]:
    """Yield the resources that the code means, each with its limit: `cpu=N(4),gres/gpu=8(8)`, or one plain amount."""
    if code.what.startswith("wall") or code.what in _COUNTS:
        if (amount := _amount(text)) is not None:
            yield "minutes" if code.what.startswith("wall") else "jobs", amount
        return
    wanted = {"gres": "gres/", "license": "license/", "bb": "bb/"}.get(code.what)
    for name, value in gres.tres(text).items():
        means = name.startswith(wanted) if wanted else name == _plain(code)
        if means and (amount := _amount(value)) is not None:
            yield name, amount


def _plain(code: LimitCode) -> str:
    return "mem" if code.what == "memory" else code.what


def _amount(text: str) -> _Amount | None:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    return _Amount(None if match[1] == "N" else float(match[1]), float(match[2]) if match[2] else None)


def _asked(name: str, job: Job, code: LimitCode, gres_names: tuple[str, ...]) -> float | None:
    """Return how much of it the job asks for, in the unit of the limit; 0: none of such a GRES, None: unknown."""
    minutes = None if job.time_limit_s is None else job.time_limit_s / 60
    if name == "jobs":
        return 1.0
    if name == "minutes":
        return minutes
    kind, _, model = name.removeprefix("gres/").partition(":")
    amounts: dict[str, float | None] = {
        "cpu": job.cpus,
        "node": job.node_count,
        "mem": None if job.memory_bytes is None else job.memory_bytes / _MEGABYTE,
    }
    if name.startswith("gres/") and kind in gres_names:
        asked: float | None = job.accelerators if model in ("", job.accelerator_model) else 0
    else:
        asked = amounts.get(name)
    if code.per == "Node" and asked:
        asked = asked / (job.node_count or 1)
    if code.measure and asked:
        asked = None if minutes is None else asked * minutes
    return None if asked is None else float(asked)


def _limit(scope: str, name: str, amount: _Amount, asked: float | None, code: LimitCode) -> Limit:
    """Memory counts in megabytes there, in bytes here."""
    unit = _MEGABYTE if name == "mem" else 1.0
    kind = clean(name.removeprefix("gres/"), limit=64)

    def scaled(value: float | None) -> float | None:
        return None if value is None else value * unit

    return Limit(
        scope=scope,
        resource=f"{kind} minutes" if code.measure else kind,
        used=scaled(amount.used),
        limit=scaled(amount.limit),
        asked=scaled(asked),
    )
