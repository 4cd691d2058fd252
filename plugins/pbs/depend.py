"""Jobs that wait for other jobs: `depend = afterok:0.pbs01@pbs01:5.pbs01@pbs01,beforeany:7.pbs01@pbs01`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from console.model import Cause, Dependency, Job, JobState

_JOB = re.compile(r"(\d+(?:\[\d*\])?(?:\.[A-Za-z0-9_-]+)*)(?:@\S+)?", re.ASCII)
_OVER = frozenset((JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.TIMEOUT, JobState.PREEMPTED))
_HOW = {
    "afterok": "to end well",
    "afternotok": "to end with an error",
    "afterany": "to end",
    "after": "to start",
    "on": "to be let go by others",
}


@dataclass(slots=True, frozen=True)
class Other:
    """A job that another one waits for."""

    name: str
    state: JobState


def waits_for(depend: str) -> str:
    """Return the part of a `depend` that this job waits for; `before…` makes others wait for it."""
    return ",".join(part for part in depend.split(",") if not part.startswith("before"))


def dependencies(job: Job) -> tuple[Dependency, ...]:
    """Return the jobs that a job waits for, as it names them."""
    found: list[Dependency] = []
    for part in waits_for(job.dependency or "").split(","):
        condition, *ids = part.split(":")
        found += [Dependency(id=match[1], condition=condition) for each in ids if (match := _JOB.fullmatch(each))]
    return tuple(found)


def resolved(dependency: Dependency, others: Mapping[str, Other]) -> Dependency:
    """Return a dependency with what is known of the other job."""
    other = others.get(dependency.id)
    return dependency if other is None else msgspec.structs.replace(dependency, name=other.name, state=other.state)


def cause(dependency: Dependency) -> Cause:
    """Return in words what a job waits for."""
    name = f"{dependency.id} ({dependency.name})" if dependency.name else dependency.id
    text = f"it waits for job {name} {_HOW.get(dependency.condition, f'({dependency.condition})')}"
    if dependency.state is not None:
        text += f", which is {dependency.state.value}"
    step = f"look at {dependency.id}; qalter -W depend= JOB lets this one go without waiting"
    if _never(dependency):
        step = "that will never be: delete this job, or take the dependency away (qalter -W depend= JOB)"
    return Cause(code=f"{dependency.condition}:{dependency.id}", text=text, next_step=step)


def _never(dependency: Dependency) -> bool:
    """Whether the other job ended otherwise than it should."""
    if dependency.state not in _OVER:
        return False
    well = dependency.state is JobState.COMPLETED
    return (dependency.condition == "afterok" and not well) or (dependency.condition == "afternotok" and well)
