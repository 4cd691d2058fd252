"""Pods, reduced to what is shown: some hundred bytes each instead of the six thousand that they come in. Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from console.text import clean
from plugins.kubernetes.kinds import WANTED, Role
from plugins.kubernetes.objects import Condition, ContainerStatus, Owner, PodObject, PodSpec, PodStatus
from plugins.kubernetes.resources import Accelerators, Counts
from plugins.kubernetes.times import unix

T = TypeVar("T")

JobKey = tuple[str, str, str]
"""(short kind, namespace, name) of what holds pods."""
Key = tuple[str, str]
"""(namespace, name) of an object; the namespace of a node is empty."""

_SHORT = {(each.group, each.kind): each.short for each in WANTED if each.role is Role.WORK}
_MIRROR = "kubernetes.io/config.mirror"
_LWS = "leaderworkerset.sigs.k8s.io/name"
_QUEUE = "kueue.x-k8s.io/queue-name"
_RANKS = (
    "batch.kubernetes.io/job-completion-index",
    "training.kubeflow.org/replica-index",
    "leaderworkerset.sigs.k8s.io/worker-index",
    "apps.kubernetes.io/pod-index",
    "volcano.sh/task-index",
    "ray.io/replica-index",
)
_ROLES = (
    "jobset.sigs.k8s.io/replicatedjob-name",
    "training.kubeflow.org/replica-type",
    "ray.io/node-type",
    "volcano.sh/task-spec",
)
_GROUPS = ("scheduling.k8s.io/group-name", "scheduling.x-k8s.io/pod-group", "scheduling.volcano.sh/group-name")
_FIRST_ROLES = frozenset(("master", "launcher", "chief", "leader", "head"))
_WORDS = 1000
_MEMORY = 65536
UNSEEN = "no scheduler has looked at it"


class Pod(msgspec.Struct, frozen=True, gc=False):
    """A pod as far as it matters here."""

    namespace: str
    name: str
    holder: JobKey
    """What owns it directly, a ReplicaSet's Deployment instead of the ReplicaSet; the pod itself where nothing does."""
    node: str | None
    phase: str
    word: str
    """As kubectl's STATUS shows it."""
    message: str
    """Why it waits or ended, where that is said."""
    created: float | None
    started: float | None
    ended: float | None
    priority: int | None
    resources: Counts
    """Accelerators and fabric devices that it asks for."""
    millicores: int
    memory_bytes: int
    rank: int | None
    role: str
    leads: bool
    """Belongs to the role that counts first: master, launcher, head."""
    restarts: int
    daemon: bool
    """Of a DaemonSet, or a static pod: there whether somebody works on the node or not."""
    containers: tuple[str, ...]
    queue: str
    group: str
    """Name of its PodGroup."""
    user: str
    exit_code: int | None

    @property
    def key(self) -> Key:
        """Return its identity."""
        return self.namespace, self.name

    @property
    def holds(self) -> bool:
        """Whether it holds what it asked for: it has a node and has not ended (a terminating one still holds)."""
        return self.node is not None and self.phase not in ("Succeeded", "Failed")

    @property
    def order(self) -> tuple[bool, str, bool, int, str]:
        """Sort by rank: first roles first, then by role and index."""
        return not self.leads, self.role, self.rank is None, self.rank or 0, self.name


def short_kind(owner: Owner) -> str:
    """Return what ids call this kind of owner."""
    group, slash, _ = owner.api_version.partition("/")
    return _SHORT.get((group if slash else "", owner.kind)) or clean(owner.kind, limit=60).lower()


class PodReader:
    """Makes pods of bytes; equal parts of many pods are kept once."""

    def __init__(self, accelerators: Accelerators, user_label: str | None = None) -> None:
        self._accelerators = accelerators
        self._user_label = user_label
        self._decoder = msgspec.json.Decoder(PodObject)
        self._texts: dict[str, str] = {}
        self._kept: dict[object, object] = {}

    def read(self, data: msgspec.Raw | bytes) -> Pod:
        """Return a pod. msgspec.ValidationError when it is none."""
        return self.made(self._decoder.decode(data))

    def made(self, pod: PodObject) -> Pod:
        """Return the same of one that is decoded already."""
        meta, spec, status = pod.metadata, pod.spec, pod.status
        namespace, name = self._text(meta.namespace), clean(meta.name, limit=253)
        owner, labels, notes = meta.owner, meta.labels or {}, meta.annotations or {}
        resources, millicores, memory = self._accelerators.asked(spec)
        word, message = _status_word(spec, status)
        role = next((labels[label] for label in _ROLES if label in labels), "")
        label = self._user_label
        return Pod(
            namespace=namespace,
            name=name,
            holder=self._keep(holder_of(owner, namespace, name, labels)),
            node=self._text(spec.node_name) if spec.node_name else None,
            phase=self._text(status.phase),
            word=self._text(word if meta.deletion_timestamp is None else "Terminating") or "Unknown",
            message=self._text(message.strip(), _WORDS) if message else "",
            created=unix(meta.creation_timestamp),
            started=unix(status.start_time),
            ended=_ended(status),
            priority=spec.priority,
            resources=resources,
            millicores=millicores,
            memory_bytes=memory,
            rank=_rank(labels, notes),
            role=self._text(role),
            leads=role.lower() in _FIRST_ROLES,
            restarts=sum(each.restart_count for each in status.container_statuses or ()),
            daemon=(owner is not None and owner.kind == "DaemonSet") or _MIRROR in notes,
            containers=self._keep(tuple([self._text(each.name) for each in spec.containers or ()])),
            queue=self._text(labels.get(_QUEUE, "")),
            group=self._text(_group(labels, notes)),
            user=self._text(labels.get(label, "") or notes.get(label, "")) if label else "",
            exit_code=_exit_code(status),
        )

    def _text(self, text: str, limit: int = 253) -> str:
        """Return a clean text, the same object for the same text."""
        kept = self._texts.get(text)
        if kept is None:
            if len(self._texts) > _MEMORY:
                self._texts.clear()
            kept = self._texts[text] = clean(text, limit=limit)
        return kept

    def _keep(self, value: T) -> T:
        if len(self._kept) > _MEMORY:
            self._kept.clear()
        return self._kept.setdefault(value, value)  # type: ignore[return-value]


def holder_of(owner: Owner | None, namespace: str, name: str, labels: dict[str, str]) -> JobKey:
    """Return what holds a pod, by what it says of itself."""
    if _LWS in labels:
        # Its pods belong to StatefulSets of which those of the workers belong to the leader's pod.
        return "lws", namespace, clean(labels[_LWS], limit=253)
    if owner is None or owner.kind == "Node":
        return "pod", namespace, name
    named = clean(owner.name, limit=253)
    template = labels.get("pod-template-hash")
    if owner.kind == "ReplicaSet" and template and named.endswith(f"-{template}"):
        return "deployment", namespace, named[: -len(template) - 1]
    return short_kind(owner), namespace, named


def _group(labels: dict[str, str], notes: dict[str, str]) -> str:
    for label in _GROUPS:
        if text := labels.get(label) or notes.get(label):
            return text
    return ""


def _rank(labels: dict[str, str], notes: dict[str, str]) -> int | None:
    for label in _RANKS:
        text = labels.get(label) or notes.get(label, "")
        if text.isascii() and text.isdigit() and len(text) < 10:
            return int(text)
    return None


def _status_word(spec: PodSpec, status: PodStatus) -> tuple[str, str]:
    """Return (the pod's word as kubectl shows it, why); a deleted one is Terminating whatever this says."""
    if status.reason:
        return status.reason, status.message or ""
    for each in (*(status.init_container_statuses or ()), *(status.container_statuses or ())):
        state = each.state
        if state is not None and state.waiting is not None and state.waiting.reason not in (None, "PodInitializing"):
            said = state.waiting.message or ""
            if state.waiting.reason == "CrashLoopBackOff":
                said = _last_end(each) or said
            return str(state.waiting.reason), said
        if state is not None and state.terminated is not None and state.terminated.exit_code != 0:
            ended = state.terminated
            return ended.reason or f"ExitCode:{ended.exit_code}", ended.message or f"exit code {ended.exit_code}"
    if status.phase == "Pending":
        return _pending_word(spec, status.conditions or [])
    if status.phase == "Succeeded":
        return "Completed", ""
    return status.phase, status.message or ""


def _pending_word(spec: PodSpec, conditions: list[Condition]) -> tuple[str, str]:
    if not conditions:
        return "Pending", f"{UNSEEN}: {spec.scheduler_name or 'its scheduler'} does not run here"
    scheduled = next((each for each in conditions if each.type == "PodScheduled"), None)
    if scheduled is None or scheduled.status != "False":
        return "Pending", ""
    if spec.scheduling_gates:
        return scheduled.reason or "SchedulingGated", "held by " + ", ".join(
            gate.name for gate in spec.scheduling_gates
        )
    return scheduled.reason or "Pending", scheduled.message or ""


def _last_end(container: ContainerStatus) -> str:
    last = container.last_state.terminated if container.last_state is not None else None
    if last is None:
        return ""
    return f"ended {container.restart_count} times, last with {last.reason or 'an error'}, exit code {last.exit_code}"


def _ended(status: PodStatus) -> float | None:
    if status.phase not in ("Succeeded", "Failed"):
        return None
    times = [
        unix(each.state.terminated.finished_at)
        for each in status.container_statuses or ()
        if each.state is not None and each.state.terminated is not None
    ]
    return max((at for at in times if at is not None), default=None)


def _exit_code(status: PodStatus) -> int | None:
    for each in status.container_statuses or ():
        for state in (each.state, each.last_state):
            if state is not None and state.terminated is not None and state.terminated.exit_code:
                return state.terminated.exit_code
    return 0 if status.phase == "Succeeded" else None
