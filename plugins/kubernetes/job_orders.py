"""Plans for jobs: what would be asked of the API server so that they become what somebody wants. Pure.

Over a job that waits in a queue of Kueue its Workload decides; over any other one its own `spec.suspend`, where its
kind has that. A job that is suspended loses its pods and begins anew, which is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from console.errors import UsageError
from console.model import Call, Draft, Effect, Job, JobState, Order, Step
from console.text import clean
from plugins.kubernetes.held import JobTarget, Managed
from plugins.kubernetes.patches import Change, back, compact, patch
from plugins.kubernetes.plain import dig

JOB_ACTIONS = frozenset({"cancel", "hold", "release", "suspend", "continue", "timelimit"})
KUEUE_ACTIONS = frozenset({"priority", "move"})
"""What only Kueue lets anybody change."""
INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "requeue": "suspend it, then continue it: its pods begin anew",
        "priority": "pods keep the priority that they were made with: submit it anew, or have Kueue queue it",
        "move": "Kubernetes has no queues without Kueue: submit it anew where it should run",
        "reboot": "drain the node, then reboot it with qd run",
        "power-down": "drain the node, then power it down where it hangs",
        "power-up": "power it up where it hangs: its kubelet comes back by itself",
    }
)
"""Action that is not offered to what to do instead."""
QUEUE = "kueue.x-k8s.io/queue-name"
_SUSPEND: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "job": ("spec", "suspend"),
        "jobset": ("spec", "suspend"),
        "trainjob": ("spec", "suspend"),
        "rayjob": ("spec", "suspend"),
        "pytorchjob": ("spec", "runPolicy", "suspend"),
        "tfjob": ("spec", "runPolicy", "suspend"),
        "mpijob": ("spec", "runPolicy", "suspend"),
    }
)
"""Kind to the field that ends its pods and lets them begin anew."""
_SCALED: Mapping[str, str] = MappingProxyType(
    {"deployment": "deployment", "statefulset": "statefulset", "replicaset": "replicaset", "lws": "leaderworkerset"}
)
"""Kinds that serve until they are scaled down, as kubectl calls them."""
_STOPS = frozenset({"hold", "suspend"})
_STOPPED = frozenset({JobState.HELD, JobState.SUSPENDED})
_STARTED = frozenset({JobState.RUNNING, JobState.COMPLETING})
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_DELETED = "cancelled objects are deleted: what their pods wrote and how they ended cannot be read afterwards"
UNLIMITED = "unlimited"


class JobPlanner:
    """Makes the drafts of one cluster."""

    def __init__(self, cluster: str, where: str, now: Callable[[], float]) -> None:
        self._cluster = cluster
        self._where = where
        self._now = now

    def draft(self, order: Order, targets: Sequence[JobTarget]) -> Draft:
        """Return what would be done to jobs. Raises UsageError for what has no way."""
        steps: list[Step] = []
        unchanged: dict[str, str] = {}
        effects: dict[str, Effect] = {}
        former: dict[str, str] = {}
        warnings: list[str] = []
        for target in targets:
            job = target.job
            if why := _nothing_to_do(order.action, job):
                unchanged[job.id] = why
                continue
            run, undo = self._calls(order, target)
            text = f"{order.action} {job.id}" + (f": {order.value}" if order.value else "")
            steps.append(Step(cluster=self._cluster, names=(job.id,), run=run, undo=undo, text=text, where=self._where))
            if order.action == "timelimit" and job.time_limit_s is None:
                former[job.id] = UNLIMITED
            if effect := self._effect(order, job):
                effects[job.id] = effect
            warnings += _owned(target)
        if order.action == "suspend" and effects:
            warnings.append("suspended jobs lose their pods: continue starts them anew, from their last checkpoint")
        if order.action == "cancel" and effects:
            warnings.append(_DELETED)
        return Draft(steps=tuple(steps), unchanged=unchanged, effects=effects, warnings=tuple(warnings), former=former)

    def _effect(self, order: Order, job: Job) -> Effect | None:
        if job.state not in _STARTED:
            return None
        if order.action == "timelimit":
            limit = _limit(order)
            late = limit is not None and job.started_at is not None and job.started_at + limit <= self._now()
            return Effect.ENDED if late else None
        return {"cancel": Effect.ENDED, "suspend": Effect.REQUEUED}.get(order.action)

    def _calls(self, order: Order, target: JobTarget) -> tuple[Call, Call | None]:
        """Return the request for one job, and the one that takes it back."""
        if order.action == "cancel":
            return self._cancel(target), None
        if order.action == "timelimit":
            return self._time_limit(order, target)
        if order.action == "priority":
            return self._priority(order, target)
        if order.action == "move":
            return self._move(order, target)
        return self._switch(order.action in _STOPS, target)

    def _cancel(self, target: JobTarget) -> Call:
        kind = target.key[0]
        if kind in _SCALED:
            hint = f"scale it: kubectl -n {target.key[1]} scale {_SCALED[kind]} {target.key[2]} --replicas=0"
            raise UsageError(f"a {kind} is no job that ends", target.job.id, hint)
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": target.own.object.metadata.uid},
            "propagationPolicy": "Background",
        }
        return Call(method="DELETE", path=target.own.path, body=compact(body))

    def _switch(self, stop: bool, target: JobTarget) -> tuple[Call, Call | None]:
        """Stop a job or let it go on: by its workload where Kueue decides, which would undo anything else."""
        kind = target.key[0]
        if kind not in _SUSPEND:
            raise UsageError(f"a {kind} cannot be suspended", target.job.id, "cancel it, or scale it down with kubectl")
        if target.queued:
            workload = _workload(target)
            held = workload.object
            return _changed(workload.path, held.metadata.uid, ("spec", "active"), dig(held.spec, "active"), not stop)
        own, path = target.own.object, _SUSPEND[kind]
        old = dig(own.spec, *path[1:])
        return _changed(target.own.path, own.metadata.uid, path, old, stop)

    def _time_limit(self, order: Order, target: JobTarget) -> tuple[Call, Call | None]:
        kind, own = target.key[0], target.own.object
        if kind != "job":
            hint = "only a plain Job has one: cancel it when its time is over"
            raise UsageError(f"a {kind} has no time limit that can be changed", target.job.id, hint)
        field = ("spec", "activeDeadlineSeconds")
        return _changed(target.own.path, own.metadata.uid, field, dig(own.spec, field[1]), _limit(order))

    def _priority(self, order: Order, target: JobTarget) -> tuple[Call, Call | None]:
        value = order.value or ""
        if not target.queued:
            raise UsageError("its pods keep the priority that they were made with", target.job.id, INSTEAD["priority"])
        if not value.lstrip("-").isdigit() or abs(int(value)) > 2**31 - 1:
            raise UsageError("is no priority of Kueue", clean(value) or "nothing", "a whole number of 32 bits")
        workload = _workload(target)
        held = workload.object
        return _changed(workload.path, held.metadata.uid, ("spec", "priority"), dig(held.spec, "priority"), int(value))

    def _move(self, order: Order, target: JobTarget) -> tuple[Call, Call | None]:
        namespace, slash, queue = (order.value or "").rpartition("/")
        own = target.own.object
        labels = own.metadata.labels or {}
        if QUEUE not in labels:
            raise UsageError("it waits in no queue of Kueue", target.job.id, INSTEAD["move"])
        if target.job.state in _STARTED:
            raise UsageError("Kueue moves only what waits", target.job.id, "suspend it first")
        if (slash and namespace != target.key[1]) or not _NAME.fullmatch(queue):
            what = f"is no queue of its namespace {target.key[1]}"
            raise UsageError(what, clean(order.value or "") or "nothing", "kubectl get localqueues lists them")
        return _changed(target.own.path, own.metadata.uid, ("metadata", "labels", QUEUE), labels[QUEUE], queue)


def _workload(target: JobTarget) -> Managed:
    if target.workload is None:
        what = "Kueue decides over it, and its workload is not to be seen"
        raise UsageError(what, target.job.id, "try again; else look: kubectl get workloads")
    return target.workload


def _changed(path: str, uid: str, field: tuple[str, ...], old: object, new: object) -> tuple[Call, Call | None]:
    changes = [Change(field, old, new)]
    return patch(path, uid, changes), patch(path, uid, back(changes))


def _limit(order: Order) -> int | None:
    """Return the time limit of an order in seconds; None: none."""
    value = order.value or order.former
    if value == UNLIMITED:
        return None
    if not (value.isascii() and value.isdigit()) or not 0 < int(value) < 2**53:
        raise UsageError("is no time limit of a Job", clean(value) or "nothing", "name a time: 90, 12h, unlimited")
    return int(value)


def _owned(target: JobTarget) -> list[str]:
    """Say who else decides over a job: who made it may make it again, or change it back."""
    owner = target.own.object.metadata.owner
    if owner is None or owner.kind in ("CronJob", "ReplicaSet"):
        return []
    return [f"{target.job.id} belongs to {clean(f'{owner.kind} {owner.name}', limit=320)}, which may undo that"]


def _nothing_to_do(action: str, job: Job) -> str | None:
    """Return why there is nothing to be done; None: it can be asked. Held and suspended are one to Kubernetes."""
    said = job.scheduler_state or job.state
    if job.state.ended:
        return f"has ended already ({said})"
    if action in _STOPS and job.state in _STOPPED:
        return f"is {job.state} already"
    if action == "hold" and job.state is not JobState.PENDING:
        return f"has begun ({said}): suspend it"
    if action == "suspend" and job.state is not JobState.RUNNING:
        return f"does not run ({said})"
    if action in ("release", "continue") and job.state not in _STOPPED:
        return f"is not {'held' if action == 'release' else 'suspended'} ({said})"
    return None
