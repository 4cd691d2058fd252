"""Jobs out of squeue's text, in slices and with a memory of what was read before.

A listing of a hundred thousand jobs is mostly the same as the one before. A row whose bytes are known gives the
record of last time; what is new is parsed a slice at a time, so that the event loop never waits long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass

from console.errors import BadAnswer
from console.model import ArrayPart, Job, JobState
from console.text import clean
from plugins.slurm import gres, hostlist
from plugins.slurm.commands import FREE_FIELDS, SEPARATOR
from plugins.slurm.states import job_state
from plugins.slurm.times import UNLIMITED, epoch, limit

SLICE_BYTES = 64 << 10
"""What is parsed between two breaths of the event loop: about 250 new jobs, 2 to 5 ms."""
LIMIT_FREE = 4096
LIMIT_ID = 256
_MEMORY = 20_000
_ID = re.compile(r"[0-9]+(?:_(?:[0-9]+|\[[^\]]*\]?)|\+[0-9]+)?", re.ASCII)
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
class _Gpus:
    count: int | None
    model: str | None
    why: str | None = None


class JobReader:
    """Turns answers of squeue into jobs of one cluster. Not for two answers at once."""

    def __init__(self, cluster: str, gres_names: tuple[str, ...] = ("gpu",)) -> None:
        self.cluster = cluster
        self._gres_names = gres_names
        self._rows: dict[int, Job] = {}
        self._ids: frozenset[str] = frozenset()
        self._words: dict[str, str | None] = {}
        self._lists: dict[str, tuple[str, ...] | None] = {}
        self._gpus: dict[tuple[str, ...], _Gpus] = {}

    def read(self, answer: bytes, nonce: str, fields: tuple[str, ...]) -> Slices:
        """Read the answer to `Commands.queue(nonce, fields)`: yields between slices, returns the Listing.

        Raises BadAnswer when it is not that answer, or ends in the middle of it; nothing is remembered then.
        """
        end = nonce.encode() + b"\n"
        rows: dict[int, Job] = {}
        changed: list[Job] = []
        jobs: list[Job] = []
        known = self._rows
        position = 0
        columns = _Columns(fields)
        while position < len(answer):
            cut = answer.find(end, position + SLICE_BYTES)
            if cut < 0:
                cut = answer.rfind(end, position)
                if cut < 0 or cut + len(end) != len(answer):
                    raise _broken(answer, position if cut < 0 else cut + len(end))
            stop = cut + len(end)
            pieces = answer[position:stop].decode("utf-8", "replace").split(nonce)
            position = stop
            for row in _rows(pieces):
                key = hash(row)
                job = known.get(key)
                if job is None:
                    job = self._job(row, columns)
                    changed.append(job)
                rows[key] = job
                jobs.append(job)
            yield
        ids = frozenset([job.id for job in jobs])
        gone = tuple(self._ids - ids)
        yield
        self._rows, self._ids = rows, ids
        self._forget()
        return Listing(tuple(jobs), tuple(changed), gone)

    def _forget(self) -> None:
        """Keep the memories bounded: they serve speed only."""
        for memory in (self._words, self._lists, self._gpus):
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

    def _job(self, row: tuple[str, str, str], columns: _Columns) -> Job:
        machine, comment, name = row
        values = machine.split(SEPARATOR, columns.count)
        if len(values) != columns.count + 1:
            raise BadAnswer("squeue gave a row that cannot be read", clean(machine, limit=120), _HINT)
        value = columns.getter(values)
        work_dir = values[-1]
        raw_id = value("JobArrayID")
        if _ID.fullmatch(raw_id) is None:
            raise BadAnswer("squeue gave a row without a job id", clean(machine, limit=120), _HINT)
        reason = self._word(value("Reason"))
        scheduler_state = self._word(value("State"))
        state = job_state(scheduler_state or "", reason)
        started = state not in (JobState.PENDING, JobState.HELD)
        job_id, array, detail = _identity(raw_id, value("JobID"), state)
        seconds, why_no_limit = limit(value("TimeLimit"))
        node_count = gres.number(value("NumNodes"))
        gpus = self._accelerators(value, started)
        allocated = gres.tres(value("tres-alloc"))
        missing: dict[str, str] = {}
        if why_no_limit is not None:
            missing["time_limit_s"] = why_no_limit
        if gpus.why is not None:
            missing["accelerators"] = gpus.why
        nodes = self._word(value("NodeList")) if started else None
        names = self._names(value("NodeList")) if nodes is not None else ()
        if names is None:
            missing["node_names"] = "a list of nodes that cannot be read"
        begins = epoch(value("StartTime"))
        return Job(
            id=job_id,
            cluster=self.cluster,
            name=clean(name, limit=LIMIT_FREE) if name != "(null)" else "",
            user=self._word(value("UserName")),
            account=self._word(value("Account")),
            state=state,
            scheduler_state=scheduler_state,
            reason=reason,
            queue=self._word(value("Partition")),
            qos=self._word(value("QOS")),
            nodes=nodes,
            node_names=names or (),
            node_count=node_count,
            cpus=gres.number(value("NumCPUs")),
            memory_bytes=gres.memory_bytes(allocated.get("mem", "")),
            accelerators=gpus.count,
            accelerator_model=gpus.model,
            submitted_at=epoch(value("SubmitTime")),
            started_at=begins if started else None,
            expected_start_at=begins if state is JobState.PENDING else None,
            ends_at=epoch(value("EndTime")) if started else None,
            time_limit_s=seconds,
            priority=gres.number(value("PriorityLong")),
            array=array,
            comment=clean(comment, limit=LIMIT_FREE) if comment not in gres.NOTHING else None,
            reservation=self._word(value("Reservation")),
            dependency=self._word(value("Dependency")),
            work_dir=clean(work_dir, limit=LIMIT_FREE) if work_dir not in gres.NOTHING else None,
            detail=detail,
            missing=missing,
        )

    def _accelerators(self, value: Callable[[str], str], started: bool) -> _Gpus:
        """Return what the job holds, or asks for: the allocation where Slurm counts it, else what was asked."""
        key = (
            value("tres-alloc"),
            value("tres-per-job"),
            value("tres-per-node"),
            value("tres-per-task"),
            value("tres-per-socket"),
            value("NumNodes"),
            value("NumTasks"),
            "started" if started else "",
        )
        known = self._gpus.get(key)
        if known is None:
            known = self._gpus[key] = _gpus(key, self._gres_names)
        return known


_HINT = "is squeue replaced by a wrapper here? it must pass -O through"


class _Columns:
    """Where which field stands; a field that this release of squeue does not know reads as empty."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.count = len(fields)
        self._index = {name: index for index, name in enumerate(fields)}

    def getter(self, values: list[str]) -> Callable[[str], str]:
        index = self._index

        def value(name: str) -> str:
            at = index.get(name)
            return "" if at is None else values[at]

        return value


def _rows(pieces: list[str]) -> Generator[tuple[str, str, str], None, None]:
    """Group the pieces between nonces: machine fields with the directory, comment, name; the last one is a newline."""
    width = len(FREE_FIELDS)
    if len(pieces) % width != 1 or pieces[-1] != "\n":
        raise BadAnswer("squeue gave half a row", clean(pieces[0], limit=120), _HINT)
    first = pieces[0]
    for index in range(0, len(pieces) - 1, width):
        machine = first if index == 0 else pieces[index]
        if index:
            if machine[:1] != "\n":
                raise BadAnswer("squeue gave rows that run into one another", clean(machine, limit=120), _HINT)
            machine = machine[1:]
        yield machine, pieces[index + 1], pieces[index + 2]


def _broken(answer: bytes, position: int) -> BadAnswer:
    text = answer[position : position + 400].decode("utf-8", "replace")
    if position == 0:
        return BadAnswer(f"squeue printed something else than jobs: {clean(text, limit=160)}", "squeue", _HINT)
    return BadAnswer("squeue stopped in the middle of its answer", clean(text, limit=120), "it is asked again soon")


def _identity(raw: str, number: str, state: JobState) -> tuple[str, ArrayPart | None, dict[str, str]]:
    """Return the id as scancel takes it, the part of an array that it is, and further facts.

    squeue prints the task limit (`4_[3-19%3]`), which no other command accepts. A very long list of tasks is cut.
    """
    detail = {"job id": number} if number and number != raw and number.isascii() and number.isdigit() else {}
    head, underscore, tasks = raw.partition("_")
    if not underscore:
        return raw, None, detail
    if not tasks.startswith("["):
        active = state in _ACTIVE
        return raw, ArrayPart(id=head, tasks=1, running=int(active), pending=int(not active)), detail
    listed, _, at_once = tasks.strip("[]").partition("%")
    if at_once:
        detail = {**detail, "tasks at once": at_once}
    detail.pop("job id", None)
    count = count_tasks(listed)
    job_id = f"{head}_[{listed}]"
    if len(job_id) > LIMIT_ID:
        job_id = f"{job_id[: LIMIT_ID - 4].rpartition(',')[0]},...]"
    return job_id, ArrayPart(id=head, tasks=count, pending=count), detail


def count_tasks(listed: str) -> int:
    """Return how many tasks `1,3,5-9,10-20:5` names."""
    count = 0
    for part in listed.split(","):
        span, _, step = part.partition(":")
        first, dash, last = span.partition("-")
        if not first.isdigit():
            continue
        if dash and last.isdigit():
            count += max(0, (int(last) - int(first)) // max(int(step) if step.isdigit() else 1, 1) + 1)
        else:
            count += 1
    return count


def _gpus(key: tuple[str, ...], names: tuple[str, ...]) -> _Gpus:
    tres, per_job, per_node, per_task, per_socket, nodes, tasks, started = key
    held = gres.counts(tres, names)
    asked = [gres.counts(text, names) for text in (per_job, per_node, per_task, per_socket)]
    model = gres.models(held) or next((found for each in asked if (found := gres.models(each))), None)
    if held:
        return _Gpus(gres.total(held), model)
    job, node, task, socket = (gres.total(each) for each in asked)
    if job:
        return _Gpus(job, model)
    for each, times in ((node, gres.number(nodes)), (task, gres.number(tasks))):
        if each and times is not None:
            return _Gpus(each * times, model)
        if each:
            return _Gpus(None, model, "asked for in parts whose number Slurm does not tell")
    if socket:
        how = "held" if started else "asked for"
        return _Gpus(None, model, f"{socket} {how} per socket; Slurm does not tell the total")
    return _Gpus(0, None)


__all__ = ["UNLIMITED", "JobReader", "Listing", "Slices", "count_tasks"]
