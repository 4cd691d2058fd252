"""What a cluster is at this moment, out of all mirrors, and which of its nodes and jobs changed since they were told.

Pods hang on what owns them directly; jobs hang on the jobs that own them (a Job of a JobSet of a TrainJob). A job that
is listed is the top of such a tree. Pods that nobody counts as a job are listed as one when they hold accelerators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from plugins.kubernetes.claims import Claim, Devices, Slice
from plugins.kubernetes.node import NodeFacts
from plugins.kubernetes.pods import JobKey, Key, Pod
from plugins.kubernetes.queues import Admission, Gang, QueueObject
from plugins.kubernetes.resources import Accelerators
from plugins.kubernetes.works import PARENTS, Work

K = TypeVar("K")
V = TypeVar("V")
_DEPTH = 8
"""Owners of owners are followed so far: a ring of them must not hang us."""
_JOB_KINDS = PARENTS | {"job"}


class Board:
    """Takes changes of objects; answers what belongs together. Holds no connection and no clock."""

    def __init__(self, accelerators: Accelerators) -> None:
        self.accelerators = accelerators
        self.news: Callable[[], None] = lambda: None
        """Called after every change."""
        self.nodes: dict[str, NodeFacts] = {}
        self.pods: dict[Key, Pod] = {}
        self.works: dict[JobKey, Work] = {}
        self.admissions: dict[JobKey, Admission] = {}
        self.gangs: dict[Key, Gang] = {}
        self.queues: dict[Key, QueueObject] = {}
        self.devices = Devices()
        self.dirty_nodes: set[str] = set()
        self.dirty_jobs: set[JobKey] = set()
        self.dirty_queues = False
        self._on_node: dict[str, dict[Key, None]] = {}
        self._pods_of: dict[JobKey, dict[Key, None]] = {}
        self._parts_of: dict[JobKey, dict[JobKey, None]] = {}
        self._in_gang: dict[Key, dict[JobKey, None]] = {}

    # ---- changes

    def node_changed(self, old: NodeFacts | None, new: NodeFacts | None) -> None:
        """Take a node that came, changed or went."""
        name = (new or old).name  # type: ignore[union-attr]
        if new is None:
            del self.nodes[name]
        else:
            self.nodes[name] = new
        self.dirty_nodes.add(name)
        self.news()

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Take a pod that came, changed or went."""
        if old is not None:
            del self.pods[old.key]
            self._touch(old)
            if new is None or new.node != old.node:
                _discard(self._on_node, old.node, old.key)
            if new is None or new.holder != old.holder:
                _discard(self._pods_of, old.holder, old.key)
        if new is not None:
            self.pods[new.key] = new
            self._touch(new)
            if new.node is not None:
                self._on_node.setdefault(new.node, {})[new.key] = None
            self._pods_of.setdefault(new.holder, {})[new.key] = None
            if new.group:
                self._in_gang.setdefault((new.namespace, new.group), {})[new.holder] = None
        self.news()

    def work_changed(self, old: Work | None, new: Work | None) -> None:
        """Take a job object that came, changed or went."""
        key = (new or old).key  # type: ignore[union-attr]
        # Both the top that it had and the one that it has now are told anew.
        self.dirty_jobs.update((key, self.top(key)))
        if old is not None:
            del self.works[key]
            _discard(self._parts_of, old.parent, key)
        if new is not None:
            self.works[key] = new
            if new.parent is not None:
                self._parts_of.setdefault(new.parent, {})[key] = None
        self.dirty_jobs.add(self.top(key))
        self.news()

    def admission_changed(self, old: Admission | None, new: Admission | None) -> None:
        """Take a Workload of Kueue that came, changed or went."""
        for each in (old, new):
            if each is not None and each.job is not None:
                self.admissions.pop(each.job, None)
                self.dirty_jobs.add(self.top(each.job))
        if new is not None and new.job is not None:
            self.admissions[new.job] = new
        self.news()

    def gang_changed(self, old: Gang | None, new: Gang | None) -> None:
        """Take a PodGroup that came, changed or went."""
        key = (new or old).key  # type: ignore[union-attr]
        if new is None:
            self.gangs.pop(key, None)
        else:
            self.gangs[key] = new
        self.dirty_jobs.update(self.top(holder) for holder in self._in_gang.get(key, ()))
        self.news()

    def queue_changed(self, old: QueueObject | None, new: QueueObject | None) -> None:
        """Take a queue that came, changed or went."""
        key = (new or old).key  # type: ignore[union-attr]
        if new is None:
            self.queues.pop(key, None)
        else:
            self.queues[key] = new
        self.dirty_queues = True
        self.news()

    def claim_changed(self, old: Claim | None, new: Claim | None) -> None:
        """Take a ResourceClaim that came, changed or went."""
        nodes, pods = self.devices.claim_changed(old, new)
        self.dirty_nodes.update(nodes)
        self.dirty_jobs.update(self.top(self.pods[pod].holder) for pod in pods if pod in self.pods)
        self.news()

    def slice_changed(self, old: Slice | None, new: Slice | None) -> None:
        """Take a ResourceSlice that came, changed or went."""
        self.dirty_nodes.update(self.devices.slice_changed(old, new))
        self.news()

    def _touch(self, pod: Pod) -> None:
        if pod.node is not None:
            self.dirty_nodes.add(pod.node)
        self.dirty_jobs.add(self.top(pod.holder))

    # ---- what belongs together

    def top(self, key: JobKey) -> JobKey:
        """Return the job that a job or a holder of pods is listed under; itself where nothing owns it."""
        for _ in range(_DEPTH):
            work = self.works.get(key)
            if work is None or work.parent is None:
                break
            key = work.parent
        return key

    def parts(self, key: JobKey) -> Iterator[Work]:
        """Yield the job objects of a listed job, its own first where there is one."""
        waiting, seen = [key], {key}
        while waiting:
            each = waiting.pop()
            if (work := self.works.get(each)) is not None:
                yield work
            for part in self._parts_of.get(each, ()):
                if part not in seen:
                    seen.add(part)
                    waiting.append(part)

    def pods_of(self, key: JobKey) -> list[Pod]:
        """Return the pods of a listed job in the order of their ranks."""
        holders = {key, *(work.key for work in self.parts(key))}
        found = [self.pods[pod] for holder in holders for pod in self._pods_of.get(holder, ())]
        return sorted(found, key=lambda pod: pod.order)

    def pods_on(self, node: str) -> list[Pod]:
        """Return the pods of a node."""
        return [self.pods[key] for key in self._on_node.get(node, ())]

    def accelerators_of(self, pods: Sequence[Pod]) -> int:
        """Return how many accelerators pods ask for, or hold by claims."""
        asked = sum(self.accelerators.total(pod.resources) for pod in pods)
        return asked + self.accelerators.total(self.devices.of_pods(pod.key for pod in pods))

    def is_listed(self, key: JobKey, pods: list[Pod]) -> bool:
        """Whether something is listed as a job: it is one, or its pods hold or want accelerators."""
        if self.top(key) != key:
            return False
        if key in self.works or key[0] in _JOB_KINDS:
            return key in self.works or bool(pods) or next(self.parts(key), None) is not None
        return bool(self.accelerators_of(pods)) and not all(pod.daemon for pod in pods)

    def admission_of(self, key: JobKey) -> Admission | None:
        """Return Kueue's view of a listed job."""
        if key in self.admissions:
            return self.admissions[key]
        for work in self.parts(key):
            if work.key in self.admissions:
                return self.admissions[work.key]
        return None

    def gang_of(self, pods: list[Pod]) -> Gang | None:
        """Return the PodGroup that pods belong to."""
        for pod in pods:
            if pod.group and (gang := self.gangs.get((pod.namespace, pod.group))) is not None:
                return gang
        return None

    def find(self, job_id: str) -> list[JobKey]:
        """Return the listed jobs that an id means: whole, or without its kind, or the name alone."""
        parts = job_id.split("/")
        candidates = {self.top(key) for key in (*self._pods_of, *self.works)}
        if len(parts) == 3:
            return [key for key in candidates if key == (parts[1], parts[0], parts[2])]
        if len(parts) == 2:
            found = [key for key in candidates if key[1:] == (parts[0], parts[1])]
        else:
            found = [key for key in candidates if key[2] == job_id]
        return sorted(key for key in found if self.is_listed(key, self.pods_of(key)))


def job_id(key: JobKey) -> str:
    """Return the id that a job is listed under: `namespace/kind/name`."""
    short, namespace, name = key
    return f"{namespace}/{short}/{name}"


def _discard(table: dict[K, dict[V, None]], slot: K | None, value: V) -> None:
    """Take one value out of a table of sets, and the set when it was the last."""
    if slot is None or slot not in table:
        return
    table[slot].pop(value, None)
    if not table[slot]:
        del table[slot]
