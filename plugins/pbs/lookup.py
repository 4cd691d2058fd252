"""Single jobs, for somebody who wants to know about one: live, over, or a task of an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.errors import CommandFailed, NoSuchJob
from console.text import clean
from plugins.pbs import answers, failures, rows
from plugins.pbs.client import Client
from plugins.pbs.commands import JOB_ID
from plugins.pbs.rows import Row

SEVERAL = 16
"""So many other jobs are looked up at most: each is a request of its own to pbs_server."""


@dataclass(slots=True, frozen=True)
class Found:
    """A job as qstat knows it now."""

    id: str
    row: Row

    @property
    def is_array(self) -> bool:
        """Whether it stands for all tasks of an array."""
        return "[]" in self.id


async def find(client: Client, job_id: str) -> Found:
    """Return one job, also one that is over where PBS keeps a history.

    A bare number may be that of an array. Raises SourceError; NoSuchJob.
    """
    if JOB_ID.fullmatch(job_id) is None:
        raise NoSuchJob(f"no job of PBS is called {clean(job_id, limit=80)}", client.where, "12, 12.server or 3[7]")
    candidates = [job_id]
    if "[" not in job_id:
        number, dot, server = job_id.partition(".")
        candidates.append(f"{number}[]{dot}{server}")
    error: NoSuchJob | None = None
    for candidate in candidates:
        try:
            return await _find(client, candidate)
        except NoSuchJob as unknown:
            error = error or unknown
    assert error is not None
    raise error


async def _find(client: Client, job_id: str) -> Found:
    argv = client.commands.some_jobs([job_id])
    done = await client.attempt(argv)
    if done.exit_status in (failures.JOB_IS_OVER, failures.UNKNOWN_JOB):
        # The history has jobs that are over, and the tasks of arrays that are.
        first = done
        done = await client.attempt(client.commands.some_jobs([job_id], history=True))
        if done.exit_status != 0 and failures.no_history(done.stderr):
            done = first
    if done.exit_status != 0:
        raise client.failure(argv, done)
    for found in _rows(done.stdout):
        return found
    raise NoSuchJob(f"qstat shows no job {job_id}", client.where, "it may belong to somebody else, or be long over")


async def some(client: Client, ids: Sequence[str]) -> list[Found]:
    """Return those of these jobs that PBS knows, over or not."""
    ids = ids[:SEVERAL]
    done = await client.attempt(client.commands.some_jobs(ids, history=True))
    if done.exit_status != 0 and failures.no_history(done.stderr):
        done = await client.attempt(client.commands.some_jobs(ids))
    # One that is not known makes the whole command fail, and the others are shown all the same.
    return _rows(done.stdout) if done.exit_status in (0, failures.UNKNOWN_JOB, failures.JOB_IS_OVER) else []


async def tasks(client: Client, array: str) -> list[Found]:
    """Return the tasks of an array. Raises SourceError."""
    argv = client.commands.some_jobs([array], history=True, tasks=True)
    done = await client.attempt(argv)
    if done.exit_status != 0 and failures.no_history(done.stderr):
        argv = client.commands.some_jobs([array], tasks=True)
        done = await client.attempt(argv)
    if done.exit_status != 0:
        raise client.failure(argv, done)
    return [found for found in _rows(done.stdout) if not found.is_array]


def _rows(answer: bytes) -> list[Found]:
    found: list[Found] = []
    for job_id, piece in answers.entries(answer, "Jobs", "qstat"):
        row = rows.decode(piece)
        if row is None:
            what = f"qstat shows job {job_id} in a form that cannot be read"
            raise CommandFailed(what, clean(piece[:120]), f"look at it: qstat -f {job_id}")
        found.append(Found(job_id, row))
    return found
