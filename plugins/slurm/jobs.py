"""Jobs out of what Slurm tells of them, in slices and with a memory of what was read before.

A listing of a hundred thousand jobs is mostly the same as the one before. A row whose bytes are known gives the
record of last time; what is new is parsed a slice at a time, so that the event loop never waits long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from console.errors import BadAnswer
from console.model import ArrayPart, Job, JobState
from console.text import clean
from plugins.slurm import gres, hostlist, squeue
from plugins.slurm.arrays import Told, folded, spans
from plugins.slurm.commands import MACHINE_FIELDS
from plugins.slurm.squeue import M, Row
from plugins.slurm.states import job_state
from plugins.slurm.times import epoch, limit

LIMIT_FREE = 4096
"""Characters of a comment, a reason, a name: what people write is shown whole, and memory stays bounded."""
LIMIT_ID = 256
NOT_TOLD = "?"
"""In the place of what was asked per job, node, socket or task: this way does not tell it."""
_SLICE_JOBS = 250
_MEMORY = 20_000
_ID = re.compile(r"[0-9]+(?:_(?:[0-9]+|\[[^\]]*\]?)|\+[0-9]+)?", re.ASCII)
_WAITING = (JobState.PENDING, JobState.HELD)
_NOTHING: dict[str, str] = {}
"""Shared by all records that have nothing to add; records never change."""
_TOLD = (*MACHINE_FIELDS, "WorkDir")
_ACTIVE = (JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED)

Slices = Generator[None, None, "Listing"]


@dataclass(slots=True)
class Listing:
    """One answer of squeue, against the one before."""

    jobs: tuple[Job, ...]
    changed: tuple[Job, ...]
    """New ones, and those that differ from the listing before."""
    gone: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class _Held:
    """What a list of TRES comes to."""

    memory_bytes: int | None
    count: int | None
    """Accelerators."""
    model: str | None
    why: str | None = None
    """Why `count` is None."""


class JobReader:
    """Turns answers of squeue into jobs of one cluster. Not for two answers at once."""

    def __init__(self, cluster: str, gres_names: tuple[str, ...] = ("gpu",)) -> None:
        self.cluster = cluster
        self._gres_names = gres_names
        self._rows: dict[int, Job] = {}
        self._ids: set[str] = set()
        self._seen = False
        self._words: dict[str, str | None] = {}
        self._lists: dict[str, tuple[str, ...] | None] = {}
        self._held: dict[tuple[object, ...], _Held] = {}
        self._states: dict[tuple[str, str], JobState] = {}
        self._limits: dict[str, tuple[float | None, str | None]] = {}

    def read(self, answer: bytes, nonce: str, fields: tuple[str, ...]) -> Slices:
        """Read the answer to `Commands.queue(nonce, fields)`: yields between slices, returns the Listing.

        Raises BadAnswer when it is not that answer, or ends in the middle of it; nothing is remembered then.
        """
        return self.take(squeue.slices(answer, nonce), squeue.Columns(fields).split)

    def take(self, slices: Iterable[Iterable[Row[M]]], fields: Callable[[M], Sequence[str]]) -> Slices:
        """Take all jobs, however they came: rows in slices, of which `fields` gives what `job` reads.

        Yields after each slice, returns the Listing. BadAnswer as `slices` and `fields` raise it; nothing is
        remembered then.
        """
        rows: dict[int, Job] = {}
        changed: list[Job] = []
        jobs: list[Job] = []
        ids: set[str] = set()
        known = self._rows
        for piece in slices:
            slice_start = len(jobs)
            for row in piece:
                key = hash(row)
                job = known.get(key)
                if job is None:
                    machine, comment, name = row
                    job = self.job(fields(machine), comment, name)
                    changed.append(job)
                rows[key] = job
                jobs.append(job)
            ids.update([job.id for job in jobs[slice_start:]])
            yield
        gone = tuple(self._ids - ids)
        yield
        self._rows, self._ids, self._seen = rows, ids, True
        self._forget()
        return Listing(tuple(jobs), tuple(changed), gone)

    @property
    def listed(self) -> Iterable[Job]:
        """The jobs of the last listing."""
        return self._rows.values()

    @property
    def seen(self) -> bool:
        """Whether there was a listing yet."""
        return self._seen

    def _forget(self) -> None:
        """Keep the memories bounded: they serve speed only."""
        memories: tuple[dict[Any, Any], ...] = (self._words, self._lists, self._held, self._states, self._limits)
        for memory in memories:
            if len(memory) > _MEMORY:
                memory.clear()

    def _word(self, text: str) -> str | None:
        """Return a cleaned short text, None for none; the same object for the same text."""
        try:
            return self._words[text]
        except KeyError:
            word = None if text in gres.NOTHING else clean(text, limit=512)
            self._words[text] = word
            return word

    def _names(self, text: str) -> tuple[str, ...] | None:
        try:
            return self._lists[text]
        except KeyError:
            names = hostlist.expand(text)
            if names is not None:
                names = tuple([clean(name) for name in names])
            self._lists[text] = names
            return names

    def job(self, fields: Sequence[str], comment: str, name: str) -> Job:
        """Return the job of one row: the values of MACHINE_FIELDS, the working directory, and the free texts."""
        (raw_id, number, state_text, reason_text, user, account, partition, qos, node_count, cpus) = fields[:10]
        (_tasks, priority, submitted, starts, ends, limited, *_tres) = fields[10:21]
        (node_list, reservation, dependency, work_dir) = fields[21:]
        if _ID.fullmatch(raw_id) is None:
            raise BadAnswer("squeue gave a row without a job id", clean(" ".join(fields), limit=120), squeue.HINT)
        word = self._word
        reason = word(reason_text)
        state = self._states.get((state_text, reason_text))
        if state is None:
            state = self._states[state_text, reason_text] = job_state(state_text, reason)
        started = state not in _WAITING
        job_id, array, detail = _identity(raw_id, number, state)
        seconds, why_no_limit = self._limit(limited)
        gpus = self._accelerators(fields, started)
        missing = _NOTHING if why_no_limit is None else {"time_limit_s": why_no_limit}
        if gpus.why is not None:
            missing = {**missing, "accelerators": gpus.why}
        nodes = word(node_list) if started else None
        names = self._names(node_list) if nodes is not None else ()
        if names is None:
            missing = {**missing, "node_names": "a list of nodes that cannot be read"}
        begins = epoch(starts)
        return Job(
            id=job_id,
            cluster=self.cluster,
            name=clean(name, limit=LIMIT_FREE) if name != "(null)" else "",
            user=word(user),
            account=word(account),
            state=state,
            scheduler_state=word(state_text),
            reason=reason,
            queue=word(partition),
            qos=word(qos),
            nodes=nodes,
            node_names=names or (),
            node_count=gres.number(node_count),
            cpus=gres.number(cpus),
            memory_bytes=gpus.memory_bytes,
            accelerators=gpus.count,
            accelerator_model=gpus.model,
            submitted_at=epoch(submitted),
            started_at=begins if started else None,
            expected_start_at=begins if state is JobState.PENDING else None,
            ends_at=epoch(ends) if started else None,
            time_limit_s=seconds,
            priority=gres.number(priority),
            array=array,
            comment=clean(comment, limit=LIMIT_FREE) if comment not in gres.NOTHING else None,
            reservation=word(reservation),
            dependency=word(dependency),
            work_dir=clean(work_dir, limit=LIMIT_FREE) if work_dir not in gres.NOTHING else None,
            detail=detail,
            missing=missing,
        )

    def _limit(self, text: str) -> tuple[float | None, str | None]:
        known = self._limits.get(text)
        if known is None:
            known = self._limits[text] = limit(text)
        return known

    def _accelerators(self, fields: Sequence[str], started: bool) -> _Held:
        """Return what the job holds, or asks for: the allocation where Slurm counts it, else what was asked."""
        nodes, tasks = fields[8], fields[10]
        key = (nodes, tasks, started, *fields[16:21])
        known = self._held.get(key)
        if known is None:
            known = self._held[key] = _held(nodes, tasks, started, fields[16:21], self._gres_names)
        return known


def in_slices(told: Iterable[Told]) -> Iterator[list[Row[tuple[str, ...]]]]:
    """Yield the rows of jobs that are told by the names of MACHINE_FIELDS and FREE_FIELDS, for `JobReader.take`."""
    jobs = folded(told)
    for start in range(0, len(jobs), _SLICE_JOBS):
        some = jobs[start : start + _SLICE_JOBS]
        yield [(tuple([job.get(name, "") for name in _TOLD]), job["Comment"], job["Name"]) for job in some]


def _identity(raw: str, number: str, state: JobState) -> tuple[str, ArrayPart | None, dict[str, str]]:
    """Return the id as scancel takes it, the part of an array that it is, and further facts.

    squeue prints the task limit (`4_[3-19%3]`), which no other command accepts. A very long list of tasks is cut.
    """
    detail = {"job id": number} if number != raw and number.isascii() and number.isdigit() else _NOTHING
    head, underscore, tasks = raw.partition("_")
    if not underscore:
        return raw, None, detail
    if not tasks.startswith("["):
        active = state in _ACTIVE
        return raw, ArrayPart(id=head, tasks=1, running=int(active), pending=int(not active)), detail
    listed, _, at_once = tasks.strip("[]").partition("%")
    detail = {"tasks at once": at_once} if at_once else _NOTHING
    count = count_tasks(listed)
    job_id = f"{head}_[{listed}]"
    if len(job_id) > LIMIT_ID:
        job_id = f"{job_id[: LIMIT_ID - 4].rpartition(',')[0]},...]"
    return job_id, ArrayPart(id=head, tasks=count, pending=count), detail


def count_tasks(listed: str) -> int:
    """Return how many tasks `1,3,5-9,10-20:5` names."""
    return sum(len(span) for span in spans(listed))


def _held(nodes: str, tasks: str, started: bool, tres: Sequence[str], names: tuple[str, ...]) -> _Held:
    """`tres`: allocated, and asked for per job, node, socket and task."""
    memory = gres.memory_bytes(gres.tres(tres[0]).get("mem", ""))
    held, *asked = (gres.counts(text, names) for text in tres)
    model = gres.models(held) or next((found for each in asked if (found := gres.models(each))), None)
    job, node, socket, task = (gres.total(each) for each in asked)
    if held or job:
        return _Held(memory, gres.total(held) or job, model)
    for each, times in ((node, gres.number(nodes)), (task, gres.number(tasks))):
        if each and times is not None:
            return _Held(memory, each * times, model)
        if each:
            return _Held(memory, None, model, "asked for in parts whose number Slurm does not tell")
    if socket:
        how = "held" if started else "asked for"
        return _Held(memory, None, model, f"{socket} {how} per socket; Slurm does not tell the total")
    if NOT_TOLD in tres:
        return _Held(memory, None, None, "pyslurm does not tell what was asked for")
    return _Held(memory, 0, None)
