"""Why a job of PBS waits, or how it ended, in words. Pure: everything that was asked for is in a Situation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console.model import Cause, Dependency, Event, Explanation, Job, JobState, Node, Reservation
from plugins.pbs import comments, depend, states, values
from plugins.pbs.comments import Hit
from plugins.pbs.fits import fits, none_fits
from plugins.pbs.layout import Server
from plugins.pbs.limits import limits
from plugins.pbs.rows import Row

_WAITING = frozenset((JobState.PENDING, JobState.HELD))
_RUNS = frozenset((JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED))
_QUEUE_STOPPED = "Queue not started."
ESTIMATE = "PBS's scheduler, by the walltimes of what runs: earlier when jobs end early, later when others go before it"
NO_ESTIMATE = "PBS estimates its top jobs only (backfill_depth), and all waiting ones where est_start_time_freq is set"
NO_POSITION = "PBS has no fixed order: its scheduler sorts the jobs anew in each cycle"


@dataclass(slots=True, frozen=True)
class Situation:
    """All that one explanation is made from."""

    job: Job
    row: Row
    server: Server
    queue: Mapping[str, Any]
    """Attributes of its queue as qstat prints them."""
    nodes: tuple[Node, ...] = ()
    jobs: tuple[Job, ...] = ()
    """All jobs of the last listing."""
    dependencies: tuple[Dependency, ...] = ()
    reservation: Reservation | None = None
    """The one that its queue belongs to."""
    gpus: tuple[str, ...] = ("ngpus",)


def explanation(now: Situation) -> Explanation:
    """Return what is known about why a job is where it is."""
    job = now.job
    causes, hits = _causes(now)
    at, source = _start(now)
    waits = job.state in _WAITING
    missing = dict[str, str]()
    if waits:
        missing["position"] = NO_POSITION
        queue = _or_none(values.whole(now.queue.get("Priority")))
        missing["priority"] = f"{NO_POSITION}; Priority of the job: {_or_none(job.priority)}, of its queue: {queue}"
        if at is None:
            missing["expected_start_at"] = NO_ESTIMATE
        if not now.nodes:
            missing["fits"] = "the hosts cannot be listed"
    return Explanation(
        cluster=job.cluster,
        job=job.id,
        state=job.state,
        summary=_summary(job, causes),
        causes=tuple(causes),
        expected_start_at=at,
        estimate_source=source,
        limits=limits(job, hits, now.queue, now.server.attributes, now.jobs) if waits else (),
        fits=fits(now.row, now.nodes, now.gpus) if waits else (),
        dependencies=now.dependencies,
        events=_events(now.row, job),
        missing=missing,
    )


def _or_none(number: int | None) -> str:
    return "none" if number is None else str(number)


# ---- causes


def _causes(now: Situation) -> tuple[list[Cause], list[Hit]]:
    """Return what keeps the job, the deciding one first, and the limits among them."""
    job = now.job
    if job.state not in _WAITING:
        return _ending(job) + _waiting_tasks(job, now.row), []
    found: list[Cause] = []
    hits: list[Hit] = []
    if job.state is JobState.HELD:
        found += _held(now)
    elif now.row.state == "W":
        found.append(_not_yet(now.row))
    elif now.row.state == "T":
        found.append(Cause(code="T", text="it is on its way to another queue or server"))
    found += _around(now)
    if job.state is JobState.PENDING and job.comment and job.reason:
        reading = comments.read(job.comment)
        hits += [reading.hit] if reading.hit else []
        if reading.cause.code != _QUEUE_STOPPED or not found:
            found.append(reading.cause)
    if job.state is JobState.PENDING and (nobody := none_fits(now.row, now.nodes, now.gpus)):
        found.append(nobody)
    if not found:
        text = "the scheduler has not looked at it yet, or has said nothing"
        found.append(Cause(code="no comment", text=text, next_step="look again after the next cycle of the scheduler"))
    return found, hits


def _waiting_tasks(job: Job, row: Row) -> list[Cause]:
    """Return why tasks of an array wait while others run; PBS gives no reason for a single one."""
    if job.array is None or job.state not in _RUNS or not job.array.pending:
        return []
    at_once = values.count(row.at_once)
    if at_once is not None and job.array.running >= at_once:
        return [comments.read("Number of concurrent running subjobs limit reached").cause]
    text = f"{job.array.pending} of its {job.array.tasks} tasks wait until there is room for one more"
    return [Cause(code=f"Queued:{job.array.pending}", text=text)]


def _held(now: Situation) -> list[Cause]:
    found = [depend.cause(each) for each in now.dependencies]
    for letter in values.text(now.row.holds) or "":
        if letter == "s" and found:
            continue  # PBS holds it so itself, for the dependency
        for text in states.holds(letter):
            step = f"qrls -h {letter} {now.job.id}" if letter in "uos" else ""
            found.append(Cause(code=f"Hold_Types={letter}", text=text, next_step=step))
    return found


def _not_yet(row: Row) -> Cause:
    when = values.text(row.not_before) or "its time"
    step = "qalter -a changes the time"
    return Cause(code="Execution_Time", text=f"its owner wants it to start after {when} UTC", next_step=step)


def _around(now: Situation) -> list[Cause]:
    """Return what keeps everybody: a reservation that has not begun, a queue that starts nothing, no scheduling."""
    found: list[Cause] = []
    if values.yes(now.queue.get("started")) is False:
        found.append(_stopped(now.reservation))
    if now.server.counters.scheduling is False:
        text = "scheduling is off on the whole server: nothing starts"
        step = "a manager of PBS turns it on: qmgr -c 'set server scheduling = True'"
        found.append(Cause(code="scheduling = False", text=text, next_step=step))
    return found


def _stopped(reservation: Reservation | None) -> Cause:
    """Return what a queue that starts nothing waits for; that of a reservation is started when it begins."""
    if reservation is None:
        return comments.read(_QUEUE_STOPPED).cause
    text = f"its queue is that of the reservation {reservation.name}, which has not begun ({reservation.state})"
    return Cause(code=f"reservation {reservation.name}", text=text, next_step="it can start when that begins")


def _ending(job: Job) -> list[Cause]:
    """Return how a job that is over ended; what runs is kept by nothing."""
    if job.state in _RUNS or job.state is JobState.UNKNOWN:
        return []
    status = job.exit_code
    if status is None:
        return [
            Cause(code=job.reason or "no exit status", text="it was deleted, or its dependency failed, before it ran")
        ]
    text = {
        JobState.COMPLETED: "it ended well",
        JobState.TIMEOUT: "it used up its walltime and was ended",
        JobState.CANCELLED: "somebody deleted it while it ran",
    }.get(job.state, f"it ended with status {status}")
    if job.state is JobState.FAILED and status > states.SIGNALLED:
        text = f"it was ended by signal {status - states.SIGNALLED}"
    elif job.state is JobState.FAILED and 128 < status < states.SIGNALLED:
        text = f"its script was ended by signal {status - 128} (status {status})"
    elif job.state is JobState.FAILED and status < 0:
        text = f"PBS could not start it, or ended it ({status})"
    step = "" if job.state in (JobState.COMPLETED, JobState.CANCELLED) else "look at its log"
    return [Cause(code=f"Exit_status={status}", text=text, next_step=step)]


# ---- the rest


def _summary(job: Job, causes: list[Cause]) -> str:
    if job.state in _RUNS:
        where = f" on {job.nodes}" if job.nodes else ""
        verb = "is suspended" if job.state is JobState.SUSPENDED else "runs"
        return f"It {verb}{where}{f'; {causes[0].text}' if causes else ''}."
    if job.state is JobState.UNKNOWN:
        return f"PBS says its state is {job.scheduler_state or 'not known'}."
    first = causes[0].text
    if job.state in _WAITING:
        return f"It {'is held' if job.state is JobState.HELD else 'waits'}: {first}."
    return f"{first[:1].upper()}{first[1:]}."


def _start(now: Situation) -> tuple[float | None, str | None]:
    """Return when the job is expected to start, and who says so."""
    if now.job.state not in _WAITING:
        return None, None
    if now.job.expected_start_at is not None:
        return now.job.expected_start_at, ESTIMATE
    if now.row.state == "W" and (at := values.time_at(now.row.not_before)) is not None:
        return at, "its owner (qsub -a): not before that, and then when there is room"
    if now.reservation is not None and now.reservation.starts_at is not None:
        return now.reservation.starts_at, "the start of its reservation"
    return None, None


def _events(row: Row, job: Job) -> tuple[Event, ...]:
    """Return what happened, in order: what PBS keeps of it."""
    runs = values.count(row.run_count) or 0
    again = f", for the {runs}. time," if runs > 1 else ""
    found = [
        (values.time_at(row.ctime), "submitted"),
        (values.time_at(row.qtime), f"queued in {job.queue}"),
        (values.time_at(row.etime), "eligible to run"),
        (values.time_at(row.stime), f"started{again} on {job.nodes}" if job.nodes else f"started{again}"),
        (values.time_at(row.obittime), "ended"),
    ]
    return tuple(Event(at=at, text=text) for at, text in sorted((each for each in found if each[0]), key=_when))


def _when(event: tuple[float | None, str]) -> float:
    return event[0] or 0.0


def reservation(queue: str | None, known: tuple[Reservation, ...]) -> Reservation | None:
    """Return the reservation that a queue belongs to: `R12` is the queue of `R12.pbs01`."""
    return next((each for each in known if queue and each.name.partition(".")[0] == queue), None)
