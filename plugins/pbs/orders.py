"""Plans: what would run so that hosts and jobs become what somebody wants. Pure: argument vectors and reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from console.errors import UsageError
from console.model import Call, Draft, Effect, Job, JobState, Node, NodeState, Order, Step
from console.nodeset import fold
from plugins.pbs.authors import signed
from plugins.pbs.commands import Commands

NODE_ACTIONS = frozenset({"drain", "resume"})
JOB_ACTIONS = frozenset(
    {"hold", "release", "requeue", "cancel", "suspend", "continue", "timelimit", "priority", "move"}
)
MAX_COMMENT_BYTES = 79
"""What pbsnodes keeps of a comment; the rest it cuts off without a word."""
_OUT = frozenset({NodeState.DRAINING, NodeState.DRAINED})
_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*", re.ASCII)
_STARTED = frozenset({JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED})
_WORDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...] | None]] = MappingProxyType(
    {
        "hold": (("qhold", "-h", "u"), ("qrls", "-h", "u")),
        "release": (("qrls", "-h", "u"), ("qhold", "-h", "u")),
        "requeue": (("qrerun",), None),
        "cancel": (("qdel",), None),
        "suspend": (("qsig", "-s", "suspend"), ("qsig", "-s", "resume")),
        "continue": (("qsig", "-s", "resume"), ("qsig", "-s", "suspend")),
    }
)
"""Action to PBS's words for it, and those that take it back."""
_EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {"cancel": Effect.ENDED, "requeue": Effect.REQUEUED, "suspend": Effect.STOPPED}
)


class Planner:
    """Makes the drafts of one cluster."""

    def __init__(self, cluster: str, commands: Commands, where: str) -> None:
        self._cluster = cluster
        self._commands = commands
        self._where = where

    # ---- hosts

    def nodes(self, order: Order, nodes: Sequence[Node]) -> Draft:
        """Return what would be done to hosts. Raises UsageError."""
        comment = signed(order.reason or "", order.by)
        if len(comment.encode()) > MAX_COMMENT_BYTES:
            most = MAX_COMMENT_BYTES - len(comment.encode()) + len((order.reason or "").encode())
            what = f"the reason is longer than the {most} bytes that pbsnodes keeps beside your name"
            raise UsageError(what, (order.reason or "")[:40] + "…", "shorten it; a ticket has room for the rest")
        return self._drain(order, nodes) if order.action == "drain" else self._resume(nodes)

    def _drain(self, order: Order, nodes: Sequence[Node]) -> Draft:
        groups: dict[tuple[str, str], list[str]] = {}
        unchanged: dict[str, str] = {}
        warnings = []
        for node in nodes:
            if node.state in _OUT:
                unchanged[node.name] = f"is {node.state} already{_why(node)}"
                continue
            reason, before = order.reason or "", node.detail.get("comment", "")
            if before:
                # PBS keeps one comment: what is known already must not be lost with it.
                longer = f"{reason} (before: {before})"
                if len(signed(longer, order.by).encode()) <= MAX_COMMENT_BYTES:
                    reason = longer
                    warnings.append(f"{node.name} has a comment already, which is kept behind yours: {before}")
                else:
                    warnings.append(f"{node.name} has a comment already, for which there is no room: {before}")
            groups.setdefault((signed(reason, order.by), before), []).append(node.name)
        steps = [
            self._mark(names, f"drain {fold(names)}", ("-C", comment, "-o"), ("-C", before, "-r"))
            for (comment, before), names in groups.items()
        ]
        if not (order.reason or "").isascii():
            warnings.append("pbsnodes shows letters beyond ASCII in a form of its own")
        return Draft(steps=tuple(steps), unchanged=unchanged, warnings=tuple(warnings))

    def _resume(self, nodes: Sequence[Node]) -> Draft:
        groups: dict[str, list[str]] = {}
        unchanged: dict[str, str] = {}
        warnings = []
        for node in nodes:
            if node.state not in _OUT:
                unchanged[node.name] = f"is not offline ({node.scheduler_state or node.state})"
                continue
            if node.reason:
                warnings.append(f"{node.name} is {node.state}{_why(node)}")
            groups.setdefault(node.detail.get("comment", ""), []).append(node.name)
        steps = [
            self._mark(names, f"return {fold(names)} to work", ("-C", "", "-r"), ("-C", comment, "-o"))
            for comment, names in groups.items()
        ]
        return Draft(steps=tuple(steps), unchanged=unchanged, warnings=tuple(warnings))

    def _mark(self, names: Sequence[str], text: str, words: Sequence[str], undo: Sequence[str]) -> Step:
        def call(changes: Sequence[str]) -> Call:
            return Call(argv=self._commands.act("pbsnodes", *changes, *names))

        return self._step(names, text, call(words), call(undo))

    # ---- jobs

    def jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """Return what would be done to jobs, one step each: PBS's answer then names the job. Raises UsageError."""
        value = _value(order)
        steps: list[Step] = []
        unchanged: dict[str, str] = {}
        effects: dict[str, Effect] = {}
        for job in jobs:
            if why := _nothing_to_do(order.action, job):
                unchanged[job.id] = why
                continue
            steps.append(self._job_step(order.action, job, value))
            if job.state in _STARTED and order.action in _EFFECTS:
                effects[job.id] = _EFFECTS[order.action]
        return Draft(steps=tuple(steps), unchanged=unchanged, effects=effects)

    def _job_step(self, action: str, job: Job, value: str) -> Step:
        def call(words: Sequence[str]) -> Call:
            return Call(argv=self._commands.act(*words, job.id))

        if action in _WORDS:
            words, back = _WORDS[action]
            return self._step([job.id], f"{action} {job.id}", call(words), None if back is None else call(back))
        old = _old(action, job)
        text = f"{action} of {job.id} becomes {order_value(action, value)}"
        undo = None if old is None else call(_change(action, old))
        return self._step([job.id], text, call(_change(action, value)), undo)

    def _step(self, names: Sequence[str], text: str, run: Call, undo: Call | None) -> Step:
        return Step(cluster=self._cluster, names=tuple(names), run=run, undo=undo, text=text, where=self._where)


def _change(action: str, value: str) -> tuple[str, ...]:
    if action == "timelimit":
        return "qalter", "-l", f"walltime={value}"
    return ("qalter", "-p", value) if action == "priority" else ("qmove", value)


def order_value(action: str, value: str) -> str:
    """Return a value as people read it."""
    return f"queue {value}" if action == "move" else value


def _why(node: Node) -> str:
    by = f" ({node.reason_by})" if node.reason_by else ""
    return f": {node.reason}{by}" if node.reason else ""


def _value(order: Order) -> str:
    """Return the value of an order as PBS takes it. UsageError for one that it would read as something else."""
    value = (order.value or "").strip()
    if order.action == "timelimit":
        if not value.isdigit():
            raise UsageError("PBS has no unlimited walltime", value or "nothing", "name a time: 12h, 1-12:00:00")
        return _clock(int(value))
    if order.action == "priority" and not (re.fullmatch(r"-?\d{1,4}", value) and -1024 <= int(value) <= 1023):
        raise UsageError("is no priority of PBS", value or "nothing", "a whole number from -1024 to 1023")
    if order.action == "move" and not _QUEUE.fullmatch(value):
        raise UsageError("is no queue", value or "nothing", "qstat -Q lists them")
    return value


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}"


def _old(action: str, job: Job) -> str | None:
    if action == "timelimit":
        return None if job.time_limit_s is None else _clock(int(job.time_limit_s))
    if action == "priority":
        return None if job.priority is None else str(job.priority)
    return job.queue


def _nothing_to_do(action: str, job: Job) -> str | None:
    """Return why PBS would refuse, or do nothing; None: it can be asked."""
    said = job.scheduler_state or job.state
    if job.state.ended:
        return f"has ended already ({said})"
    if action == "hold" and job.state is JobState.HELD:
        return "is held already"
    if action == "release" and job.state is not JobState.HELD:
        return f"is not held ({said})"
    if action in ("suspend", "requeue") and job.state is not JobState.RUNNING:
        return f"does not run ({said})"
    if action == "continue" and job.state is not JobState.SUSPENDED:
        return f"is not suspended ({said})"
    return None
