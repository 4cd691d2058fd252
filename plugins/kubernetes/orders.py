"""Plans: what would be asked of the API server so that nodes and jobs become what somebody wants. Pure.

A drain is a cordon, then one eviction for each pod, as the API asks for it: whatever a PodDisruptionBudget protects is
waited for and never forced. Pods of DaemonSets, static pods and pods that have ended stay. A pod that nothing would
start again blocks the plan: whoever wants it gone ends it first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from console.errors import UsageError
from console.model import Call, Draft, Effect, Job, JobState, Node, NodeState, Order, Step
from console.text import clean
from plugins.kubernetes.node import BY, REASON
from plugins.kubernetes.objects import Meta, Struct

NODE_ACTIONS = frozenset({"cordon", "drain", "resume"})
JOB_ACTIONS = frozenset({"cancel", "hold", "release", "suspend", "continue", "timelimit"})
GRACE_S = 30
EVICTION_S = 120.0
"""How long a PodDisruptionBudget is waited for beyond the grace period of the pod."""
_MIRROR = "kubernetes.io/config.mirror"
_OUT = frozenset({NodeState.DRAINING, NodeState.DRAINED})
_SUSPENDS = frozenset({"job", "jobset", "mpijob", "pytorchjob", "trainjob", "rayjob"})
"""Kinds whose `spec.suspend` ends their pods and lets them begin anew."""
_LIMITED = frozenset({"job"})


class Volume(Struct, frozen=True):
    """A volume of a pod, as far as it matters whether it outlives the pod."""

    name: str = ""
    empty_dir: dict[str, Any] | None = None


class HeldSpec(Struct, frozen=True):
    """`spec` of a pod, as far as evicting it goes."""

    termination_grace_period_seconds: int | None = None
    volumes: list[Volume] | None = None


class HeldStatus(Struct, frozen=True):
    """`status` of the same."""

    phase: str = ""


class HeldPod(Struct, frozen=True):
    """A pod on a node that is drained."""

    metadata: Meta = Meta()
    spec: HeldSpec = HeldSpec()
    status: HeldStatus = HeldStatus()

    @property
    def name(self) -> str:
        """`namespace/name`"""
        return clean(f"{self.metadata.namespace}/{self.metadata.name}", limit=320)

    @property
    def stays(self) -> bool:
        """Whether it is none that a drain evicts."""
        owner = self.metadata.owner
        return (
            (owner is not None and owner.kind == "DaemonSet")
            or _MIRROR in (self.metadata.annotations or {})
            or self.status.phase in ("Succeeded", "Failed")
            or self.metadata.deletion_timestamp is not None
        )


class HeldNode(Struct, frozen=True):
    """A node as its cordon needs it."""

    metadata: Meta = Meta()


class HeldPods(Struct, frozen=True):
    """A list of pods."""

    items: list[HeldPod] = []


class Target(msgspec.Struct, frozen=True):
    """One node with what is on it now, asked of the server."""

    node: Node
    uid: str
    annotations: Mapping[str, str]
    pods: tuple[HeldPod, ...]
    jobs: Mapping[str, str]
    """`namespace/name` of a pod to the id of the job that it belongs to."""


class Planner:
    """Makes the drafts of one cluster."""

    def __init__(self, cluster: str, where: str) -> None:
        self._cluster = cluster
        self._where = where

    # ---- nodes

    def nodes(self, order: Order, targets: Sequence[Target]) -> Draft:
        """Return what would be done to nodes."""
        steps: list[Step] = []
        unchanged: dict[str, str] = {}
        warnings: list[str] = []
        blocked: list[str] = []
        effects: dict[str, Effect] = {}
        for target in targets:
            out = target.node.state in _OUT
            pods = [pod for pod in target.pods if not pod.stays] if order.action == "drain" else []
            if order.action == "resume":
                if not out:
                    unchanged[target.node.name] = f"takes pods already ({target.node.scheduler_state})"
                    continue
                if target.node.reason:
                    warnings.append(f"{target.node.name}: {target.node.reason}{_by(target.node)}")
                steps.append(self._cordon(target, None))
                continue
            if out and not pods:
                unchanged[target.node.name] = f"is {target.node.state} already: {target.node.reason}{_by(target.node)}"
                continue
            if not out:
                steps.append(self._cordon(target, order))
            blocked += [_unmanaged(pod) for pod in pods if pod.metadata.owner is None]
            warnings += [text for pod in pods if (text := _loses(pod))]
            steps += [self._eviction(target, pod) for pod in pods]
            effects |= {target.jobs[pod.name]: Effect.EVICTED for pod in pods if pod.name in target.jobs}
        return Draft(
            steps=tuple(steps),
            effects=effects,
            blocked_by=tuple(blocked),
            warnings=tuple(warnings),
            unchanged=unchanged,
        )

    def _cordon(self, target: Target, order: Order | None) -> Step:
        """Return the step that cordons a node for an order, or (None) lets it take pods again."""
        old: dict[str, Any] = {name: target.annotations.get(name) for name in (REASON, BY)}
        given = {REASON: order.reason or "", BY: order.by} if order is not None else dict.fromkeys(old)
        forth, back = self._patch(target, order is not None, given), self._patch(target, order is None, old)
        text = f"{'cordon' if order is not None else 'uncordon'} {target.node.name}"
        return Step(
            cluster=self._cluster, names=(target.node.name,), run=forth, undo=back, text=text, where=self._where
        )

    def _patch(self, target: Target, unschedulable: bool, annotations: Mapping[str, Any]) -> Call:
        # The uid keeps a node of the same name that came meanwhile from being meant.
        body = {
            "metadata": {"uid": target.uid, "annotations": dict(annotations)},
            "spec": {"unschedulable": unschedulable or None},
        }
        return Call(method="PATCH", path=f"/api/v1/nodes/{target.node.name}", body=_json(body))

    def _eviction(self, target: Target, pod: HeldPod) -> Step:
        meta = pod.metadata
        grace = pod.spec.termination_grace_period_seconds
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": meta.name, "namespace": meta.namespace},
            "deleteOptions": {"preconditions": {"uid": meta.uid}},
        }
        path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}/eviction"
        return Step(
            cluster=self._cluster,
            names=(target.node.name,),
            run=Call(method="POST", path=path, body=_json(body)),
            text=f"evict {pod.name}",
            phase=1,
            where=self._where,
            timeout_s=EVICTION_S + (GRACE_S if grace is None else min(grace, 3600)),
        )

    # ---- jobs

    def jobs(self, order: Order, jobs: Sequence[Job], paths: Mapping[str, str]) -> Draft:
        """Return what would be done to jobs, whose objects have these paths. Raises UsageError for what has no way."""
        steps: list[Step] = []
        unchanged: dict[str, str] = {}
        effects: dict[str, Effect] = {}
        for job in jobs:
            kind = job.id.split("/")[1]
            if why := _nothing_to_do(order.action, job):
                unchanged[job.id] = why
                continue
            run, undo = self._job_call(order, kind, job, paths[job.id])
            text = f"{order.action} {job.id}"
            steps.append(Step(cluster=self._cluster, names=(job.id,), run=run, undo=undo, text=text, where=self._where))
            if job.state is JobState.RUNNING and order.action in _EFFECTS:
                effects[job.id] = _EFFECTS[order.action]
        return Draft(steps=tuple(steps), unchanged=unchanged, effects=effects)

    def _job_call(self, order: Order, kind: str, job: Job, path: str) -> tuple[Call, Call | None]:
        if order.action == "cancel":
            if kind in ("deployment", "statefulset", "replicaset"):
                hint = f"scale it: kubectl scale {kind} --replicas=0"
                raise UsageError(f"a {kind} is no job that ends", job.id, hint)
            return Call(method="DELETE", path=path, body=_json({"propagationPolicy": "Background"})), None
        if order.action == "timelimit":
            if kind not in _LIMITED:
                raise UsageError(f"a {kind} has no time limit that can be changed", job.id, "only a Job has one")
            if not (order.value or "").isdigit() or order.value == "0":
                raise UsageError("is no time limit of a Job", order.value or "nothing", "name a time: 90, 12h")
            old = None if job.time_limit_s is None else int(job.time_limit_s)
            return _spec(path, "activeDeadlineSeconds", int(order.value or "0")), _spec(
                path, "activeDeadlineSeconds", old
            )
        if kind not in _SUSPENDS:
            raise UsageError(f"a {kind} cannot be suspended", job.id, "cancel it, or scale it down with kubectl")
        wanted = order.action in ("hold", "suspend")
        return _spec(path, "suspend", wanted), _spec(path, "suspend", not wanted)


_EFFECTS: Mapping[str, Effect] = MappingProxyType({"cancel": Effect.ENDED, "suspend": Effect.REQUEUED})
"""A suspended job loses its pods and begins anew."""


def _spec(path: str, field: str, value: object) -> Call:
    return Call(method="PATCH", path=path, body=_json({"spec": {field: value}}))


def _json(body: object) -> str:
    return json.dumps(body, separators=(",", ":"), sort_keys=True)


def _by(node: Node) -> str:
    return f" ({node.reason_by})" if node.reason_by else ""


def _unmanaged(pod: HeldPod) -> str:
    return f"{pod.name} belongs to nothing that would start it again: cordon the node, or end it first"


def _loses(pod: HeldPod) -> str:
    names = [clean(one.name, limit=60) for one in pod.spec.volumes or () if one.empty_dir is not None]
    return f"{pod.name} loses what is in its emptyDir {', '.join(names)}" if names else ""


def _nothing_to_do(action: str, job: Job) -> str | None:
    """Return why there is nothing to be done; None: it can be asked."""
    said = job.scheduler_state or job.state
    if job.state.ended and action != "cancel":
        return f"has ended already ({said})"
    if action == "hold" and job.state is not JobState.PENDING:
        return "is held already" if job.state is JobState.HELD else f"has begun ({said}): suspend it"
    if action == "release" and job.state is not JobState.HELD:
        return f"is not held ({said})"
    if action == "suspend" and job.state is not JobState.RUNNING:
        return f"does not run ({said})"
    if action == "continue" and job.state is not JobState.SUSPENDED:
        return f"is not suspended ({said})"
    return None
