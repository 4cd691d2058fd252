"""What the comment of a job means: the words of PBS's scheduler in plain ones, with what to do. Pure.

PBS has no codes: one sentence says why a job waits. Sentences that are not known here are shown as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from console.model import Cause, JobState
from plugins.pbs.depend import waits_for
from plugins.pbs.states import holds

_PREFIX = re.compile(r"(Not Running|Can Never Run): *(.*)", re.DOTALL)
_RAN = ("Job run at ", "Job Array Began at ", "Job was sent for execution at ")
"""Begin comments that say since when and where a job runs, or ran, not why it waits."""
_NOT_OVER = frozenset((JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED, JobState.UNKNOWN))


def reason(comment: str | None, state: JobState, hold_types: str, depend: str | None) -> str | None:
    """Return why a job waits or how it ended, as PBS says it; a held job without a comment says who holds it."""
    if state is JobState.PENDING:
        return (sentence(comment)[1] or None) if comment and not comment.startswith(_RAN) else None
    if state is JobState.HELD:
        waits = waits_for(depend) if depend else ""
        return f"depends on {waits}" if waits else comment or "; ".join(holds(hold_types)) or None
    return None if state in _NOT_OVER else comment


def sentence(comment: str) -> tuple[bool, str]:
    """Return whether a job can never run as it is, and the sentence that says why it does not."""
    match = _PREFIX.match(comment)
    return (match[1] == "Can Never Run", match[2].strip()) if match else (False, comment.strip())


@dataclass(slots=True, frozen=True)
class Hit:
    """A limit that a sentence names."""

    queue: str | None
    """None: of the server."""
    who: str
    """user | group | project | all"""
    resource: str | None
    """None: it limits how many jobs run."""


@dataclass(slots=True, frozen=True)
class Reading:
    """What a comment comes to."""

    cause: Cause
    hit: Hit | None = None


_LIMIT_STEP = "it starts when jobs that count against this limit end; managers of PBS may raise it (qmgr)"
_QUEUE_LIMIT = r"(?:[Qq]ueue (?P<queue>[^\s']+?)(?:'s)?(?=[\s.]|$))"
_LIMITS: tuple[tuple[str, str], ...] = (
    (rf"{_QUEUE_LIMIT} job limit has been reached", "all"),
    (r"Server job limit has been reached", "all"),
    (rf"(?P<who>User|Group|Project) has reached (?:server|{_QUEUE_LIMIT}) running (?:job )?limit", ""),
    (
        rf"(?:Server|{_QUEUE_LIMIT}) per-(?P<who>user|group|project)(?: job)? limit reached"
        r"(?: on resource (?P<res>\S+))?",
        "",
    ),
    (rf"(?:Server|{_QUEUE_LIMIT}) job limit reached for (?P<who>user|group|project) \S+", ""),
    (
        r"would exceed (?P<who>user|group|project) .+?'s limit on resource (?P<res>\S+)"
        rf" in (?:complex|{_QUEUE_LIMIT})",
        "",
    ),
    (rf"would exceed overall limit on resource (?P<res>\S+) in (?:complex|{_QUEUE_LIMIT})", "all"),
)

_RESERVED = "it starts later, or where the reservation is not; a shorter walltime may fit before it (pbs_rstat)"
_PROVISION = "look at the provisioning of PBS on those vnodes (qmgr: provision_enable, current_aoe)"
_SENTENCES: tuple[tuple[str, str, str], ...] = (
    (
        r"Queue not started",
        "its queue is stopped: it takes jobs and starts none",
        "operators start it (qstart QUEUE); or move the job to another queue (qmove)",
    ),
    (
        r"Queue not an execution queue",
        "its queue only hands jobs on to others, and none of them takes it",
        "look at the queues it leads to (qstat -Qf), or move the job (qmove)",
    ),
    (r"Dedicated time conflict", "the cluster is set aside for dedicated time now", "it starts after that"),
    (
        r"Job would cross dedicated time boundary",
        "it would not be over when dedicated time begins",
        "ask for a walltime that ends before that, or wait until it is over",
    ),
    (
        r"Not enough (?:of the right type of nodes are|free nodes) available",
        "not enough hosts that fit it are free",
        "it starts when enough of them are free; fewer or smaller chunks may start sooner",
    ),
    (
        r"Not enough total nodes available",
        "there are not enough hosts that fit it, busy or free",
        "ask for fewer or smaller chunks; hosts that are offline or down count as absent",
    ),
    (r"No available resources on nodes", "no host has what it asks for free", "it starts when one has"),
    (
        r"Job would interfere with a top job",
        "it would delay a more important job for which PBS keeps hosts free",
        "it starts after that one; a shorter walltime may fit before it",
    ),
    (r"Job would interfere with a (?:confirmed )?reservation", "it would run into a reservation", _RESERVED),
    (
        r"Job would conflict with reservation or top job",
        "it would run into a reservation, or delay a more important job",
        _RESERVED,
    ),
    (r"Job will run in primetime only", "it runs in prime time only", "it starts in prime time at the earliest"),
    (r"Job will run in nonprimetime only", "it runs outside of prime time only", "it starts when prime time is over"),
    (
        r"Job will cross into (?P<what>.+)",
        "it would not be over when {what} begins",
        "ask for a walltime that ends before, or wait",
    ),
    (
        r"Specified (?P<what>.+?) does not exist: (?P<name>.+)",
        "the {what} {name} that it asks for does not exist",
        "ask for another one (qalter -l select=…)",
    ),
    (
        r"Can't preempt enough work to run job",
        "not enough of what runs may be pushed aside for it",
        "it starts when enough is free",
    ),
    (
        r"Job has zero shares for fairshare",
        "its owner has no share of this cluster",
        "ask the operators for a share (resource_group of the scheduler)",
    ),
    (
        r"Node is in an ineligible state: (?P<what>.+)",
        "a host that it needs is out of service: {what}",
        "it starts when that host is back (pbsnodes -l lists such hosts), or ask for others",
    ),
    (r"Node is of an ineligible type: (?P<what>.+)", "a host that it needs is of the type {what}", "ask for others"),
    (
        r"(?P<what>.+) is requesting an exclusive node and node is in use",
        "it wants a host to itself, and others run there",
        "it starts when that host is empty; without place=excl it may start sooner",
    ),
    (
        r"Node has reached (?P<what>job|user|group) run limit",
        "a host that it needs runs as many jobs as its {what} limit allows",
        "it starts when one of them ends",
    ),
    (r"Node can't satisfy a multi-node job", "a host that it needs takes jobs of one host only", "ask for others"),
    (
        r"Node ineligible because job requested pack placement and won't fit on node",
        "it wants to be on one host, and no host has that much free",
        "it starts when one has; with place=scatter or free it may start sooner",
    ),
    (
        r"Job would break strict sorted order",
        "jobs start strictly in their order here, and one before it waits",
        "it starts after that one",
    ),
    (
        r"(?P<what>.+) set (?P<name>.+) has too few free resources",
        "the group of hosts {name} ({what}) has too little free for it",
        "it starts when it has; without group= in place it may start sooner",
    ),
    (
        r"can't fit in the largest placement set, and can't span psets",
        "no group of hosts is large enough for it, and it may not spread over several",
        "ask for fewer chunks, or for place without group=",
    ),
    (
        r"Job is under job_sort_formula threshold value",
        "its score is below what this cluster starts",
        "its score grows while it waits, if the formula counts that: ask the operators",
    ),
    (
        r"Number of concurrent running subjobs limit reached",
        "as many tasks of this array run as it allows itself",
        "it goes on when one of them ends; qalter -W max_run_subjobs=N changes that",
    ),
    (r"Cannot provision, (?P<what>.+)", "a host cannot be prepared for it: {what}", _PROVISION),
    (r"Provision(?:ing)? .+", "preparing a host for it would disturb another job or reservation", _PROVISION),
    (
        r"PBS Error: (?P<what>.+)",
        "PBS tried to start it and failed: {what}",
        "it is tried again; if it stays so, show this to the operators (tracejob JOB)",
    ),
    (
        r"Job held by (?P<what>\S+) on (?P<name>.+)",
        "{what} holds it since {name}",
        "who holds it may release it (qrls)",
    ),
    (
        r"[Jj]ob held,? too many failed attempts to run",
        "it failed to start too often and is held now",
        "find out why (tracejob JOB), then a manager of PBS releases it (qrls -h s)",
    ),
    (r"Internal Scheduling Error", "the scheduler made an error with it", "show this to the operators"),
    (r"Node has no PBS license", "a host that it needs has no licence of PBS", "tell the operators"),
)

_AMOUNT = re.compile(
    r"Insufficient amount of (?P<level>server |queue )?resource: *(?P<name>[^\s(]+) *"
    r"(?:\(R: *(?P<asked>\S+) +A: *(?P<free>\S+) +T: *(?P<total>\S+?)\)|(?P<rest>.*))"
)
_KNOWN = tuple((re.compile(pattern), text, step) for pattern, text, step in _SENTENCES)
_KNOWN_LIMITS = tuple((re.compile(pattern), who) for pattern, who in _LIMITS)


def read(comment: str) -> Reading:
    """Return what a comment says, in plain words; a sentence that is not known is its own explanation."""
    never, said = sentence(comment)
    reading = _amount(said) or _limit(said) or _known(said) or Reading(Cause(code=said, text=said))
    if never and reading.cause.text:
        step = f"as it is it can never run: change what it asks for (qalter). {reading.cause.next_step}".strip()
        cause = Cause(code=comment.strip(), text=reading.cause.text, next_step=step)
        return Reading(cause, reading.hit)
    return reading


def _amount(said: str) -> Reading | None:
    """R is what it asks for (of one chunk, or in all), A what is available, T what there is in all."""
    found = _AMOUNT.match(said)
    if found is None:
        return None
    name, asked, free, total = found["name"], found["asked"], found["free"], found["total"]
    where = {"server ": " on the server", "queue ": " in its queue"}.get(found["level"] or "", "")
    if asked is None:
        rest = (found["rest"] or "").strip(" ()")
        text = f"not enough {name}{where} is free"
        if rest:
            text = f"hosts have another {name}{where} than it asks for ({rest})"
        step = "pbsnodes -av shows what hosts have, and what of it is held"
        return Reading(Cause(code=said, text=text, next_step=step))
    text = f"not enough {name}{where}: it asks for {asked}, {free} of {total} are free"
    step = f"it starts when {asked} {name} are free at the same time; a job that asks for less may start sooner"
    if asked.isdigit() and total.isdigit() and int(asked) > int(total):
        step = f"there will never be so many: ask for at most {total}"
    return Reading(Cause(code=said, text=text, next_step=step))


def _limit(said: str) -> Reading | None:
    for pattern, fixed in _KNOWN_LIMITS:
        if found := pattern.match(said):
            groups = found.groupdict()
            hit = Hit(queue=groups.get("queue"), who=(groups.get("who") or fixed).lower(), resource=groups.get("res"))
            whose = "all jobs together" if hit.who == "all" else f"its {hit.who}"
            what = f"use of {hit.resource}" if hit.resource else "running jobs"
            where = f"in queue {hit.queue}" if hit.queue else "on the whole server"
            text = f"the limit of {whose} for {what} {where} is reached"
            return Reading(Cause(code=said, text=text, next_step=_LIMIT_STEP), hit)
    return None


def _known(said: str) -> Reading | None:
    for pattern, text, step in _KNOWN:
        if found := pattern.match(said):
            groups = {name: value or "" for name, value in found.groupdict().items()}
            return Reading(Cause(code=said, text=text.format(**groups), next_step=step))
    return None
