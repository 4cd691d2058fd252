"""The scheduler's words for why a pod has no node, taken apart into causes with counts. Pure.

    0/20 nodes are available: 1 node(s) were unschedulable, 9 Insufficient nvidia.com/gpu. TAIL

A node can count under several causes, so the counts need not add up to the number of nodes. The tail speaks of
preemption and of claims, and differs from release to release. What is not known here is shown as it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from console.model import Cause

_HEAD = re.compile(r"^(\d+)/(\d+) nodes are available: ?(.*)$", re.DOTALL)
_COUNTED = re.compile(r"(\d+) (.+)", re.DOTALL)
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<asked>.*), used: (?P<used>.*), limited: (?P<limit>.*)", re.DOTALL
)
_MAX_PARTS = 100


@dataclass(frozen=True, slots=True)
class Scheduling:
    """A message of the scheduler."""

    nodes: int | None
    """How many nodes there are; None: the message has another form."""
    causes: tuple[Cause, ...]
    """The one that holds for most nodes first."""
    tail: str


_RULES: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), text, step)
    for pattern, text, step in (
        (
            r"^Insufficient (?P<what>\S+)$",
            "not enough {what} free on one node",
            "wait until others end, or ask for less on one node",
        ),
        (
            r"^node\(s\) were unschedulable$",
            "cordoned: somebody drains them",
            "see their reason on the Fleet screen; uncordon when they are well",
        ),
        (
            r"^node\(s\) had (?:untolerated )?taint(?:\(s\)|s)?(?: ?\{(?P<what>[^}]*)\})?.*$",
            "tainted, and the pod does not tolerate it {what}",
            "add a toleration if the pod is meant for such nodes; else they are kept for others or are ill",
        ),
        (
            r"^node\(s\) didn't match Pod's node affinity(?:/selector)?$",
            "lacking the labels that the pod asks for",
            "compare nodeSelector and affinity with: kubectl get nodes --show-labels",
        ),
        (
            r"^node\(s\) didn't match (?:pod (?:anti-)?affinity(?:/anti-affinity)?(?: rules)?|"
            r"pod anti-affinity rules).*$",
            "ruled out by which pods run there already",
            "look at podAffinity and podAntiAffinity of the pod",
        ),
        (
            r"^node\(s\) didn't satisfy existing pods anti-affinity rules$",
            "kept free by pods that want no neighbour",
            "wait until those end",
        ),
        (
            r"^node\(s\) didn't match pod topology spread constraints.*$",
            "ruled out by topologySpreadConstraints",
            "relax the constraint, or free nodes in the other zones or racks",
        ),
        (
            r"^node\(s\) didn't have free ports.*$",
            "with the host port taken already",
            "use another hostPort, or none",
        ),
        (
            r"^node\(s\) had volume node affinity conflict$",
            "where the pod's volume cannot be reached",
            "the volume lives in another zone or on another node: use a shared one",
        ),
        (
            r"^node\(s\) exceed max volume count$",
            "with as many volumes as they can attach",
            "wait, or use fewer volumes",
        ),
        (
            r"^Too many pods$",
            "with as many pods as their kubelet allows",
            "wait until others end",
        ),
        (
            r"^(?:node\(s\) )?cannot allocate all claims$",
            "without free devices for its ResourceClaims",
            "wait until others end, or ask for other devices",
        ),
        (
            r"^node\(s\) (?:were )?(?:not ready|unreachable|out of disk)$",
            "out of order",
            "see their reason on the Fleet screen",
        ),
        (
            r"^(?:No preemption victims found for incoming pod|Preemption is not helpful for scheduling)\.?$",
            "where nobody less important could make room",
            "",
        ),
        (
            r'^persistentvolumeclaim "(?P<what>[^"]*)" not found$',
            "its volume claim {what} does not exist",
            "create it, or mend claimName",
        ),
        (
            r"^pod has unbound immediate PersistentVolumeClaims$",
            "its volume claim is not bound to a volume",
            "kubectl describe pvc tells why: no such storage class, no volume of that size",
        ),
    )
)


def explained(code: str, nodes: int | None = None) -> Cause:
    """Return a cause in plain words; one that is not known keeps its own."""
    for pattern, text, step in _RULES:
        found = pattern.match(code)
        if found is not None:
            what = found.groupdict().get("what") or ""
            words = " ".join(text.format(what=what).split())
            if nodes is not None:
                words = f"{nodes} {'node' if nodes == 1 else 'nodes'}: {words}"
            return Cause(code=code, text=words, next_step=step, nodes=nodes)
    return Cause(code=code, text=code if nodes is None else f"{nodes} nodes: {code}", nodes=nodes)


def scheduling(message: str) -> Scheduling:
    """Return what a FailedScheduling message or a PodScheduled condition says."""
    head = _HEAD.match(message.strip())
    if head is None:
        text = message.strip().rstrip(".")
        return Scheduling(None, (explained(text),) if text else (), "")
    body, dot, tail = head[3].partition(". ")
    causes = []
    for part in re.split(r", (?=\d+ )", body.rstrip("."))[:_MAX_PARTS]:
        counted = _COUNTED.fullmatch(part.strip())
        if counted is not None and len(counted[1]) < 10:
            causes.append(explained(counted[2].strip(), int(counted[1])))
        elif part.strip():
            causes.append(explained(part.strip()))
    # Of causes that rule out as many nodes, what is missing decides: the rest often only repeats it.
    causes.sort(key=lambda cause: (-(cause.nodes or 1 << 30), not cause.code.startswith("Insufficient")))
    return Scheduling(int(head[2]) if len(head[2]) < 10 else None, tuple(causes), tail.strip() if dot else "")


@dataclass(frozen=True, slots=True)
class OverQuota:
    """What `exceeded quota` says: amounts by resource, as written."""

    name: str
    asked: dict[str, str]
    used: dict[str, str]
    limit: dict[str, str]


def over_quota(message: str) -> OverQuota | None:
    """Return the quota that a refusal names; None when it is another refusal."""
    found = _QUOTA.search(message)
    if found is None:
        return None
    return OverQuota(found["name"].strip(), *(_amounts(found[name]) for name in ("asked", "used", "limit")))


def _amounts(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.strip().split(","))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}
