"""Jobs of every kind, reduced to one form: what they ask for, how far they are, and whose they are. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from console.model import JobState
from console.text import clean
from plugins.kubernetes.kinds import Wanted
from plugins.kubernetes.objects import Meta, PodSpec, WorkObject
from plugins.kubernetes.plain import TEXT, dig, held_conditions, integer, tables, text
from plugins.kubernetes.pods import JobKey, short_kind
from plugins.kubernetes.resources import Accelerators
from plugins.kubernetes.times import unix

_QUEUE = "kueue.x-k8s.io/queue-name"
PARENTS = frozenset(("jobset", "pytorchjob", "mpijob", "tfjob", "trainjob", "rayjob", "raycluster", "lws", "vcjob"))
"""Kinds of owners under which a job is shown; a CronJob's runs are jobs of their own."""


class Work(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A job object of any kind."""

    key: JobKey
    parent: JobKey | None = None
    created: float | None = None
    started: float | None = None
    ended: float | None = None
    deleted: bool = False
    state: JobState | None = None
    """What the object says of itself; None: its pods must tell."""
    word: str = ""
    message: str = ""
    suspended: bool = False
    tasks: int | None = None
    """Pods at a time that it wants."""
    completions: int | None = None
    indexed: bool = False
    active: int | None = None
    ready: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    limit_s: float | None = None
    queue: str = ""
    user: str = ""
    accelerators: int = 0
    """Asked for by all of its pods together."""
    millicores: int = 0
    memory_bytes: int = 0
    model: str = ""


class WorkReader:
    """Makes works of bytes, for one kind."""

    def __init__(self, wanted: Wanted, accelerators: Accelerators, user_label: str | None = None) -> None:
        self._wanted = wanted
        self._accelerators = accelerators
        self._user_label = user_label
        self._decoder = msgspec.json.Decoder(WorkObject)

    def read(self, data: msgspec.Raw | bytes) -> Work:
        """Return a work. msgspec.ValidationError when it is none."""
        found = self._decoder.decode(data)
        meta, spec, status = found.metadata, found.spec, found.status
        short = self._wanted.short
        fields = _STATES.get(short, _by_conditions)(spec, status)
        namespace = clean(meta.namespace, limit=253)
        labels = {**(meta.annotations or {}), **(meta.labels or {})}
        asks = self._asks(short, spec)
        return Work(
            key=(short, namespace, clean(meta.name, limit=253)),
            parent=_parent(meta, namespace),
            created=unix(meta.creation_timestamp),
            deleted=meta.deletion_timestamp is not None,
            limit_s=_limit(spec),
            queue=clean(labels.get(_QUEUE, ""), limit=253) or text(dig(spec, "queue")),
            user=clean(labels.get(self._user_label, ""), limit=100) if self._user_label else "",
            **{**asks, **fields},
        )

    def _asks(self, short: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return what all pods of it ask for."""
        tasks = accelerators = millicores = memory = 0
        model = ""
        for count, template in _templates(short, spec):
            tasks += count
            try:
                pod = msgspec.convert(template, PodSpec)
            except msgspec.ValidationError:
                continue
            counts, cores, size = self._accelerators.asked(pod)
            accelerators += count * self._accelerators.total(counts)
            millicores += count * cores
            memory += count * size
            model = model or clean((pod.node_selector or {}).get("nvidia.com/gpu.product", ""), limit=100)
        return {
            "tasks": tasks or None,
            "accelerators": accelerators,
            "millicores": millicores,
            "memory_bytes": memory,
            "model": model,
        }


def _parent(meta: Meta, namespace: str) -> JobKey | None:
    owner = meta.owner
    if owner is None:
        return None
    short = short_kind(owner)
    return (short, namespace, clean(owner.name, limit=253)) if short in PARENTS else None


def _limit(spec: Mapping[str, Any]) -> float | None:
    for value in (dig(spec, "activeDeadlineSeconds"), dig(spec, "runPolicy", "activeDeadlineSeconds")):
        if (seconds := integer(value)) is not None:
            return float(seconds)
    return None


# ---- what it asks for: (count, pod spec) of every group of equal pods


def _templates(short: str, spec: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    reader = _TEMPLATES.get(short)
    return reader(spec) if reader is not None else iter(())


def _count(value: Any, default: int = 1) -> int:
    number = integer(value)
    return default if number is None else max(number, 0)


def _job_templates(spec: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    yield _count(dig(spec, "parallelism")), dig(spec, "template", "spec")


def _jobset_templates(spec: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    for each in tables(dig(spec, "replicatedJobs")):
        job = dig(each, "template", "spec")
        yield _count(dig(each, "replicas")) * _count(dig(job, "parallelism")), dig(job, "template", "spec")


def _replica_templates(spec: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    for name in ("pytorchReplicaSpecs", "mpiReplicaSpecs", "tfReplicaSpecs"):
        groups = dig(spec, name)
        for group in groups.values() if isinstance(groups, dict) else ():
            yield _count(dig(group, "replicas")), dig(group, "template", "spec")


def _trainjob_templates(spec: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    trainer = dig(spec, "trainer")
    resources = dig(trainer, "resourcesPerNode")
    yield _count(dig(trainer, "numNodes")), {"containers": [{"name": "trainer", "resources": resources or {}}]}


def _ray_templates(spec: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    cluster = dig(spec, "rayClusterSpec") or spec
    yield 1, dig(cluster, "headGroupSpec", "template", "spec")
    for group in tables(dig(cluster, "workerGroupSpecs")):
        yield _count(dig(group, "replicas")) * _count(dig(group, "numOfHosts")), dig(group, "template", "spec")


def _lws_templates(spec: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    replicas, size = _count(dig(spec, "replicas")), _count(dig(spec, "leaderWorkerTemplate", "size"))
    worker = dig(spec, "leaderWorkerTemplate", "workerTemplate", "spec")
    leader = dig(spec, "leaderWorkerTemplate", "leaderTemplate", "spec") or worker
    yield replicas, leader
    yield replicas * max(size - 1, 0), worker


def _volcano_templates(spec: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    for task in tables(dig(spec, "tasks")):
        yield _count(dig(task, "replicas")), dig(task, "template", "spec")


_TEMPLATES = {
    "job": _job_templates,
    "jobset": _jobset_templates,
    "pytorchjob": _replica_templates,
    "mpijob": _replica_templates,
    "tfjob": _replica_templates,
    "trainjob": _trainjob_templates,
    "rayjob": _ray_templates,
    "raycluster": _ray_templates,
    "lws": _lws_templates,
    "vcjob": _volcano_templates,
}


# ---- how far it is


def _said(condition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "word": text(condition.get("reason")) or text(condition.get("type")),
        "message": text(condition.get("message"), TEXT),
        "ended": unix(text(condition.get("lastTransitionTime"))),
    }


def _ended(held: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the fields of a job that ended, as its conditions tell; none when it did not."""
    for name in ("Failed", "FailureTarget"):
        if name in held:
            said = _said(held[name])
            state = JobState.TIMEOUT if said["word"] == "DeadlineExceeded" else JobState.FAILED
            return {**said, "state": state if name == "Failed" else None}
    for name in ("Complete", "Completed", "Succeeded"):
        if name in held:
            return {**_said(held[name]), "state": JobState.COMPLETED}
    return {}


def _job(spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    held = held_conditions(status)
    fields: dict[str, Any] = {
        "started": unix(text(dig(status, "startTime"))),
        "suspended": dig(spec, "suspend") is True,
        "completions": integer(dig(spec, "completions")),
        "indexed": dig(spec, "completionMode") == "Indexed",
        **{name: integer(dig(status, name)) for name in ("active", "ready", "succeeded", "failed")},
        **_ended(held),
    }
    if (at := unix(text(dig(status, "completionTime")))) is not None:
        fields["ended"] = at
    if fields.get("state") is None:
        fields["ended"] = None
    return fields


def _by_conditions(spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    """JobSet, TrainJob, the jobs of the training operator, LeaderWorkerSet."""
    held = held_conditions(status)
    suspended = any(dig(spec, *path) is True for path in (("suspend",), ("runPolicy", "suspend")))
    fields: dict[str, Any] = {
        "started": unix(text(dig(status, "startTime"))),
        "suspended": suspended or "Suspended" in held,
        **_ended(held),
    }
    if fields.get("state") is None:
        fields["ended"] = None
        if "Suspended" in held:
            fields |= {name: value for name, value in _said(held["Suspended"]).items() if name != "ended"}
    return fields


_RAY_STATES = {
    "SUCCEEDED": JobState.COMPLETED,
    "FAILED": JobState.FAILED,
    "STOPPED": JobState.CANCELLED,
}


def _ray(spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    word = text(dig(status, "jobStatus")) or text(dig(status, "jobDeploymentStatus")) or text(dig(status, "state"))
    state = _RAY_STATES.get(word.upper())
    return {
        "started": unix(text(dig(status, "startTime"))),
        "ended": unix(text(dig(status, "endTime"))) if state is not None else None,
        "suspended": dig(spec, "suspend") is True,
        "state": state,
        "word": word,
        "message": text(dig(status, "message")) or text(dig(status, "reason")),
    }


_VOLCANO_STATES = {
    "Completed": JobState.COMPLETED,
    "Failed": JobState.FAILED,
    "Aborted": JobState.CANCELLED,
    "Terminated": JobState.CANCELLED,
    "Completing": JobState.COMPLETING,
    "Aborting": JobState.COMPLETING,
    "Terminating": JobState.COMPLETING,
}
_OVER = frozenset((JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED))


def _volcano(_spec: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    word = text(dig(status, "state", "phase"))
    state = _VOLCANO_STATES.get(word)
    changed = unix(text(dig(status, "state", "lastTransitionTime")))
    return {
        "state": state,
        "word": text(dig(status, "state", "reason")) or word,
        "message": text(dig(status, "state", "message")),
        "ended": changed if state in _OVER else None,
        "ready": integer(dig(status, "running")),
        "succeeded": integer(dig(status, "succeeded")),
        "failed": integer(dig(status, "failed")),
    }


_STATES = {"job": _job, "rayjob": _ray, "raycluster": _ray, "vcjob": _volcano}
