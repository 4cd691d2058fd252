"""What keeps jobs waiting on purpose: Kueue's workloads and queues, and gangs (PodGroups). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from console.text import clean
from plugins.kubernetes.objects import WorkObject
from plugins.kubernetes.plain import TEXT, dig, held_conditions, integer, tables, text
from plugins.kubernetes.pods import JobKey, Key, short_kind
from plugins.kubernetes.quantity import amount
from plugins.kubernetes.times import unix


class Admission(msgspec.Struct, frozen=True, gc=False):
    """Kueue's view of a job: a Workload."""

    key: Key
    job: JobKey | None
    queue: str
    cluster_queue: str
    priority: int
    created: float | None
    reserved: bool
    admitted: bool
    evicted: bool
    finished: bool
    message: str
    reason: str
    active: bool


class AdmissionReader:
    """Makes admissions of the bytes of Workloads."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(WorkObject)

    def read(self, data: msgspec.Raw | bytes) -> Admission:
        """Return an admission. msgspec.ValidationError when it is none."""
        found = self._decoder.decode(data)
        meta, spec, status = found.metadata, found.spec, found.status
        namespace = clean(meta.namespace, limit=253)
        owner = meta.owner or next(iter(meta.owner_references or ()), None)
        conditions = {text(each.get("type")): each for each in tables(dig(status, "conditions"))}
        held = {name for name, each in conditions.items() if each.get("status") == "True"}
        telling = conditions.get("Evicted" if "Evicted" in held else "QuotaReserved", {})
        if "QuotaReserved" in held and "Admitted" not in held:
            telling = conditions.get("Admitted", {})
        return Admission(
            key=(namespace, clean(meta.name, limit=253)),
            job=(short_kind(owner), namespace, clean(owner.name, limit=253)) if owner is not None else None,
            queue=text(dig(spec, "queueName")),
            cluster_queue=text(dig(status, "admission", "clusterQueue")),
            priority=integer(dig(spec, "priority")) or 0,
            created=unix(meta.creation_timestamp),
            reserved="QuotaReserved" in held,
            admitted="Admitted" in held,
            evicted="Evicted" in held,
            finished="Finished" in held,
            message=text(telling.get("message"), TEXT),
            reason=text(telling.get("reason")),
            active=dig(spec, "active") is not False,
        )


class Gang(msgspec.Struct, frozen=True, gc=False):
    """A PodGroup."""

    key: Key
    phase: str
    message: str
    members: int | None
    queue: str


class GangReader:
    """Makes gangs of the bytes of PodGroups."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(WorkObject)

    def read(self, data: msgspec.Raw | bytes) -> Gang:
        """Return a gang. msgspec.ValidationError when it is none."""
        found = self._decoder.decode(data)
        held = held_conditions(found.status)
        return Gang(
            key=(clean(found.metadata.namespace, limit=253), clean(found.metadata.name, limit=253)),
            phase=text(dig(found.status, "phase")),
            message=text(dig(held.get("Unschedulable"), "message"), TEXT),
            members=integer(dig(found.spec, "minMember")),
            queue=text(dig(found.spec, "queue")),
        )


class QueueObject(msgspec.Struct, frozen=True, gc=False):
    """A LocalQueue or (without a namespace) a ClusterQueue."""

    key: Key
    cluster_queue: str
    state: str
    quotas: tuple[tuple[str, str, float, float], ...]
    """(flavor, resource, in use, nominal), as the quantities say it."""
    pending: int | None


class QueueReader:
    """Makes queues of the bytes of LocalQueues and ClusterQueues."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(WorkObject)

    def read(self, data: msgspec.Raw | bytes) -> QueueObject:
        """Return a queue. msgspec.ValidationError when it is none."""
        found = self._decoder.decode(data)
        meta, spec, status = found.metadata, found.spec, found.status
        stop = text(dig(spec, "stopPolicy"))
        active = next((each for each in tables(dig(status, "conditions")) if each.get("type") == "Active"), {})
        state = stop if stop and stop != "None" else "Inactive" if active.get("status") == "False" else "Active"
        return QueueObject(
            key=(clean(meta.namespace, limit=253), clean(meta.name, limit=253)),
            cluster_queue=text(dig(spec, "clusterQueue")),
            state=state,
            quotas=tuple(_quotas(spec, status)),
            pending=integer(dig(status, "pendingWorkloads")),
        )


def _quotas(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[tuple[str, str, float, float]]:
    used = {
        (text(flavor.get("name")), text(each.get("name"))): amount(text(each.get("total")))
        for flavor in tables(dig(status, "flavorsUsage"))
        for each in tables(flavor.get("resources"))
    }
    for group in tables(dig(spec, "resourceGroups")):
        for flavor in tables(group.get("flavors")):
            for each in tables(flavor.get("resources")):
                name = text(flavor.get("name")), text(each.get("name"))
                nominal = amount(text(each.get("nominalQuota")))
                if nominal is not None:
                    yield *name, used.get(name) or 0.0, nominal
