"""Where a job stands among the others: its place, and the jobs that it waits for. Pure; out of the listing of jobs."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from console.model import Dependency, Job, JobState
from plugins.slurm.reasons import Kind, meaning

SLICE_JOBS = 2000
"""How many jobs are looked at between two breaths of the event loop: some milliseconds."""
_ONE = re.compile(r"([a-z]+)(?::([^()]*))?(?:\([^()]*\))?")
_STILL_THERE = (JobState.PENDING, JobState.HELD, JobState.RUNNING, JobState.SUSPENDED)


@dataclass(slots=True)
class Company:
    """The other jobs that matter to one that waits."""

    before: int = 0
    """How many compete with it and come first; every waiting task of an array counts."""
    needed: dict[str, Job] = field(default_factory=dict)
    """The jobs of its dependency, by the id that stands there."""
    namesakes: list[Job] = field(default_factory=list)
    """Of the same user and name, submitted before, and still there: what a singleton waits for."""
    array: list[Job] = field(default_factory=list)
    """The listed parts of its own array."""


@lru_cache(maxsize=4096)
def _competes(reason: str | None) -> bool:
    """Whether a waiting job with such a reason wants to start now."""
    return meaning(reason or "None").kind in (Kind.QUEUE, Kind.UNKNOWN)


def competes(job: Job) -> bool:
    """Whether a job stands in the queue: it waits for nothing but its turn and free nodes."""
    return job.state is JobState.PENDING and _competes(job.reason)


def company(job: Job, jobs: Iterable[Job]) -> Generator[None, None, Company]:
    """Look through the listing once: yields between slices, returns what was found."""
    found = Company()
    own = _Own(job)
    for count, other in enumerate(jobs):
        if count % SLICE_JOBS == SLICE_JOBS - 1:
            yield
        if other.state is JobState.PENDING and own.comes_after(other):
            found.before += other.array.pending if other.array is not None else 1
        if own.needs and (name := own.need(other)) is not None:
            known = found.needed.get(name)
            if known is None or other.id == name or (known.id != name and known.state not in _STILL_THERE):
                found.needed[name] = other
        if other.array is not None and other.array.id == own.array:
            found.array.append(other)
        if own.alone and own.is_namesake(other):
            found.namesakes.append(other)
    return found


class _Own:
    """A job, as the others are compared with it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._queues = frozenset((job.queue or "").split(","))
        self._priority = job.priority or 0
        self._family = _family(job.id)
        self.array = job.array.id if job.array is not None else None
        named = conditions(job.dependency)
        self.needs = frozenset(name for _, name in named if name)
        self.alone = any(not name for _, name in named)

    def comes_after(self, other: Job) -> bool:
        """Whether another job competes and comes first; of the same priority the older one does."""
        priority = other.priority
        if priority is None or priority < self._priority or not _competes(other.reason):
            return False
        if other.queue != self._job.queue and self._queues.isdisjoint((other.queue or "").split(",")):
            return False
        family = _family(other.id)
        return family != self._family and (priority > self._priority or _number(family) < _number(self._family))

    def need(self, other: Job) -> str | None:
        """Return the id under which this job's dependency names another one."""
        if other.id in self.needs:
            return other.id
        family = _family(other.id)
        if family in self.needs:
            return family
        if "_[" in other.id:
            # A task that has not started stands in the folded rest of its array.
            return next((name for name in self.needs if name.startswith(f"{family}_")), None)
        return None

    def is_namesake(self, other: Job) -> bool:
        """Whether a singleton waits for the other one."""
        job = self._job
        return (
            other.name == job.name
            and other.user == job.user
            and other.state in _STILL_THERE
            and _family(other.id) != self._family
            and (other.submitted_at or 0) <= (job.submitted_at or 0)
        )


def _family(job_id: str) -> str:
    """Return what the tasks of an array, or the parts of a heterogeneous job, have in common."""
    return job_id.partition("_")[0].partition("+")[0]


def _number(family: str) -> int:
    return int(family) if family.isdigit() else 0


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


def unknown(text: str | None, needed: Mapping[str, Job]) -> list[str]:
    """Return the ids of a dependency that the listing does not have: they have ended."""
    return [name for _, name in conditions(text) if name and name not in needed]


def dependencies(text: str | None, needed: Mapping[str, Job], namesakes: Iterable[Job]) -> tuple[Dependency, ...]:
    """Return what a job waits for, by name and state where they are known."""
    found: list[Dependency] = []
    for condition, name in conditions(text):
        if name:
            other = needed.get(name)
            known = (None, None) if other is None else (other.name, other.state)
            found.append(Dependency(id=name, condition=condition, name=known[0], state=known[1]))
        else:
            found += [
                Dependency(id=other.id, condition=condition, name=other.name, state=other.state) for other in namesakes
            ]
    return tuple(found)
