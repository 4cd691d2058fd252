"""Jobs that are over, out of the history that pbs_server keeps, and what they made of what they held.

There is no other service to ask than pbs_server itself, and no way to list only what ended since a time with its
amounts: qselect names those jobs, in one request, and qstat shows them by their ids, a request each and one more. So a
job is shown once, and of many only so many at a time, the latest first.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from console.errors import Unsupported
from console.model import Job, JobUsage, Records
from console.slices import Pace
from plugins.pbs import answers, failures, rows, values
from plugins.pbs.client import Client
from plugins.pbs.commands import JOB_ID
from plugins.pbs.jobs import JobReader
from plugins.pbs.rows import Row

AT_ONCE = 50
"""So many jobs are named to one qstat."""
MOST = 200
"""So many jobs are shown for one answer."""


def stamp(at: float) -> str:
    """Return a time as qselect takes it, in the zone that it runs in (UTC): CCYYMMDDhhmm.ss."""
    return time.strftime("%Y%m%d%H%M.%S", time.gmtime(max(at, 0.0)))


def usage(row: Row) -> JobUsage | None:
    """Return what a job made of what it held; None when nothing of it was recorded.

    Amounts are whole seconds, looked at every few seconds: of a job that ended before a look they are 0, not known.
    """
    used = row.resources_used()
    cpu_s, wall_s = values.duration_s(used.get("cput")), values.duration_s(used.get("walltime"))
    cpus = values.count(used.get("ncpus"))
    held_s = wall_s * cpus if wall_s and cpus else 0.0
    found = JobUsage(
        cpu_percent=min(100 * cpu_s / held_s, 100.0) if cpu_s and held_s else None,
        memory_peak_bytes=values.size_bytes(used.get("mem")) or None,
    )
    return None if found == JobUsage() else found


class History:
    """What ended, of one cluster."""

    def __init__(self, client: Client, jobs: JobReader) -> None:
        self._client = client
        self._jobs = jobs
        self._known: dict[str, Job] = {}
        """What was told for the answer before: asked about again, for a while, it costs nothing."""
        self._left: dict[str, None] = {}
        """Ids that are not shown yet, the latest last."""

    async def finished(self, since: float) -> Records:
        """Return what ended since a time. Raises Unsupported where no history is kept, SourceError."""
        named = await self._named(since)
        known = {job_id: self._known[job_id] for job_id in named if job_id in self._known}
        self._left |= dict.fromkeys(job_id for job_id in named if job_id not in known)
        asked = list(self._left)[-MOST:]
        fresh: dict[str, Job] = {}
        requests = 1
        for start in range(0, len(asked), AT_ONCE):
            part = asked[start : start + AT_ONCE]
            fresh |= await self._shown(part)
            requests += 1 + len(part)
        for job_id in asked:
            del self._left[job_id]
        self._known = known | fresh
        detail = "qstat -x, what ended today"
        if self._left:
            detail += f"; {len(self._left)} earlier ones are still to be asked for"
        return Records(ended_jobs=tuple(self._known.values()), requests=requests, detail=detail)

    async def _named(self, since: float) -> list[str]:
        argv = self._client.commands.ended(stamp(since))
        done = await self._client.attempt(argv)
        if failures.no_history(done.stderr):
            where = self._client.where
            raise Unsupported("pbs_server keeps no history of jobs that are over", where, failures.HISTORY_HINT)
        if done.exit_status != 0:
            raise self._client.failure(argv, done)
        words = done.stdout.decode("utf-8", "replace").split()
        return [word for word in words if JOB_ID.fullmatch(word) is not None]

    async def _shown(self, ids: Iterable[str]) -> dict[str, Job]:
        argv = self._client.commands.some_jobs(list(ids), history=True)
        done = await self._client.attempt(argv)
        # One that has been forgotten meanwhile makes the whole command fail, and the others are shown all the same.
        if done.exit_status not in (0, failures.UNKNOWN_JOB):
            raise self._client.failure(argv, done)
        found: dict[str, Job] = {}
        pace = Pace()
        for job_id, piece in answers.entries(done.stdout, "Jobs", "qstat"):
            row = rows.decode(piece)
            job = None if row is None else self._jobs.job(job_id, row)
            if row is not None and job is not None and job.state.ended and job.ends_at is not None:
                found[job_id] = msgspec.structs.replace(job, usage=usage(row))
            await pace.breathe()
        return found
