"""Plans: what would run so that nodes and jobs become what somebody wants. Pure: argument vectors and reasons."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from console.errors import UsageError
from console.model import Call, Draft, Effect, Job, JobState, Node, NodeState, Order, Step
from console.nodeset import fold
from plugins.slurm.states import flags

NODE_ACTIONS = frozenset({"drain", "resume", "power-down", "power-up", "reboot"})
JOB_ACTIONS = frozenset(
    {"hold", "release", "requeue", "cancel", "suspend", "continue", "timelimit", "priority", "move"}
)
MAX_REASON = 1000
"""slurmctld takes more, and every squeue and sinfo then carries it."""
_OUT = frozenset({NodeState.DRAINING, NodeState.DRAINED})
_AT_MOST = re.compile(r"%\d+(?=\])")

Argv = Callable[..., tuple[str, ...]]
"""From a program and its arguments to what is run: with the slurm.conf and the path that the settings name."""


def quoted(text: str) -> str:
    """Return a reason as scontrol takes it: it strips one quote at either end."""
    return f'"{text}"' if text[:1] == '"' or text[-1:] == '"' else text


class Planner:
    """Makes the drafts of one cluster."""

    def __init__(self, cluster: str, argv: Argv, where: str) -> None:
        self._cluster = cluster
        self._argv = argv
        self._where = where

    # ---- nodes

    def nodes(self, order: Order, nodes: Sequence[Node]) -> Draft:
        """Return what would be done to nodes. Raises UsageError."""
        if order.reason is not None and len(order.reason) > MAX_REASON:
            what = f"the reason has {len(order.reason)} characters, at most {MAX_REASON} are kept"
            raise UsageError(what, order.reason[:40] + "…", "shorten it; a ticket has room for the rest")
        return getattr(self, "_" + order.action.replace("-", "_"))(order, nodes)  # type: ignore[no-any-return]

    def _drain(self, order: Order, nodes: Sequence[Node]) -> Draft:
        groups: dict[tuple[str, str], list[str]] = {}
        unchanged: dict[str, str] = {}
        warnings = []
        for node in nodes:
            if node.state in _OUT:
                unchanged[node.name] = f"is {node.state} already{_why(node)}"
                continue
            reason = order.reason or ""
            if node.reason:
                # Slurm keeps one reason: what is known already must not be lost with it.
                reason = f"{reason} (before: {node.reason})"
                warnings.append(f"{node.name} has a reason already, which is kept behind yours{_why(node)}")
            # RESUME would also bring back a node that was down before.
            back = "UNDRAIN" if "DOWN" in flags(node.scheduler_state or "") else "RESUME"
            groups.setdefault((reason, back), []).append(node.name)
        steps = [
            self._update(names, f"drain {fold(names)}", ("State=DRAIN", f"Reason={quoted(reason)}"), (f"State={back}",))
            for (reason, back), names in groups.items()
        ]
        return Draft(steps=tuple(steps), unchanged=unchanged, warnings=tuple(warnings))

    def _resume(self, _order: Order, nodes: Sequence[Node]) -> Draft:
        groups: dict[str | None, list[str]] = {}
        unchanged: dict[str, str] = {}
        warnings = []
        for node in nodes:
            if node.state not in _OUT and "DOWN" not in flags(node.scheduler_state or ""):
                unchanged[node.name] = f"takes work already ({node.scheduler_state or node.state})"
                continue
            if node.reason:
                warnings.append(f"{node.name} is {node.state}{_why(node)}")
            groups.setdefault(node.reason if node.state in _OUT else None, []).append(node.name)
        steps = []
        for reason, names in groups.items():
            undo = None if reason is None else ("State=DRAIN", f"Reason={quoted(reason)}")
            steps.append(self._update(names, f"return {fold(names)} to work", ("State=RESUME",), undo))
        return Draft(steps=tuple(steps), unchanged=unchanged, warnings=tuple(warnings))

    def _power_down(self, order: Order, nodes: Sequence[Node]) -> Draft:
        names = [node.name for node in nodes]
        words = ("State=POWER_DOWN_ASAP", f"Reason={quoted(order.reason or '')}")
        step = self._update(names, f"power down {fold(names)} once its jobs have ended", words, ("State=POWER_UP",))
        return Draft(steps=(step,))

    def _power_up(self, _order: Order, nodes: Sequence[Node]) -> Draft:
        names = [node.name for node in nodes]
        return Draft(steps=(self._update(names, f"power up {fold(names)}", ("State=POWER_UP",), None),))

    def _reboot(self, order: Order, nodes: Sequence[Node]) -> Draft:
        names = [node.name for node in nodes]
        words = ("reboot", "ASAP", "nextstate=RESUME", f"reason={quoted(order.reason or '')}", fold(names))
        undo = Call(argv=self._argv("scontrol", "cancel_reboot", fold(names)))
        text = f"reboot {fold(names)} once its jobs have ended"
        return Draft(steps=(self._step(names, text, self._argv("scontrol", *words), undo),))

    def _update(self, names: Sequence[str], text: str, words: Sequence[str], undo: Sequence[str] | None) -> Step:
        def argv(changes: Sequence[str]) -> tuple[str, ...]:
            return self._argv("scontrol", "update", f"NodeName={fold(names)}", *changes)

        return self._step(names, text, argv(words), None if undo is None else Call(argv=argv(undo)))

    # ---- jobs

    def jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """Return what would be done to jobs, one step each: Slurm's answer then names the job. Raises UsageError."""
        value = _value(order)
        steps: list[Step] = []
        unchanged: dict[str, str] = {}
        effects: dict[str, Effect] = {}
        for job in jobs:
            if why := _nothing_to_do(order.action, job):
                unchanged[job.id] = why
                continue
            steps.append(self._job_step(order.action, job, value))
            started = job.state in (JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED)
            if started and order.action in _EFFECTS:
                effects[job.id] = _EFFECTS[order.action]
        return Draft(steps=tuple(steps), unchanged=unchanged, effects=effects)

    def _job_step(self, action: str, job: Job, value: str) -> Step:
        name = _AT_MOST.sub("", job.id)
        if action == "cancel":
            return self._step([job.id], f"cancel {job.id}", self._argv("scancel", name), None)
        if action in _FIELDS:
            field, old = _FIELDS[action], _old(action, job)
            undo = (
                None if old is None else Call(argv=self._argv("scontrol", "update", f"JobId={name}", f"{field}={old}"))
            )
            argv = self._argv("scontrol", "update", f"JobId={name}", f"{field}={value}")
            return self._step([job.id], f"{field} of {job.id} becomes {value}", argv, undo)
        verb, back = _VERBS[action]
        undo = None if back is None else Call(argv=self._argv("scontrol", back, name))
        return self._step([job.id], f"{action} {job.id}", self._argv("scontrol", verb, name), undo)

    def _step(self, names: Sequence[str], text: str, argv: tuple[str, ...], undo: Call | None) -> Step:
        return Step(
            cluster=self._cluster, names=tuple(names), run=Call(argv=argv), undo=undo, text=text, where=self._where
        )


_VERBS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "hold": ("hold", "release"),
        "release": ("release", "hold"),
        "requeue": ("requeue", None),
        "suspend": ("suspend", "resume"),
        "continue": ("resume", "suspend"),
    }
)
"""Action to scontrol's verb and the one that takes it back."""
_FIELDS: Mapping[str, str] = MappingProxyType({"timelimit": "TimeLimit", "priority": "Priority", "move": "Partition"})
_EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {"cancel": Effect.ENDED, "requeue": Effect.REQUEUED, "suspend": Effect.STOPPED}
)


def _why(node: Node) -> str:
    by = f" ({node.reason_by})" if node.reason_by else ""
    return f": {node.reason}{by}" if node.reason else ""


def _value(order: Order) -> str:
    """Return the value of an order as scontrol takes it. UsageError for one that it would read as something else."""
    value = (order.value or "").strip()
    if order.action == "timelimit":
        return value.upper() if not value.isdigit() else _clock(int(value))
    if order.action == "priority" and not (value.isascii() and value.isdigit() and int(value) < 2**32 - 1):
        raise UsageError("is no priority of Slurm", value or "nothing", "a whole number; 0 holds the job")
    if order.action == "move" and not re.fullmatch(r"[A-Za-z0-9_.,-]+", value):
        raise UsageError("is no partition", value or "nothing", "qd snapshot lists the partitions")
    return value


def _clock(seconds: int) -> str:
    """Return a span as Slurm takes and shows it: D-HH:MM:SS."""
    days, rest = divmod(seconds, 86400)
    return f"{f'{days}-' if days else ''}{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"


def _old(action: str, job: Job) -> str | None:
    if action == "timelimit":
        return None if job.time_limit_s is None else _clock(int(job.time_limit_s))
    if action == "priority":
        return None if job.priority is None else str(job.priority)
    return job.queue


def _nothing_to_do(action: str, job: Job) -> str | None:
    """Return why Slurm would refuse, or do nothing; None: it can be asked."""
    if job.state.ended and action != "requeue":
        return f"has ended already ({job.scheduler_state or job.state})"
    if action == "hold" and job.state is JobState.HELD:
        return "is held already"
    if action == "hold" and job.state is not JobState.PENDING:
        return f"has begun ({job.scheduler_state or job.state}): suspend or requeue it"
    if action == "release" and job.state is not JobState.HELD:
        return f"is not held ({job.scheduler_state or job.state})"
    if action == "suspend" and job.state is not JobState.RUNNING:
        return f"does not run ({job.scheduler_state or job.state})"
    if action == "continue" and job.state is not JobState.SUSPENDED:
        return f"is not suspended ({job.scheduler_state or job.state})"
    return None
