"""Where a job stands among the others: its place, and the jobs that it waits for. Pure; out of the listing of jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from console.model import Dependency, Job, JobState
from plugins.slurm.reasons import Kind, meaning

_ONE = re.compile(r"([a-z]+)(?::([^()]*))?(?:\([^()]*\))?")
_STILL_THERE = (JobState.PENDING, JobState.HELD, JobState.RUNNING, JobState.SUSPENDED)


@lru_cache(maxsize=4096)
def _competes(reason: str | None) -> bool:
    """Whether a waiting job with such a reason wants to start now."""
    return meaning(reason or "None").kind in (Kind.QUEUE, Kind.UNKNOWN)


def competes(job: Job) -> bool:
    """Whether a job stands in the queue: it waits for nothing but its turn and free nodes."""
    return job.state is JobState.PENDING and _competes(job.reason)


def place(job: Job, jobs: Iterable[Job]) -> int:
    """Return the place of a job in its partition's queue, from 1: after all that compete with a higher priority.

    Every waiting task of an array counts; of the same priority the older job comes first, as Slurm sorts them.
    """
    queues = set((job.queue or "").split(","))
    family, own, priority = _family(job.id), _number(job.id), job.priority or 0
    before = 0
    for other in jobs:
        if other.state is not JobState.PENDING or other.priority is None or other.priority < priority:
            continue
        if other.priority == priority and _number(other.id) >= own:
            continue
        if not queues.isdisjoint((other.queue or "").split(",")) and _family(other.id) != family and competes(other):
            before += other.array.pending if other.array is not None else 1
    return before + 1


def _family(job_id: str) -> str:
    """Return what the tasks of an array, or the parts of a heterogeneous job, have in common."""
    return re.split(r"[_+]", job_id, maxsplit=1)[0]


def _number(job_id: str) -> int:
    number = _family(job_id)
    return int(number) if number.isdigit() else 0


def conditions(text: str | None) -> list[tuple[str, str]]:
    """Return (condition, id) of `afterok:1(unfulfilled),afterany:5_*(unfulfilled),singleton`; the id may be empty.

    Of `after:7+5`, five minutes after the start of 7, the id is 7.
    """
    found = []
    for part in re.split(r"[,?]", text or ""):
        if match := _ONE.fullmatch(part.strip()):
            ids = [word.partition("+")[0].removesuffix("_*") for word in (match[2] or "").split(":") if word]
            found += [(match[1], name) for name in ids or ("",)]
    return found


def unknown(text: str | None, jobs: Mapping[str, Job]) -> list[str]:
    """Return the ids of a dependency that the listing does not have: they have ended."""
    return [name for _, name in conditions(text) if name and _find(name, jobs) is None]


def dependencies(job: Job, jobs: Mapping[str, Job]) -> tuple[Dependency, ...]:
    """Return what a job waits for, by name and state where they are known."""
    found: list[Dependency] = []
    for condition, name in conditions(job.dependency):
        if not name:
            found += [
                Dependency(id=other.id, condition=condition, name=other.name, state=other.state)
                for other in _namesakes(job, jobs.values())
            ]
            continue
        other = _find(name, jobs)
        known = (None, None) if other is None else (other.name, other.state)
        found.append(Dependency(id=name, condition=condition, name=known[0], state=known[1]))
    return tuple(found)


def _find(name: str, jobs: Mapping[str, Job]) -> Job | None:
    """Return the job of an id; of an array that is folded any part of it, one that still waits or runs first."""
    if name in jobs:
        return jobs[name]
    family = [job for job in jobs.values() if job.id.startswith((f"{name}_", f"{name}+"))]
    if "_" in name:
        array = name.partition("_")[0]
        family = [job for job in jobs.values() if job.id.startswith(f"{array}_[")]
    return min(family, key=lambda job: job.state not in _STILL_THERE, default=None)


def _namesakes(job: Job, jobs: Iterable[Job]) -> Sequence[Job]:
    """Return the jobs that a singleton waits for: of the same user and name, submitted before."""
    return [
        other
        for other in jobs
        if (other.user, other.name) == (job.user, job.name)
        and other.state in _STILL_THERE
        and _family(other.id) != _family(job.id)
        and (other.submitted_at or 0) <= (job.submitted_at or 0)
    ]
