"""Jobs out of qstat's JSON, in slices and with a memory of what was read before.

A job whose bytes are known gives the record of last time; what is new is decoded and read a slice at a time, so that
the event loop never waits long. An array is one record, whose hosts pbsnodes knows; its tasks are asked for only
when somebody wants to see one.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from console.errors import BadAnswer
from console.model import ArrayPart, Job, JobState
from console.text import clean
from plugins.pbs import answers, comments, states, values
from plugins.pbs.commands import JOB_ID

SLICE_BYTES = 128 << 10
"""What is read between two breaths of the event loop: about 90 new jobs, 2 to 5 ms."""
_MEMORY = 20_000
_NOTHING: dict[str, Any] = {}
"""Shared by all records that have nothing to add; records never change."""
_ACTIVE = frozenset((JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED))
_WAITING = frozenset((JobState.PENDING, JobState.HELD))
_ARRAY_COUNT = re.compile(r"(Queued|Running|Exiting|Expired):(\d{1,9})", re.ASCII)
_TASK = re.compile(r"(\d+\[)\d+(\].*)", re.ASCII)
_DEFAULT_PROJECT = "_pbs_project_default"
NO_LIMIT = "no walltime was asked for"

Slices = Generator[None, None, "Listing"]


class Variables(msgspec.Struct, gc=False):
    """What is read of a job's environment; all else in it is skipped unread."""

    work_dir: Any = msgspec.field(default=None, name="PBS_O_WORKDIR")
    home: Any = msgspec.field(default=None, name="PBS_O_HOME")


class Row(msgspec.Struct, gc=False):
    """One job as qstat prints it; anything may stand anywhere."""

    name: Any = msgspec.field(default=None, name="Job_Name")
    owner: Any = msgspec.field(default=None, name="Job_Owner")
    account: Any = msgspec.field(default=None, name="Account_Name")
    state: Any = msgspec.field(default=None, name="job_state")
    queue: Any = None
    project: Any = None
    priority: Any = msgspec.field(default=None, name="Priority")
    asked: Any = msgspec.field(default=None, name="Resource_List")
    exec_host: Any = None
    exec_vnode: Any = None
    ctime: Any = None
    qtime: Any = None
    etime: Any = None
    stime: Any = None
    mtime: Any = None
    obittime: Any = None
    not_before: Any = msgspec.field(default=None, name="Execution_Time")
    estimated: Any = None
    depend: Any = None
    holds: Any = msgspec.field(default=None, name="Hold_Types")
    comment: Any = None
    exit_status: Any = msgspec.field(default=None, name="Exit_status")
    run_count: Any = None
    array_state: Any = msgspec.field(default=None, name="array_state_count")
    array_indices: Any = msgspec.field(default=None, name="array_indices_submitted")
    at_once: Any = msgspec.field(default=None, name="max_run_subjobs")
    output_path: Any = msgspec.field(default=None, name="Output_Path")
    error_path: Any = msgspec.field(default=None, name="Error_Path")
    join: Any = msgspec.field(default=None, name="Join_Path")
    keep: Any = msgspec.field(default=None, name="Keep_Files")
    sandbox: Any = None
    job_dir: Any = msgspec.field(default=None, name="jobdir")
    variables: Variables | str | None = msgspec.field(default=None, name="Variable_List")

    def resources(self) -> Mapping[str, Any]:
        """Return Resource_List."""
        return self.asked if isinstance(self.asked, dict) else _NOTHING


_DECODER = msgspec.json.Decoder(Row)


@dataclass(slots=True)
class Listing:
    """One answer of qstat, against the one before."""

    jobs: tuple[Job, ...]
    changed: tuple[Job, ...]
    """New ones, and those that differ from the listing before."""
    gone: tuple[str, ...]


def decode(piece: bytes) -> Row | None:
    """Return one entry of `Jobs`; None when it cannot be read at all."""
    return answers.decode(piece, _DECODER)


class JobReader:
    """Turns answers of qstat into jobs of one cluster. Not for two answers at once."""

    def __init__(self, cluster: str, gpus: tuple[str, ...] = ("ngpus",)) -> None:
        self.cluster = cluster
        self._gpus = gpus
        self._rows: dict[int, Job] = {}
        self._jobs: dict[str, Job] = {}
        self._words: dict[str, str | None] = {}
        self._places: dict[str, tuple[tuple[str, ...], str | None]] = {}
        self._times: dict[str, float | None] = {}
        self.unreadable = 0
        """How many jobs of the last answer could not be read."""

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What the last answer came to."""
        return tuple(self._jobs.values())

    def get(self, job_id: str) -> Job | None:
        """Return a job of the last answer."""
        return self._jobs.get(job_id)

    def read(self, answer: bytes, arrays: Mapping[str, tuple[str, ...]] = _NOTHING) -> Slices:
        """Read one answer: yields between slices, returns the Listing.

        `arrays`: on which hosts tasks of an array run, by its id. Raises BadAnswer when these are no jobs, or the
        answer ends in the middle; nothing is remembered then.
        """
        rows: dict[int, Job] = {}
        jobs: dict[str, Job] = {}
        changed: list[Job] = []
        room, unreadable = SLICE_BYTES, 0
        for job_id, piece in answers.entries(answer, "Jobs", "qstat"):
            room -= len(piece)
            if room < 0:
                room = SLICE_BYTES
                yield
            key = hash(piece)
            job = self._rows.get(key)
            if job is None or job.id != job_id or job.array is not None:
                job = self._job(job_id, piece, arrays)
                old = self._jobs.get(job_id)
                if old is not None and old == job:
                    job = old
                else:
                    changed.append(job)
            unreadable += job.scheduler_state is None
            rows[key] = jobs[job_id] = job
        yield
        gone = tuple(self._jobs.keys() - jobs.keys())
        self._rows, self._jobs, self.unreadable = rows, jobs, unreadable
        for memory in (self._words, self._places, self._times):
            if len(memory) > _MEMORY:
                memory.clear()
        yield
        return Listing(tuple(jobs.values()), tuple(changed), gone)

    def _job(self, job_id: str, piece: bytes, arrays: Mapping[str, tuple[str, ...]]) -> Job:
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
        asked = row.resources()
        array = _array(job_id, row)
        comment = values.text(row.comment, values.LIMIT)
        state = states.job_state(
            word(row.state) or "",
            running=array.running if array else 0,
            exit_status=values.whole(row.exit_status),
            comment=comment or "",
        )
        started = state not in _WAITING and row.stime is not None
        active = state in _ACTIVE
        names, folded = self._place(row.exec_host) if array is None or not hosts else (hosts, values.fold(hosts))
        limit = values.duration_s(asked.get("walltime"))
        begun = self._time(row.stime) if started else None
        missing: dict[str, str] = _NOTHING if limit is not None else {"time_limit_s": NO_LIMIT}
        accelerators, memory = self._held(row, asked, array, active)
        return Job(
            id=job_id,
            cluster=self.cluster,
            name=values.text(row.name, values.LIMIT) or "",
            user=self._owner(row.owner),
            account=word(row.account),
            state=state,
            scheduler_state=word(row.state),
            reason=_reason(row, state, comment),
            queue=word(row.queue),
            nodes=folded,
            node_names=names,
            node_count=values.count(asked.get("nodect")),
            cpus=values.count(asked.get("ncpus")),
            memory_bytes=memory,
            accelerators=accelerators,
            submitted_at=self._time(row.ctime),
            started_at=begun,
            expected_start_at=_expected(row) if state is JobState.PENDING else None,
            ends_at=_ends(self._time(row.obittime or row.mtime), begun, limit, state),
            time_limit_s=limit,
            priority=values.whole(row.priority),
            array=array,
            comment=comment,
            dependency=word(row.depend),
            work_dir=_work_dir(row),
            exit_code=values.whole(row.exit_status) if state not in _WAITING and not active else None,
            detail=_detail(row),
            missing=missing,
        )

    def _word(self, value: Any) -> str | None:
        """Return a short clean text; the same object for the same text."""
        if not isinstance(value, str):
            return values.text(value)
        try:
            return self._words[value]
        except KeyError:
            word = self._words[value] = values.text(value, values.LIMIT)
            return word

    def _owner(self, value: Any) -> str | None:
        owner = self._word(value)
        return self._word(owner.partition("@")[0]) if owner else None

    def _time(self, value: Any) -> float | None:
        if not isinstance(value, str):
            return values.time_at(value)
        try:
            return self._times[value]
        except KeyError:
            at = self._times[value] = values.time_at(value)
            return at

    def _place(self, exec_host: Any) -> tuple[tuple[str, ...], str | None]:
        """Return the hosts of a job, and the same folded."""
        if not isinstance(exec_host, str):
            return (), None
        try:
            return self._places[exec_host]
        except KeyError:
            names = values.hosts(exec_host)
            place = self._places[exec_host] = (names, values.fold(names))
            return place

    def _held(
        self, row: Row, asked: Mapping[str, Any], array: ArrayPart | None, active: bool
    ) -> tuple[int | None, int | None]:
        """Return (accelerators, bytes of memory): held by what runs, asked for by what waits.

        What a resource is asked for in each chunk only stands in `select`. An array asks for one task at a time and
        holds what its running tasks hold together.
        """
        chunks = [values.chunks(asked.get("select"))] if values.total(asked, self._gpus) is None else []
        gpus = sum(number * (values.total(each, self._gpus) or 0) for found in chunks for number, each in found)
        gpus = values.total(asked, self._gpus) or gpus
        memory = values.size_bytes(asked.get("mem"))
        if active and array is None and isinstance(row.exec_vnode, str):
            gpus = sum(values.total(held, self._gpus) or 0 for _, held in values.vnodes(row.exec_vnode))
        if active and array is not None and array.running:
            gpus *= array.running
            memory = memory * array.running if memory is not None else None
        return gpus, memory


def _array(job_id: str, row: Row) -> ArrayPart | None:
    """Return the part of an array that a row stands for: all of it, or one task."""
    if match := _TASK.fullmatch(job_id):
        active = row.state in ("R", "E", "S")
        return ArrayPart(id=match[1] + match[2], tasks=1, running=int(active), pending=int(row.state in ("Q", "W", "H")))
    if "[" not in job_id:
        return None
    counts = dict.fromkeys(("Queued", "Running", "Exiting", "Expired"), 0)
    if isinstance(row.array_state, str):
        counts.update({name: int(number) for name, number in _ARRAY_COUNT.findall(row.array_state)})
    return ArrayPart(
        id=job_id,
        tasks=sum(counts.values()),
        running=counts["Running"] + counts["Exiting"],
        pending=counts["Queued"],
    )


def _reason(row: Row, state: JobState, comment: str | None) -> str | None:
    if row.state == "W" and (not_before := values.text(row.not_before)):
        return f"not before {not_before} UTC"
    return comments.reason(comment, state, values.text(row.holds) or "", values.text(row.depend, values.LIMIT))


def _expected(row: Row) -> float | None:
    return values.time_at(row.estimated.get("start_time")) if isinstance(row.estimated, dict) else None


def _ends(ended: float | None, begun: float | None, limit: float | None, state: JobState) -> float | None:
    """Return when a job ended, or will at the latest."""
    if state in _WAITING or state is JobState.UNKNOWN:
        return None
    if state in _ACTIVE:
        return begun + limit if begun is not None and limit is not None else None
    return ended


def _work_dir(row: Row) -> str | None:
    found = row.variables.work_dir if isinstance(row.variables, Variables) else None
    return values.text(found, values.LIMIT) or values.text(row.job_dir, values.LIMIT)


def _detail(row: Row) -> dict[str, str]:
    project = values.text(row.project)
    asked = row.resources()
    status = values.whole(row.exit_status) or 0
    facts = {
        "project": project if project != _DEFAULT_PROJECT else None,
        "select": values.text(asked.get("select"), values.LIMIT),
        "place": values.text(asked.get("place")),
        "holds": "; ".join(states.holds(row.holds)) if isinstance(row.holds, str) else None,
        "vnodes": values.text(row.exec_vnode, values.LIMIT),
        "tasks": values.text(row.array_indices),
        "tasks at once": values.text(row.at_once),
        "signal": str(status - states.SIGNALLED) if status > states.SIGNALLED else None,
        "started": f"{row.run_count} times" if (values.count(row.run_count) or 0) > 1 else None,
    }
    return {label: text for label, text in facts.items() if text}
