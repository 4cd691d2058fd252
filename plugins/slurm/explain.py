"""Why a job waits, or how it ended: put together of what was asked and what is known anyway. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from console.model import (
    Cause,
    Dependency,
    Event,
    Explanation,
    Fit,
    Job,
    JobState,
    Limit,
    Node,
    PriorityPart,
    Queue,
    Reservation,
)
from console.text import clean
from plugins.slurm import fits, queueing
from plugins.slurm.details import Detail, ended_with
from plugins.slurm.queueing import Company
from plugins.slurm.reasons import Kind, Meaning, ending, meaning

BACKFILL = "the backfill scheduler, if nothing ends early and nobody more important comes"
_WAITING = (JobState.PENDING, JobState.HELD)
_RUNNING = (JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED)


@dataclass(slots=True)
class Surroundings:
    """What is known besides the job itself."""

    company: Company | None = None
    """The jobs that matter to it, out of the listing; None: not listed yet, or of no matter."""
    nodes: Sequence[Node] | None = None
    queues: tuple[Queue, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    ended: Mapping[str, Job] = field(default_factory=dict)
    """Jobs that it depends on and that are listed no longer."""
    priority: tuple[PriorityPart, ...] = ()
    limits: tuple[Limit, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    """Field of the explanation to the reason why it could not be asked."""


def explanation(detail: Detail, asked: str, around: Surroundings) -> Explanation:
    """Return what is known about one job; `asked` is the id that it was asked for by."""
    job = detail.job
    if job.state in _WAITING:
        return _waiting(detail, asked, around)
    return Explanation(
        cluster=job.cluster,
        job=asked,
        state=job.state,
        summary=_running(job) if job.state in _RUNNING else _sentence(_end(detail, asked).text),
        causes=() if job.state in (*_RUNNING, JobState.COMPLETED) else (_end(detail, asked),),
        events=_events(detail),
        missing=around.missing,
    )


# ---- a job that waits


def _waiting(detail: Detail, asked: str, around: Surroundings) -> Explanation:
    job = detail.job
    means = meaning(job.reason or "None", asked)
    missing = dict(around.missing)
    wanted = fits.need(detail)
    found: tuple[Fit, ...] = ()
    if wanted is None:
        missing["fits"] = job.missing.get("accelerators", "Slurm does not tell what it wants of each node")
    elif around.nodes is None:
        missing["fits"] = "the nodes are not listed yet"
    else:
        found = fits.fits(wanted, around.nodes, around.reservations)
        if not found:
            missing["fits"] = f"no node of its partition could ever give {wanted.words}"
    starts, source = _estimate(detail, means, around)
    if starts is None:
        missing["expected_start_at"] = _why_no_estimate(means)
    position = None
    if not queueing.competes(job):
        missing["position"] = "it does not stand in the queue before that has changed"
    elif around.company is None:
        missing["position"] = "the jobs are not listed yet"
    else:
        position = around.company.before + 1
    causes = (_cause(job, means, around), *_nodes_short(means, wanted, found))
    return Explanation(
        cluster=job.cluster,
        job=asked,
        state=job.state,
        summary=_summary(causes, wanted, means, position),
        causes=causes,
        expected_start_at=starts,
        estimate_source=source,
        position=position,
        priority=around.priority,
        limits=(*around.limits, *_own_limits(job, means, around)),
        fits=found,
        dependencies=_dependencies(job, around),
        events=_events(detail),
        missing=missing,
    )


def _cause(job: Job, means: Meaning, around: Surroundings) -> Cause:
    """Return the reason that Slurm gives, with what is known of the things that it names."""
    text, names = means.text, fits.unavailable(job.reason)
    if names:
        said = fits.states(names, around.nodes or ())
        text += f": {said}" if said else ""
    elif means.code == "Reservation" and job.reservation:
        text += f": {_reservation(job.reservation, around.reservations)}"
    elif means.kind is Kind.UNKNOWN and job.reason:
        text = f"Slurm says: {job.reason}"
    return Cause(code=job.reason or means.code, text=text, next_step=means.next_step, nodes=len(names) or None)


def _reservation(name: str, reservations: Sequence[Reservation]) -> str:
    for reservation in reservations:
        if reservation.name == name:
            where = f" on {reservation.nodes}" if reservation.nodes else ""
            return f"{name}{where}, {(reservation.state or 'of unknown state').lower()}"
    return f"{name}, of which nothing is known here"


def _nodes_short(means: Meaning, wanted: fits.Need | None, found: Sequence[Fit]) -> tuple[Cause, ...]:
    """Return what the nodes themselves say beside Slurm's reason: free, but not so that it helps; or taken away."""
    if wanted is None or means.kind is not Kind.QUEUE:
        return ()
    causes = []
    by_why = {fit.why: fit for fit in found}
    free = by_why.get(fits.FREE)
    pieces = by_why.get(fits.FRAGMENTED)
    if wanted.gpus and pieces is not None and pieces.accelerators_free and (free is None or free.count < wanted.nodes):
        where = f"free on {_count(pieces.count)}, on none of them {wanted.gpus} together"
        text = f"{pieces.accelerators_free} GPUs are {where}"
        step = f"ask for fewer GPUs on each of more nodes, if the job can do without {wanted.gpus} on one"
        causes.append(Cause(code="fragmented", text=text, next_step=step, nodes=pieces.count))
    away = [fit for fit in found if fit.why in fits.AWAY_WORDS]
    if away:
        count = sum(fit.count for fit in away)
        said = ", ".join(f"{fit.count} {fit.why} ({fit.nodes})" for fit in away)
        causes.append(Cause(code="nodes away", text=f"nodes that would fit take no work: {said}", nodes=count))
    return tuple(causes)


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def _summary(causes: Sequence[Cause], wanted: fits.Need | None, means: Meaning, position: int | None) -> str:
    what = f" for {wanted.words}" if wanted is not None and means.kind is Kind.QUEUE else ""
    stand = f" It is number {position:,} in its queue." if position is not None else ""
    lead = "It cannot start" if means.kind is Kind.STUCK else f"It waits{what}"
    more = f" {_sentence(causes[1].text)}" if len(causes) > 1 else ""
    return f"{lead}: {causes[0].text}.{stand}{more}"


def _estimate(detail: Detail, means: Meaning, around: Surroundings) -> tuple[float | None, str | None]:
    """Return when it will start, and who says so."""
    job = detail.job
    if means.code == "BeginTime":
        return job.expected_start_at, "the earliest start that it was given"
    if means.code == "Reservation":
        begins = next((one.starts_at for one in around.reservations if one.name == job.reservation), None)
        return begins, f"the begin of reservation {job.reservation}" if begins is not None else None
    if job.expected_start_at is None or means.kind is Kind.STUCK:
        return None, None
    planned = detail.fact("SchedNodes")
    return job.expected_start_at, BACKFILL + (f"; planned on {clean(planned, limit=200)}" if planned else "")


def _why_no_estimate(means: Meaning) -> str:
    if means.kind is Kind.QUEUE:
        return "the backfill scheduler has not planned it: it looks at so many jobs and so far ahead only"
    return "nobody can say before that has changed"


def _own_limits(job: Job, means: Meaning, around: Surroundings) -> tuple[Limit, ...]:
    """Return the limits that are known without asking: of the array and of the partition."""
    if means.code == "JobArrayTaskLimit" and job.array is not None:
        family = around.company.array if around.company is not None else []
        at_once = next((said for one in (job, *family) if (said := one.detail.get("tasks at once"))), None)
        runs = sum(one.array.running for one in family if one.array) if family else None
        limit = float(at_once) if at_once and at_once.isdigit() else None
        return (Limit(scope=f"array {job.array.id}", resource="tasks", used=runs, limit=limit),)
    if means.code == "PartitionTimeLimit":
        return tuple(
            Limit(
                scope=f"partition {queue.name}",
                resource="minutes",
                limit=None if queue.time_limit_s is None else queue.time_limit_s / 60,
                asked=None if job.time_limit_s is None else job.time_limit_s / 60,
            )
            for queue in around.queues
            if queue.name in (job.queue or "").split(",")
        )
    return ()


def _dependencies(job: Job, around: Surroundings) -> tuple[Dependency, ...]:
    company = around.company or Company()
    return queueing.dependencies(job.dependency, {**company.needed, **around.ended}, company.namesakes)


# ---- a job that runs or ended


def _running(job: Job) -> str:
    where = f" on {job.nodes}" if job.nodes else ""
    if job.state is JobState.COMPLETING:
        return f"It has ended; what it leaves{where} is being cleaned up."
    if job.state is JobState.SUSPENDED:
        return f"It is suspended{where}: its processes stand still and keep their memory."
    return f"It runs{where}."


def _end(detail: Detail, asked: str) -> Cause:
    """Return how a job ended, the reason of Slurm where it says more than the state."""
    job = detail.job
    state = job.scheduler_state or "UNKNOWN"
    text, step = ending(state, asked)
    reason = meaning(job.reason, asked) if job.reason else None
    code = state.partition(" ")[0]
    if reason is not None and reason.kind is not Kind.QUEUE and job.state is JobState.FAILED:
        code, text, step = reason.code, reason.text, reason.next_step or step
    said = _exit_words(detail)
    if said is not None and job.state is not JobState.COMPLETED:
        text = f"{text} ({said})"
    return Cause(code=code, text=text, next_step=step)


def _exit_words(detail: Detail) -> str | None:
    """Return `exit code 3`, `signal 9, SIGKILL`; None when it says nothing."""
    found = ended_with(detail)
    if found is None or found == (0, 0):
        return None
    code, number = found
    if number:
        try:
            return f"signal {number}, {signal.Signals(number).name}"
        except ValueError:
            # Above the signals Slurm puts errors of its own: 53 is a file that it could not open.
            return f"exit code {code}, Slurm's own error {number}"
    return f"exit code {code}"


def _events(detail: Detail) -> tuple[Event, ...]:
    """Return the life of a job in order; what has no time stands where it belongs."""
    job = detail.job
    by = f" by {job.user}" if job.user else ""
    queue = f" to {job.queue}" if job.queue else ""
    events = [Event(job.submitted_at, f"submitted{by}{queue}")]
    eligible = detail.time("EligibleTime")
    if eligible is not None and eligible != job.submitted_at:
        events.append(Event(eligible, "eligible to start"))
    restarts = detail.facts.get("RestartCnt", "")
    if restarts.isdigit() and int(restarts):
        events.append(Event(None, "put back into the queue once" if restarts == "1" else f"put back {restarts} times"))
    if job.state in _WAITING:
        looked = detail.time("LastSchedEval")
        return (*events, Event(looked, "looked at by the scheduler")) if looked is not None else tuple(events)
    if job.started_at is not None:
        events.append(Event(job.started_at, f"started on {job.nodes}" if job.nodes else "started"))
    if (preempted := detail.time("PreemptTime")) is not None:
        events.append(Event(preempted, "told to make room for a more important job"))
    if job.state not in _RUNNING:
        said = _exit_words(detail)
        state = (job.scheduler_state or "ended").lower()
        events.append(Event(job.ends_at, f"ended: {state}" + (f", {said}" if said else "")))
    return tuple(events)


def _sentence(text: str) -> str:
    """Return a text as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."
