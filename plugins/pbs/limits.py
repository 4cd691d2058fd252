"""The limits of PBS that a job meets: `max_run_res.ngpus = [u:PBS_GENERIC=4]` and what is used of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from console.model import Job, JobState, Limit
from plugins.pbs import values
from plugins.pbs.comments import Hit

_ENTRY = re.compile(r"\[\s*([ugpo]):([^=\]]+)=\s*([^\]\s]+)\s*\]")
_LETTER = {"user": "u", "group": "g", "project": "p", "all": "o"}
_GENERIC = ("PBS_GENERIC", "PBS_ALL")
_HOLDS = frozenset((JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED))
_DEFAULT_PROJECT = "_pbs_project_default"


def limits(
    job: Job, hits: Sequence[Hit], queue: Mapping[str, Any], server: Mapping[str, Any], jobs: Sequence[Job]
) -> tuple[Limit, ...]:
    """Return the limits that `hits` name, with what is used of them by `jobs`; amounts that cannot be told are None."""
    return tuple(_limit(job, hit, queue if hit.queue else server, jobs) for hit in hits)


def _limit(job: Job, hit: Hit, attributes: Mapping[str, Any], jobs: Sequence[Job]) -> Limit:
    name = {"user": job.user, "project": job.detail.get("project", _DEFAULT_PROJECT)}.get(hit.who)
    where = f"queue {hit.queue}" if hit.queue else "server"
    whose = "all jobs" if hit.who == "all" else f"{hit.who} {name}" if name else f"each {hit.who}"
    return Limit(
        scope=f"{where}, {whose}",
        resource=hit.resource or "jobs",
        used=_used(job, hit, jobs),
        limit=_allowed(attributes, hit, name),
        asked=_amount(job, hit.resource),
    )


def _allowed(attributes: Mapping[str, Any], hit: Hit, name: str | None) -> float | None:
    """Return the limit that is set for this name, else for anybody."""
    value = attributes.get("max_run_res" if hit.resource else "max_run")
    if hit.resource:
        value = value.get(hit.resource) if isinstance(value, dict) else attributes.get(f"max_run_res.{hit.resource}")
    found: dict[str, str] = {}
    for letter, who, number in _ENTRY.findall(value) if isinstance(value, str) else ():
        if letter == _LETTER.get(hit.who):
            found.setdefault(who.strip().strip('"'), number)
    text = next((found[each] for each in (name, *_GENERIC) if each is not None and each in found), None)
    amount = values.size_bytes(text)
    return None if amount is None else float(amount)


def _used(job: Job, hit: Hit, jobs: Sequence[Job]) -> float | None:
    """Return what running jobs use of it; None for groups, whose members PBS does not tell."""
    if hit.who == "group":
        return None
    amounts = [
        _amount(each, hit.resource)
        for each in jobs
        if each.state in _HOLDS
        and (hit.queue is None or each.queue == hit.queue)
        and (hit.who != "user" or each.user == job.user)
        and (hit.who != "project" or each.detail.get("project") == job.detail.get("project"))
    ]
    return None if any(amount is None for amount in amounts) else float(sum(amount or 0 for amount in amounts))


def _amount(job: Job, resource: str | None) -> float | None:
    """Return how much of a resource a job holds or asks for."""
    if resource is None:
        return float(job.array.running or 1) if job.array else 1.0
    number = {"ncpus": job.cpus, "mem": job.memory_bytes, "nodect": job.node_count}.get(resource, job.accelerators)
    return None if number is None else float(number)
