"""Plans: what would be asked of the jobs API so that jobs are stopped. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from console.model import Call, Draft, Effect, Job, JobState, Step
from plugins.ray import commands
from plugins.ray.jobs import CONNECTED

JOB_ACTIONS = frozenset({"cancel"})
"""Ray holds, changes and requeues no job."""
STOP_S = 30.0


def stopping(jobs: Sequence[Job], cluster: str, where: str) -> Draft:
    """Return one request for each job that can be stopped, and why the others cannot."""
    unchanged = {job.id: why for job in jobs if (why := _nothing_to_do(job)) is not None}
    left = [job for job in jobs if job.id not in unchanged]
    steps = tuple(
        Step(
            cluster=cluster,
            names=(job.id,),
            run=Call(method="POST", path=commands.stop(job.id)),
            text=f"stop {job.id}",
            where=where,
            timeout_s=STOP_S,
        )
        for job in left
    )
    ends = {job.id: Effect.ENDED for job in left if job.state is JobState.RUNNING}
    return Draft(steps=steps, effects=ends, unchanged=unchanged)


def _nothing_to_do(job: Job) -> str | None:
    if job.state.ended:
        return f"has ended already ({job.scheduler_state or job.state})"
    if job.detail.get("kind") == CONNECTED:
        place = job.detail.get("driver")
        return f"is a {CONNECTED}, which Ray stops for nobody: end it where it runs{f' ({place})' if place else ''}"
    return None
