"""Jobs out of qstat's JSON, in slices and with a memory of what was read before.

A job whose bytes are known gives the record of last time; what is new is decoded and read a slice at a time, so that
the event loop never waits long. An array is one record, whose hosts pbsnodes knows; its tasks are asked for only
when somebody wants to see one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from console.errors import BadAnswer
from console.model import ArrayPart, Job, JobState
from console.text import clean
from plugins.pbs import answers, comments, states, values
from plugins.pbs.commands import JOB_ID
from plugins.pbs.rows import Asked, Row, Variables, asked_for, decode, held_gpus

SLICE_BYTES = 64 << 10
"""What is read between two breaths of the event loop: about 45 new jobs, 1 to 4 ms."""
_MEMORY = 20_000
_NOTHING: dict[str, Any] = {}
"""Shared by all records that have nothing to add; records never change."""
_ACTIVE = frozenset((JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED))
_WAITING = frozenset((JobState.PENDING, JobState.HELD))
_ARRAY_COUNT = re.compile(r"(Queued|Running|Exiting|Expired):(-?\d{1,9})", re.ASCII)
_INDICES = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?", re.ASCII)
_TASK = re.compile(r"(\d+\[)\d+(\].*)", re.ASCII)
_DEFAULT_PROJECT = "_pbs_project_default"
_NO_LIMIT = {"time_limit_s": "no walltime was asked for"}

Slices = Generator[None, None, "Listing"]
T = TypeVar("T")


@dataclass(slots=True)
class Listing:
    """One answer of qstat, against the one before."""

    jobs: tuple[Job, ...]
    changed: tuple[Job, ...]
    """New ones, and those that differ from the listing before."""
    gone: tuple[str, ...]


class JobReader:
    """Turns answers of qstat into jobs of one cluster. Not for two answers at once."""

    def __init__(self, cluster: str, gpus: tuple[str, ...] = ("ngpus",)) -> None:
        self.cluster = cluster
        self._gpus = gpus
        self._rows: dict[int, Job] = {}
        self._jobs: dict[str, Job] = {}
        self._words: dict[Any, str | None] = {}
        self._times: dict[Any, float | None] = {}
        self._asked: dict[Any, Asked] = {}
        self._places: dict[Any, tuple[tuple[str, ...], str | None]] = {}
        self._held: dict[Any, int] = {}
        self._reasons: dict[Any, str | None] = {}
        self._details: dict[Any, dict[str, str]] = {}
        self.unreadable = 0
        """How many jobs of the last answer could not be read."""

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What the last answer came to."""
        return tuple(self._jobs.values())

    def get(self, job_id: str) -> Job | None:
        """Return a job of the last answer."""
        return self._jobs.get(job_id)

    def place(self, arrays: Mapping[str, tuple[str, ...]]) -> tuple[Job, ...]:
        """Take where tasks of arrays run now; return the arrays of the last answer for which that changed."""
        moved: list[Job] = []
        for job_id, hosts in arrays.items():
            job = self._jobs.get(job_id)
            if job is not None and job.node_names != hosts:
                missing = {name: why for name, why in job.missing.items() if name != "nodes"}
                job = msgspec.structs.replace(job, node_names=hosts, nodes=values.fold(hosts), missing=missing)
                self._jobs[job_id] = job
                moved.append(job)
        return tuple(moved)

    def read(self, answer: bytes, arrays: Mapping[str, tuple[str, ...]] = _NOTHING) -> Slices:
        """Read one answer: yields between slices, returns the Listing.

        `arrays`: on which hosts tasks of an array run, by its id. Raises BadAnswer when these are no jobs, or the
        answer ends in the middle; nothing is remembered then.
        """
        rows: dict[int, Job] = {}
        jobs: dict[str, Job] = {}
        changed: list[Job] = []
        room, unreadable = SLICE_BYTES, 0
        for piece in answers.pieces(answer, "Jobs", "qstat"):
            room -= len(piece)
            if room < 0:
                room = SLICE_BYTES
                yield
            key = hash(piece)
            job = self._rows.get(key)
            if job is None or job.array is not None:
                job = self._read_one(*answers.named(piece, "qstat"), arrays)
                old = self._jobs.get(job.id)
                if old is not None and old == job:
                    job = old
                else:
                    changed.append(job)
            unreadable += job.scheduler_state is None
            rows[key] = jobs[job.id] = job
        yield
        gone = tuple(self._jobs.keys() - jobs.keys())
        self._rows, self._jobs, self.unreadable = rows, jobs, unreadable
        self._forget()
        yield
        return Listing(tuple(jobs.values()), tuple(changed), gone)

    def _forget(self) -> None:
        """Keep the memories bounded: they serve speed only."""
        memories: tuple[dict[Any, Any], ...] = (
            *(self._words, self._times, self._asked, self._places, self._held, self._reasons, self._details),
        )
        for memory in memories:
            if len(memory) > _MEMORY:
                memory.clear()

    def _read_one(self, job_id: str, piece: bytes, arrays: Mapping[str, tuple[str, ...]]) -> Job:
        if JOB_ID.fullmatch(job_id) is None:
            raise BadAnswer("qstat gave an entry without a job id", clean(piece[:120]), "run it by hand there")
        row = decode(piece)
        if row is None or self._word(row.state) is None:
            why = "qstat printed this job in a form that cannot be read"
            return Job(id=job_id, cluster=self.cluster, missing={"state": why})
        return self.job(job_id, row, arrays.get(job_id, ()))

    def job(self, job_id: str, row: Row, hosts: tuple[str, ...] = ()) -> Job:
        """Return the record of one job; `hosts` of an array: where tasks of it run."""
        word = self._word
        asked = _cached(self._asked, bytes(row.asked), lambda _: asked_for(row.resources(), self._gpus))
        array = _array(job_id, row) if "[" in job_id else None
        comment = word(row.comment)
        exit_status = None if row.exit_status is None else values.whole(row.exit_status)
        running = array.running if array is not None else 0
        state = states.job_state(str(row.state), running=running, exit_status=exit_status, comment=comment or "")
        active, waiting = state in _ACTIVE, state in _WAITING
        names, folded = (hosts, values.fold(hosts)) if hosts else self._place(row.exec_host)
        begun = None if waiting else self._time(row.stime)
        gpus, memory = asked.gpus, asked.memory_bytes
        if active and array is None and row.exec_vnode is not None:
            gpus = _cached(self._held, str(row.exec_vnode), lambda _: held_gpus(row.exec_vnode, self._gpus))
        elif active and running:
            # An array asks for one task at a time, and holds what its running tasks hold together.
            gpus, memory = gpus * running, None if memory is None else memory * running
        depend = word(row.depend)
        return Job(
            id=job_id,
            cluster=self.cluster,
            name=word(row.name) or "",
            user=self._owner(row.owner),
            account=word(row.account),
            state=state,
            scheduler_state=word(row.state),
            reason=self._reason(row, state, comment, depend),
            queue=word(row.queue),
            nodes=folded,
            node_names=names,
            node_count=asked.hosts,
            cpus=asked.cpus,
            memory_bytes=memory,
            accelerators=gpus,
            submitted_at=self._time(row.ctime),
            started_at=begun,
            expected_start_at=_expected(row) if state is JobState.PENDING else None,
            ends_at=self._ends(row, begun, asked.walltime_s, state),
            time_limit_s=asked.walltime_s,
            priority=values.whole(row.priority),
            array=array,
            comment=comment,
            dependency=depend,
            work_dir=word(row.variables.work_dir if isinstance(row.variables, Variables) else row.job_dir),
            exit_code=None if waiting or active else exit_status,
            detail=self._detail(row, asked, exit_status),
            missing=_missing(asked.walltime_s is not None, bool(names) or not running),
        )

    def _word(self, value: Any) -> str | None:
        """Return a short clean text; the same object for the same text."""
        if value is None:
            return None
        if not isinstance(value, str):
            return values.text(value)
        try:
            return self._words[value]
        except KeyError:
            word = self._words[value] = values.text(value, values.LIMIT)
            return word

    def _owner(self, value: Any) -> str | None:
        return self._word(value.partition("@")[0]) if isinstance(value, str) else None

    def _time(self, value: Any) -> float | None:
        return _cached(self._times, value, values.time_at) if isinstance(value, str) else values.time_at(value)

    def _place(self, exec_host: Any) -> tuple[tuple[str, ...], str | None]:
        """Return the hosts of a job, and the same folded."""
        if exec_host is None:
            return (), None
        return _cached(self._places, str(exec_host), lambda text: ((found := values.hosts(text)), values.fold(found)))

    def _reason(self, row: Row, state: JobState, comment: str | None, depend: str | None) -> str | None:
        if row.state == "W":
            return f"not before {values.text(row.not_before)} UTC"
        holds = self._word(row.holds) or ""
        key = (state, comment, holds, depend)
        return _cached(self._reasons, key, lambda _: comments.reason(comment, state, holds, depend))

    def _ends(self, row: Row, begun: float | None, limit: float | None, state: JobState) -> float | None:
        """Return when a job ended, or will at the latest."""
        if state in _WAITING or state is JobState.UNKNOWN:
            return None
        if state in _ACTIVE:
            return begun + limit if begun is not None and limit is not None else None
        return self._time(row.obittime if row.obittime is not None else row.mtime)

    def _detail(self, row: Row, asked: Asked, exit_status: int | None) -> dict[str, str]:
        """Return further facts; jobs for which they are the same share them."""
        texts = (row.project, row.holds, row.exec_vnode, row.array_indices, row.at_once, row.run_count)
        key = (asked.select, asked.place, exit_status, *map(str, texts))
        return _cached(self._details, key, lambda _: _facts(row, asked, exit_status))


def _cached(memory: dict[Any, T], key: Any, make: Callable[[Any], T]) -> T:
    try:
        return memory[key]
    except KeyError:
        found = memory[key] = make(key)
        return found


def _array(job_id: str, row: Row) -> ArrayPart:
    """Return the part of an array that a row stands for: all of it, or one task."""
    if match := _TASK.fullmatch(job_id):
        active, waits = row.state in ("R", "E", "S"), row.state in ("Q", "W", "H")
        return ArrayPart(id=match[1] + match[2], tasks=1, running=int(active), pending=int(waits))
    counts = dict.fromkeys(("Queued", "Running", "Exiting", "Expired"), 0)
    if isinstance(row.array_state, str):
        # A number below zero counts nothing.
        counts.update({name: max(int(number), 0) for name, number in _ARRAY_COUNT.findall(row.array_state)})
    running = counts["Running"] + counts["Exiting"]
    tasks = _submitted(row.array_indices) or sum(counts.values())
    return ArrayPart(id=job_id, tasks=tasks, running=running, pending=counts["Queued"])


def _submitted(indices: Any) -> int:
    """Return how many tasks `1-6:2` or `1,3,5-9` names."""
    found = 0
    for part in indices.split(",") if isinstance(indices, str) else ():
        if match := _INDICES.fullmatch(part.strip()):
            first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
            found += max((last - first) // max(step, 1) + 1, 0)
    return found


def _missing(limited: bool, placed: bool) -> dict[str, str]:
    found = _NOTHING if limited else _NO_LIMIT
    return found if placed else {**found, "nodes": "pbsnodes tells where tasks of an array run: with the next listing"}


def _expected(row: Row) -> float | None:
    return values.time_at(row.estimated.get("start_time")) if isinstance(row.estimated, dict) else None


def _facts(row: Row, asked: Asked, exit_status: int | None) -> dict[str, str]:
    project = values.text(row.project)
    status = exit_status or 0
    facts = {
        "project": project if project != _DEFAULT_PROJECT else None,
        "select": asked.select,
        "place": asked.place,
        "holds": "; ".join(states.holds(row.holds)) if isinstance(row.holds, str) else None,
        "vnodes": values.text(row.exec_vnode, values.LIMIT),
        "tasks": values.text(row.array_indices),
        "tasks at once": values.text(row.at_once),
        "signal": str(status - states.SIGNALLED) if status > states.SIGNALLED else None,
        "started": f"{row.run_count} times" if (values.count(row.run_count) or 0) > 1 else None,
    }
    return {label: text for label, text in facts.items() if text}
