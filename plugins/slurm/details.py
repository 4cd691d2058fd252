"""One job in detail, out of squeue while slurmctld knows it, else out of sacct. Pure.

Both are asked with a nonce after every field, so that no name, comment or path can pose as another field or row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from console.errors import BadAnswer
from console.model import Job
from console.text import clean
from plugins.slurm import gres, hostlist, times
from plugins.slurm.commands import DETAIL_FIELDS, FREE_FIELDS, MACHINE_FIELDS
from plugins.slurm.jobs import LIMIT_FREE, JobReader
from plugins.slurm.states import job_state

FIELDS = (*MACHINE_FIELDS, *DETAIL_FIELDS, *FREE_FIELDS)
"""What is asked of squeue about one job."""
_ID = re.compile(r"(\d{1,10})(?:_(?:(\d{1,10})|\[[^\]]*\]?)|\+(\d{1,6}))?", re.ASCII)


@dataclass(slots=True, frozen=True)
class JobId:
    """An id as a person gives it: `8812`, `8812_7`, `8812_[5-99]`, `32+1`."""

    text: str
    number: str
    """8812"""
    ask: str
    """As squeue and sacct take it: of a folded array the whole array."""


def job_id(text: str) -> JobId | None:
    """Return the parts of an id; None when it is none of Slurm's."""
    match = _ID.fullmatch(text)
    if match is None:
        return None
    return JobId(text, match[1], match[1] if "[" in text else text)


@dataclass(slots=True, frozen=True)
class Detail:
    """A job and what is known of it beyond the record."""

    job: Job
    facts: Mapping[str, str] = field(default_factory=dict)
    """DETAIL_FIELDS as squeue gives them, raw; what it does not know is not in it."""
    recorded: bool = False
    """Out of accounting: slurmctld knows the job no longer."""

    @property
    def number(self) -> str:
        """The plain number of the job, also of an array's task or a part of a heterogeneous job."""
        return self.job.detail.get("job id") or re.split(r"[_+]", self.job.id, maxsplit=1)[0]

    def fact(self, name: str) -> str | None:
        """Return a fact; None when it is not known."""
        text = self.facts.get(name, "")
        return None if text in gres.NOTHING or text in ("n/a", "Unknown") else text

    def time(self, name: str) -> float | None:
        """Return a fact that is a time, in Unix seconds."""
        return times.epoch(self.facts.get(name, ""))


def rows(answer: bytes, nonce: str, width: int, program: str) -> list[list[str]]:
    """Return the rows of an answer whose every field ends with the nonce. BadAnswer when they are not whole."""
    pieces = answer.decode("utf-8", "replace").split(nonce)
    if len(pieces) % width != 1 or pieces[-1].strip("\n"):
        raise BadAnswer(f"{program} gave something else than a job", clean(pieces[0], limit=120), "run it by hand")
    found = [pieces[at : at + width] for at in range(0, len(pieces) - 1, width)]
    for row in found[1:]:
        row[0] = row[0].removeprefix("\n")
    return found


def details(answer: bytes, nonce: str, fields: Sequence[str], reader: JobReader) -> list[Detail]:
    """Return the jobs that squeue tells about, `fields` being those of FIELDS that it knows."""
    found = []
    for row in rows(answer, nonce, len(fields), "squeue"):
        value = dict(zip(fields, row, strict=True))
        machine = [value.get(name, "") for name in (*MACHINE_FIELDS, "WorkDir")]
        job = reader.job(machine, value.get("Comment", ""), value.get("Name", ""))
        facts = {name: value[name] for name in (*DETAIL_FIELDS, "NumTasks", "WorkDir", "Name") if name in value}
        found.append(Detail(job, facts))
    return found


def choose(found: Sequence[Detail], wanted: JobId) -> Detail | None:
    """Return the one that is meant: the very id; of an array asked for as a whole what waits, then what runs."""
    for detail in found:
        if detail.job.id == wanted.text:
            return detail
    for detail in found:
        if detail.job.id.startswith(f"{wanted.number}_["):
            return detail
    own = [detail for detail in found if detail.number == wanted.number]
    return next(iter([*own, *found]), None)


def history(
    answer: bytes, nonce: str, fields: Sequence[str], cluster: str, gres_names: tuple[str, ...] = ("gpu",)
) -> list[Detail]:
    """Return the jobs that sacct tells about."""
    return [
        recorded(dict(zip(fields, row, strict=True)), cluster, gres_names)
        for row in rows(answer, nonce, len(fields), "sacct")
    ]


def recorded(value: Mapping[str, str], cluster: str, gres_names: tuple[str, ...]) -> Detail:
    """Return one job as a row of sacct has it, by HISTORY_FIELDS."""

    def word(name: str) -> str | None:
        text = value.get(name, "")
        return None if text in gres.NOTHING or text == "Unknown" else clean(text, limit=512)

    held = value.get("AllocTRES") or value.get("ReqTRES") or ""
    counted = gres.counts(held, gres_names)
    nodes = word("NodeList") if word("NodeList") != "None assigned" else None
    seconds, why_no_limit = times.limit(value.get("TimelimitRaw", ""))
    job = Job(
        id=clean(value.get("JobID", ""), limit=256),
        cluster=cluster,
        name=clean(value.get("JobName", ""), limit=LIMIT_FREE),
        user=word("User"),
        account=word("Account"),
        state=job_state(value.get("State", ""), word("Reason")),
        scheduler_state=word("State"),
        reason=word("Reason"),
        queue=word("Partition"),
        qos=word("QOS"),
        nodes=nodes,
        node_names=hostlist.expand(nodes or "") or (),
        node_count=gres.number(value.get("NNodes", "")),
        cpus=gres.number(value.get("NCPUS", "")),
        memory_bytes=gres.memory_bytes(gres.tres(held).get("mem", "")),
        accelerators=gres.total(counted),
        accelerator_model=gres.models(counted),
        submitted_at=times.epoch(value.get("Submit", "")),
        # Of a job that was cancelled while it waited, accounting gives its end as its start.
        started_at=times.epoch(value.get("Start", "")) if nodes is not None else None,
        ends_at=times.epoch(value.get("End", "")),
        time_limit_s=seconds,
        priority=gres.number(value.get("Priority", "")),
        comment=clean(value["Comment"], limit=LIMIT_FREE) if value.get("Comment") else None,
        work_dir=clean(value["WorkDir"], limit=LIMIT_FREE) if value.get("WorkDir") else None,
        exit_code=gres.number(value.get("ExitCode", "").partition(":")[0]),
        detail={"job id": raw} if (raw := word("JobIDRaw")) is not None else {},
        missing={} if why_no_limit is None else {"time_limit_s": why_no_limit},
    )
    facts = {
        "STDOUT": value.get("StdOut", ""),
        "STDERR": value.get("StdErr", ""),
        "BatchHost": (hostlist.expand(nodes or "") or ("",))[0],
        "EligibleTime": value.get("Eligible", ""),
        "WorkDir": value.get("WorkDir", ""),
        "Name": value.get("JobName", ""),
        "exit_code": value.get("ExitCode", ""),
    }
    array, _, task = value.get("JobID", "").partition("_")
    if task.isdigit():
        facts |= {"ArrayJobID": array, "ArrayTaskID": task}
    return Detail(job, facts, recorded=True)


def ended_with(detail: Detail) -> tuple[int, int] | None:
    """Return (exit code, signal number) of a job that ended; None when that is not known.

    Older releases of squeue give the number that wait(2) gives, newer ones and sacct `3:0`.
    """
    code, colon, number = detail.facts.get("exit_code", "").partition(":")
    if (status := gres.number(code)) is None:
        return None
    return (status, gres.number(number) or 0) if colon else (status >> 8 & 0xFF, status & 0x7F)
