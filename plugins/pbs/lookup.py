"""Single jobs, for somebody who wants to know about one: live, over, or a task of an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.errors import CommandFailed, NoSuchJob
from console.text import clean
from console.transport.base import Completed
from plugins.pbs import answers, failures, rows
from plugins.pbs.client import Client
from plugins.pbs.commands import JOB_ID
from plugins.pbs.rows import Row

SEVERAL = 16
"""So many other jobs are looked up at most: each is two requests to pbs_server."""


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
    done = await _shown(client, [job_id])
    if done.exit_status == failures.UNKNOWN_JOB and "[" not in job_id:
        number, dot, server = job_id.partition(".")
        array = await _shown(client, [f"{number}[]{dot}{server}"])
        done = array if array.exit_status == 0 else done
    if done.exit_status != 0:
        raise client.failure(client.commands.some_jobs([job_id]), done)
    for found in _rows(done.stdout):
        return found
    raise NoSuchJob(f"qstat shows no job {job_id}", client.where, "it may belong to somebody else, or be long over")


async def some(client: Client, ids: Sequence[str]) -> list[Found]:
    """Return those of these jobs that PBS knows, over or not."""
    done = await _shown(client, ids[:SEVERAL])
    # One that is not known makes the whole command fail, and the others are shown all the same.
    return _rows(done.stdout) if done.exit_status in (0, failures.UNKNOWN_JOB) else []


async def tasks(client: Client, array: str) -> list[Found]:
    """Return the tasks of an array. Raises SourceError."""
    done = await _shown(client, [array], tasks=True)
    if done.exit_status != 0:
        raise client.failure(client.commands.some_jobs([array], tasks=True), done)
    return [found for found in _rows(done.stdout) if not found.is_array]


async def _shown(client: Client, ids: Sequence[str], *, tasks: bool = False) -> Completed:
    """Ask for jobs, with those that are over where PBS keeps a history."""
    done = await client.attempt(client.commands.some_jobs(ids, history=True, tasks=tasks))
    if failures.no_history(done.stderr):
        done = await client.attempt(client.commands.some_jobs(ids, tasks=tasks))
    return done


def _rows(answer: bytes) -> list[Found]:
    found: list[Found] = []
    for job_id, piece in answers.entries(answer, "Jobs", "qstat"):
        row = rows.decode(piece)
        if row is None:
            what = f"qstat shows job {job_id} in a form that cannot be read"
            raise CommandFailed(what, clean(piece[:120]), f"look at it: qstat -f {job_id}")
        found.append(Found(job_id, row))
    return found
