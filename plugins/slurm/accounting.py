"""What `sacct` tells of ended jobs: the jobs, and what they made of what they held. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterable, Mapping, Sequence

import msgspec

from console.model import Job, JobUsage
from plugins.slurm import gres, times
from plugins.slurm.commands import HISTORY_FIELDS
from plugins.slurm.details import recorded, rows

USAGE_FIELDS = (
    *("TotalCPU", "CPUTimeRAW", "MaxRSS", "TRESUsageInAve", "TRESUsageInMax", "TRESUsageInTot", "TRESUsageOutTot"),
    "ConsumedEnergyRaw",
)
FIELDS = (*USAGE_FIELDS, *HISTORY_FIELDS)
ENDED = "CD,F,TO,CA,NF,PR,OOM,BF,DL"
"""Every state in which nothing more comes of a job, as sacct's --state takes them."""
SLICE = 256
_STEP = re.compile(r"\.[^.]+\Z")

Value = Mapping[str, str]
"""One row of sacct, by its fields."""


def clock(at: float) -> str:
    """Return a time as sacct takes it where TZ=UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def ended(
    answer: bytes, nonce: str, cluster: str, gres_names: tuple[str, ...] = ("gpu",)
) -> Generator[None, None, tuple[Job, ...]]:
    """Read an answer of sacct with its steps: yields between slices, returns the jobs. BadAnswer when it is cut."""
    jobs: dict[str, tuple[Value, list[Value]]] = {}
    for count, row in enumerate(rows(answer, nonce, len(FIELDS), "sacct"), 1):
        value: Value = dict(zip(FIELDS, row, strict=True))
        name = value["JobID"]
        allocation = _STEP.sub("", name)
        if allocation == name:
            jobs[name] = (value, [])
        elif allocation in jobs:
            jobs[allocation][1].append(value)
        if count % SLICE == 0:
            yield
    found = []
    for count, (value, steps) in enumerate(jobs.values(), 1):
        job = recorded(value, cluster, gres_names).job
        if job.state.ended and job.ends_at is not None:
            found.append(msgspec.structs.replace(job, usage=usage(value, steps)))
        if count % SLICE == 0:
            yield
    return tuple(found)


def usage(job: Value, steps: Sequence[Value]) -> JobUsage | None:
    """Return what a job made of what it held; None when nothing of it was recorded.

    Peaks are those of the step that had most: Slurm gives the worst task of each step.
    """
    held, used = gres.number(job.get("CPUTimeRAW", "")), times.duration(job.get("TotalCPU", ""))
    shares = _known(_number(step, "TRESUsageInAve", "gres/gpuutil") for step in steps)
    energy = _known(_size(value.get("ConsumedEnergyRaw", "")) for value in (job, *steps))
    found = JobUsage(
        cpu_percent=min(100 * used / held, 100.0) if held and used else None,
        memory_peak_bytes=_peak(_size(step.get("MaxRSS", "")) for step in steps),
        accelerator_percent=float(max(shares)) if shares else None,
        accelerator_memory_peak_bytes=_peak(_number(step, "TRESUsageInMax", "gres/gpumem") for step in steps),
        read_bytes=_sum(_number(step, "TRESUsageInTot", "fs/disk") for step in steps),
        written_bytes=_sum(_number(step, "TRESUsageOutTot", "fs/disk") for step in steps),
        energy_j=float(max(energy)) if any(energy) else None,
    )
    return None if found == JobUsage() else found


def _number(value: Value, field: str, name: str) -> int | None:
    return _size(gres.tres(value.get(field, "")).get(name, ""))


def _size(text: str) -> int | None:
    """Return a size or a plain number: sacct leaves out the unit of bytes."""
    return gres.memory_bytes(text, unit="")


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _peak(values: Iterable[int | None]) -> int | None:
    """Return the largest; a step of which nothing was sampled says 0, which is not known."""
    return max(_known(values), default=0) or None


def _sum(values: Iterable[int | None]) -> int | None:
    known = _known(values)
    return sum(known) if any(known) else None
