"""Nodes: what the API server says of them, and the records made of that and of the pods on them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from console.model import Node, NodeState
from console.text import clean
from plugins.kubernetes.objects import Condition, NodeObject, Taint
from plugins.kubernetes.pods import Key, Pod
from plugins.kubernetes.quantity import amount
from plugins.kubernetes.resources import Accelerators, Counts
from plugins.kubernetes.settings import AddressRule
from plugins.kubernetes.times import unix

REASON, BY = "quarterdeck/reason", "quarterdeck/by"
"""Annotations of a node that say why it is cordoned and who did it; its taint says since when."""
_CORDONED = "node.kubernetes.io/unschedulable"
_PRODUCTS = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "habana.ai/gaudi.product",
    "cloud.google.com/gke-accelerator",
    "k8s.amazonaws.com/accelerator",
    "accelerator",
)
_RACKS = (
    "topology.kubernetes.io/rack",
    "topology.k8s.io/rack",
    "cloud.google.com/gke-placement-group",
    "topology.kubernetes.io/zone",
)
_SHOWN_LABELS = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/rack",
    "topology.kubernetes.io/block",
    "network.topology.nvidia.com/accelerator",
    "network.topology.nvidia.com/leaf",
    "network.topology.nvidia.com/spine",
    "network.topology.nvidia.com/core",
    "node.kubernetes.io/instance-type",
    "nvidia.com/gpu.memory",
    "nvidia.com/gpu.family",
    "nvidia.com/gpu.clique",
    "nvidia.com/mig.config",
    "nvidia.com/mig.strategy",
    "nvidia.com/cuda.driver-version.full",
    "nvidia.com/cuda.driver.major",
)
_USUAL_TAINTS = ("node.kubernetes.io/", "node-role.kubernetes.io/")
_ROLE = "node-role.kubernetes.io/"
_ADDRESSES = {
    AddressRule.HOSTNAME: "Hostname",
    AddressRule.INTERNAL_IP: "InternalIP",
    AddressRule.EXTERNAL_IP: "ExternalIP",
}


class NodeFacts(msgspec.Struct, frozen=True, gc=False):
    """A node as far as it matters here; a heartbeat alone does not change it."""

    name: str
    state: NodeState
    """UP, DRAINED (cordoned), DOWN, UNREACHABLE or UNKNOWN: what pods on it add is not in it."""
    word: str
    reason: str
    reason_at: float | None
    reason_by: str | None
    roles: tuple[str, ...]
    features: tuple[str, ...]
    cpus: int | None
    memory_bytes: int | None
    capacity: Counts
    allocatable: Counts
    model: str | None
    rack: str | None
    address: str | None
    detail: dict[str, str]

    @property
    def key(self) -> Key:
        """Return its identity."""
        return "", self.name


class NodeReader:
    """Makes facts of the bytes of nodes."""

    def __init__(self, accelerators: Accelerators, address: AddressRule) -> None:
        self._accelerators = accelerators
        self._address = address
        self._decoder = msgspec.json.Decoder(NodeObject)

    def read(self, data: msgspec.Raw | bytes) -> NodeFacts:
        """Return a node's facts. msgspec.ValidationError when it is none."""
        return self.made(self._decoder.decode(data))

    def made(self, node: NodeObject) -> NodeFacts:
        """Return the same of one that is decoded already."""
        labels = node.metadata.labels or {}
        conditions = node.status.conditions or []
        taints = node.spec.taints or []
        capacity = self._accelerators.shown(node.status.capacity)
        allocatable = self._accelerators.shown(node.status.allocatable)
        cordoned = node.spec.unschedulable is True
        state, troubles, since = _health(conditions, cordoned)
        troubles += _broken(capacity, allocatable) + self._by_hand(taints)
        notes = node.metadata.annotations or {}
        by = None
        if cordoned:
            by = clean(notes[BY], limit=100) if notes.get(BY) else None
            if notes.get(REASON):
                troubles = [notes[REASON], *(text for text in troubles if text != "cordoned")]
            at = next((unix(taint.time_added) for taint in taints if taint.key == _CORDONED), None)
            since = at if state is NodeState.DRAINED else since
        memory = amount((node.status.capacity or {}).get("memory"))
        cpus = amount((node.status.capacity or {}).get("cpu"))
        product = next((labels[label] for label in _PRODUCTS if labels.get(label)), None)
        rack = next((labels[label] for label in _RACKS if labels.get(label)), None)
        name = clean(node.metadata.name, limit=253)
        return NodeFacts(
            name=name,
            state=state,
            word=_word(conditions, cordoned),
            reason=clean("; ".join(troubles), limit=500),
            reason_at=since,
            reason_by=by,
            roles=tuple(sorted(clean(label[len(_ROLE) :], limit=60) for label in labels if label.startswith(_ROLE))),
            features=tuple(clean(labels[label], limit=100) for label in _SHOWN_LABELS[:9] if labels.get(label)),
            cpus=math.floor(cpus) if cpus is not None and cpus < 1e9 else None,
            memory_bytes=round(memory) if memory is not None and memory < 1e18 else None,
            capacity=capacity,
            allocatable=allocatable,
            model=clean(product, limit=100) if product else None,
            rack=clean(rack, limit=100) if rack else None,
            address=self._reach(name, node),
            detail=_detail(node, labels, taints, conditions),
        )

    def _by_hand(self, taints: list[Taint]) -> list[str]:
        """Return the taints that somebody set for a reason of his own.

        What Kubernetes sets itself says a condition already, and one named after a device only keeps others away.
        """
        return [
            f"taint {_taint(taint)}"
            for taint in taints
            if not taint.key.startswith(_USUAL_TAINTS) and not self._accelerators.is_one(taint.key)
        ]

    def _reach(self, name: str, node: NodeObject) -> str | None:
        if self._address is AddressRule.NONE:
            return None
        if self._address is AddressRule.NAME:
            return f"ssh:{name}"
        wanted = _ADDRESSES[self._address]
        found = next((each.address for each in node.status.addresses or () if each.type == wanted), None)
        return f"ssh:{clean(found, limit=253)}" if found else None


def _health(conditions: list[Condition], cordoned: bool) -> tuple[NodeState, list[str], float | None]:
    """Return (state, what is wrong, since when)."""
    ready = next((each for each in conditions if each.type == "Ready"), None)
    troubles = []
    state, since = NodeState.UNKNOWN, None
    if ready is None:
        troubles.append("its kubelet has never reported")
    elif ready.status == "True":
        state = NodeState.UP
    else:
        since = unix(ready.last_transition_time)
        state = NodeState.DOWN if ready.status == "False" else NodeState.UNREACHABLE
        silent = "no heartbeat from its kubelet" if state is NodeState.UNREACHABLE else "not ready"
        troubles.append(f"{silent}: {ready.message or ready.reason or 'no reason given'}")
    for each in conditions:
        if each.type != "Ready" and each.status == "True":
            troubles.append(f"{each.type}: {each.message or each.reason or 'no reason given'}")
            since = since or unix(each.last_transition_time)
    if cordoned:
        # Before not ready, as Slurm has it: somebody took it away on purpose.
        troubles.append("cordoned")
        state = NodeState.DRAINED
    return state, troubles, since


def _word(conditions: list[Condition], cordoned: bool) -> str:
    """Return the node's STATUS as kubectl shows it, with the other conditions that are true."""
    ready = next((each.status for each in conditions if each.type == "Ready"), None)
    words = ["Ready" if ready == "True" else "NotReady" if ready == "False" else "Unknown"]
    if cordoned:
        words.append("SchedulingDisabled")
    words += [each.type for each in conditions if each.type != "Ready" and each.status == "True"]
    return clean(",".join(words), limit=200)


def _broken(capacity: Counts, allocatable: Counts) -> list[str]:
    """Say which devices the node has and does not give out."""
    gives = dict(allocatable)
    return [
        f"{count - gives.get(name, 0)} of {count} {name} not allocatable"
        for name, count in capacity
        if gives.get(name, 0) < count
    ]


def _taint(taint: Taint) -> str:
    value = f"={taint.value}" if taint.value else ""
    return clean(f"{taint.key}{value}:{taint.effect}", limit=200)


def _detail(
    node: NodeObject, labels: dict[str, str], taints: list[Taint], conditions: list[Condition]
) -> dict[str, str]:
    info = node.status.node_info
    found = {
        "kubelet": info.kubelet_version if info else "",
        "system": f"{info.os_image}, kernel {info.kernel_version}" if info else "",
        "runtime": info.container_runtime_version if info else "",
        "provider id": node.spec.provider_id or "",
        "addresses": ", ".join(f"{each.address}" for each in node.status.addresses or ()),
        "taints": ", ".join(_taint(taint) for taint in taints),
        "conditions": ", ".join(f"{each.type}={each.status}" for each in conditions),
    }
    found |= {label.rpartition("/")[2]: labels[label] for label in _SHOWN_LABELS if labels.get(label)}
    return {name: clean(text, limit=300) for name, text in found.items() if text}


class NodeMaker:
    """Makes records of nodes of one cluster."""

    def __init__(self, cluster: str, accelerators: Accelerators) -> None:
        self._cluster = cluster
        self._accelerators = accelerators

    def record(
        self,
        facts: NodeFacts,
        pods: Iterable[Pod],
        *,
        pods_known: str | None,
        devices: Counts = (),
        claimed: Counts = (),
    ) -> Node:
        """Return the record. `pods_known` says why the pods are not known, None: they are.

        `devices` are those that are given out by claims, `claimed` those of them that are held.
        """
        holding = [pod for pod in pods if pod.holds]
        used = dict(claimed)
        for pod in holding:
            for name, count in pod.resources:
                used[name] = used.get(name, 0) + count
        # Some drivers show the same devices in both ways.
        total = self._accelerators.total(facts.capacity) or self._accelerators.total(devices)
        unknown = pods_known is not None
        unsigned = facts.state is NodeState.DRAINED and facts.reason_by is None
        missing = {"reason_by": "whoever cordoned it left no name"} if unsigned else {}
        if pods_known is not None:
            why = f"pods are not known: {pods_known}"
            missing |= dict.fromkeys(("accelerators_allocated", "cpus_allocated", "memory_allocated_bytes"), why)
        return Node(
            name=facts.name,
            cluster=self._cluster,
            state=_with_work(facts.state, any(not pod.daemon for pod in holding)),
            scheduler_state=facts.word,
            reason=facts.reason or None,
            reason_at=facts.reason_at,
            reason_by=facts.reason_by,
            partitions=facts.roles,
            features=facts.features,
            cpus=facts.cpus,
            cpus_allocated=None if unknown else math.ceil(sum(pod.millicores for pod in holding) / 1000),
            memory_total_bytes=facts.memory_bytes,
            memory_allocated_bytes=None if unknown else sum(pod.memory_bytes for pod in holding),
            accelerators_total=total,
            accelerators_allocated=None if unknown else self._accelerators.total(tuple(used.items())),
            accelerator_model=facts.model,
            rack=facts.rack,
            address=facts.address,
            detail=facts.detail | _use(facts, devices, used, unknown),
            missing=missing,
        )

    def by_name_only(self, name: str, pods: Iterable[Pod], why: str) -> Node:
        """Return the record of a node of which only its pods tell."""
        holding = [pod for pod in pods if pod.holds]
        unknown = ("state", "cpus", "memory_total_bytes", "accelerators_total", "accelerator_model")
        return Node(
            name=name,
            cluster=self._cluster,
            state=NodeState.UNKNOWN,
            accelerators_allocated=sum(self._accelerators.total(pod.resources) for pod in holding),
            missing=dict.fromkeys(unknown, why),
        )


def _with_work(state: NodeState, works: bool) -> NodeState:
    if works and state is NodeState.UP:
        return NodeState.BUSY
    if works and state is NodeState.DRAINED:
        return NodeState.DRAINING
    return state


def _use(facts: NodeFacts, devices: Counts, used: dict[str, int], unknown: bool) -> dict[str, str]:
    """Return a line for every device resource: how much is in use, given out and there."""
    gives = dict((*facts.allocatable, *devices))
    lines = {}
    for name, count in (*facts.capacity, *devices):
        if not count and not used.get(name):
            continue
        taken = "?" if unknown else used.get(name, 0)
        broken = f", {gives.get(name, 0)} allocatable" if gives.get(name, 0) != count else ""
        lines[name] = f"{taken} of {count} in use{broken}"
    return lines
