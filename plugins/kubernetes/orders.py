"""Plans for nodes: what would be asked of the API server so that they become what somebody wants. Pure.

A drain is a cordon, then one eviction for each pod, as the API asks for it: whatever a PodDisruptionBudget protects is
waited for and never forced. Pods of DaemonSets, static pods and pods that have ended stay. A pod that nothing would
start again blocks the plan: whoever wants it gone ends it first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from console.model import Call, Draft, Effect, Node, Order, Step
from console.text import clean
from plugins.kubernetes.held import Budget, HeldPod, NodeTarget, Ties
from plugins.kubernetes.node import BY, REASON
from plugins.kubernetes.patches import Change, back, compact, patch

NODE_ACTIONS = frozenset({"cordon", "drain", "resume"})
GRACE_S = 30
EVICTION_S = 120.0
"""How long a PodDisruptionBudget is waited for beyond the grace period of the pod."""
_LONGEST_GRACE_S = 3600
_NOTES = (REASON, BY)
_ANNOTATIONS = ("metadata", "annotations")
_SHOWN = 8
"""Pods that one warning names."""


class NodePlanner:
    """Makes the drafts of one cluster."""

    def __init__(self, cluster: str, where: str) -> None:
        self._cluster = cluster
        self._where = where

    def draft(self, order: Order, targets: Sequence[NodeTarget], ties: Ties) -> Draft:
        """Return what would be done to nodes."""
        plan = self._resume if order.action == "resume" else self._take_out
        return plan(order, targets, ties)

    def _resume(self, order: Order, targets: Sequence[NodeTarget], _ties: Ties) -> Draft:
        steps, unchanged, warnings = [], {}, []
        for target in targets:
            node = target.node
            if not target.held.spec.unschedulable:
                unchanged[node.name] = f"takes pods already ({node.scheduler_state})"
                continue
            if node.reason:
                warnings.append(f"{node.name}: {node.reason}{_by(node)}")
            steps.append(self._mark(target, f"uncordon {node.name}", False, _former(order)))
        kept = {step.names[0]: _kept(target) for step, target in _with_steps(steps, targets)}
        return Draft(steps=tuple(steps), unchanged=unchanged, warnings=tuple(warnings), former=kept)

    def _take_out(self, order: Order, targets: Sequence[NodeTarget], ties: Ties) -> Draft:
        steps, unchanged, warnings = [], {}, []
        evicted: list[tuple[NodeTarget, HeldPod]] = []
        given = _former(order) if order.former else {REASON: order.reason or "", BY: order.by}
        for target in targets:
            node, pods = target.node, target.evicted if order.action == "drain" else []
            if not target.held.spec.unschedulable:
                steps.append(self._mark(target, f"cordon {node.name}", True, given))
                warnings += _replaced(target)
            elif not pods:
                unchanged[node.name] = f"is {node.state} already: {node.reason}{_by(node)}"
            else:
                warnings.append(f"{node.name} is cordoned already, and that reason stays: {node.reason}{_by(node)}")
            if pods and not (node.scheduler_state or "").startswith("Ready"):
                warnings.append(f"{node.name} is {node.scheduler_state}: its pods end only when its kubelet is back")
            evicted += [(target, pod) for pod in pods]
        kept = {step.names[0]: _kept(target) for step, target in _with_steps(steps, targets)}
        pods = [pod for _, pod in evicted]
        doomed, said = _doomed(pods, ties)
        return Draft(
            steps=(*steps, *(self._eviction(target, pod) for target, pod in evicted)),
            effects=_effects(evicted, doomed),
            blocked_by=(*(_unmanaged(pod) for pod in pods if pod.metadata.owner is None), *_twice(pods, ties.budgets)),
            warnings=(*warnings, *said, *_protected(pods, ties.budgets), *filter(None, map(_loses, pods))),
            unchanged=unchanged,
            former=kept,
        )

    def _mark(self, target: NodeTarget, text: str, out: bool, given: Mapping[str, str]) -> Step:
        """Return the step that cordons a node, or lets it take pods again, and leaves it with these notes of ours."""
        held = target.held
        notes, was = held.metadata.annotations, held.spec.unschedulable or None
        changes = [Change(("spec", "unschedulable"), was, out or None)]
        if notes is None and given:
            changes.append(Change(_ANNOTATIONS, None, dict(given)))
        elif notes is not None:
            olds = {name: notes.get(name) for name in _NOTES}
            changes += [
                Change((*_ANNOTATIONS, name), old, given.get(name))
                for name, old in olds.items()
                if old != given.get(name)
            ]
        path, uid = f"/api/v1/nodes/{target.node.name}", held.metadata.uid
        return Step(
            cluster=self._cluster,
            names=(target.node.name,),
            run=patch(path, uid, changes),
            undo=patch(path, uid, back(changes)),
            text=text,
            where=self._where,
        )

    def _eviction(self, target: NodeTarget, pod: HeldPod) -> Step:
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
            run=Call(method="POST", path=path, body=compact(body)),
            text=f"evict {pod.name}",
            phase=1,
            where=self._where,
            timeout_s=EVICTION_S + (GRACE_S if grace is None else min(grace, _LONGEST_GRACE_S)),
        )


def _with_steps(steps: Sequence[Step], targets: Sequence[NodeTarget]) -> list[tuple[Step, NodeTarget]]:
    found = {target.node.name: target for target in targets}
    return [(step, found[step.names[0]]) for step in steps]


def _former(order: Order) -> dict[str, str]:
    """Return the notes that an undo brings back."""
    return msgspec.json.decode(order.former, type=dict[str, str]) if order.former else {}


def _kept(target: NodeTarget) -> str:
    """Return the notes of ours that a node has, for an undo."""
    notes = target.held.metadata.annotations or {}
    return compact({name: notes[name] for name in _NOTES if name in notes})


def _by(node: Node) -> str:
    return f" ({node.reason_by})" if node.reason_by else ""


def _replaced(target: NodeTarget) -> list[str]:
    """Say which reason is left over from a cordon that somebody ended without us."""
    notes = target.held.metadata.annotations or {}
    if not notes.get(REASON):
        return []
    by = f" ({clean(notes[BY], limit=100)})" if notes.get(BY) else ""
    return [f"{target.node.name} has a reason of an earlier cordon, which goes: {clean(notes[REASON], limit=300)}{by}"]


def _unmanaged(pod: HeldPod) -> str:
    meta = pod.metadata
    ends = clean(f"qd cancel {meta.namespace}/pod/{meta.name}", limit=320)
    return f"{pod.name} belongs to nothing that would start it again: {ends} ends it, qd cordon lets it run on"


def _loses(pod: HeldPod) -> str:
    names = [clean(one.name, limit=60) for one in pod.spec.volumes or () if one.empty_dir is not None]
    return f"{pod.name} loses what is in its emptyDir {', '.join(names)}" if names else ""


def _named(pods: Sequence[HeldPod]) -> str:
    names = [pod.name for pod in pods]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _protected(pods: Sequence[HeldPod], budgets: Sequence[Budget]) -> list[str]:
    """Say which budgets let fewer pods go now than are to be evicted."""
    said = []
    for budget in budgets:
        met = [pod for pod in pods if budget.protects(pod)]
        if len(met) > (allowed := budget.status.disruptions_allowed):
            said.append(
                f"budget {budget.name} lets {allowed} of {_named(met)} go now: for the rest it is waited"
                f" {EVICTION_S:.0f} s and their grace period, nothing is forced"
            )
    return said


def _twice(pods: Sequence[HeldPod], budgets: Sequence[Budget]) -> list[str]:
    """Say which pods are under several budgets: the API evicts no such pod."""
    found = [(pod, [each.name for each in budgets if each.protects(pod)]) for pod in pods]
    return [
        f"{pod.name} is under {len(names)} budgets ({', '.join(names)}) and cannot be evicted: one of them must let go"
        for pod, names in found
        if len(names) > 1
    ]


def _doomed(pods: Sequence[HeldPod], ties: Ties) -> tuple[frozenset[tuple[str, str]], list[str]]:
    """Return the Jobs that would fail for good with the loss of these pods, and say so."""
    counts = Counter(pod.job for pod in pods if pod.job is not None)
    doomed = [job for job, count in counts.items() if job in ties.retries and ties.retries[job].ends_with(count)]
    names = [clean("/".join(job), limit=320) for job in doomed]
    return frozenset(doomed), [f"Job {name} has no retry left and fails with the pods it loses" for name in names]


def _effects(evicted: Sequence[tuple[NodeTarget, HeldPod]], doomed: frozenset[tuple[str, str]]) -> dict[str, Effect]:
    found: dict[str, Effect] = {}
    for target, pod in evicted:
        job = target.jobs.get(pod.name)
        if job is not None and found.get(job) is not Effect.ENDED:
            own = pod.job is not None and job == f"{pod.job[0]}/job/{pod.job[1]}"
            found[job] = Effect.ENDED if own and pod.job in doomed else Effect.EVICTED
    return found
