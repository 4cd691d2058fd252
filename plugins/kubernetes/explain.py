"""Why a job waits or how it ended: what the watches know, and what is asked for when a person wants to know it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from console.errors import NoSuchJob, SourceError
from console.model import Event, Explanation, Fit, Limit, PriorityPart
from console.text import clean
from plugins.kubernetes.board import Board, job_id
from plugins.kubernetes.causes import causes_of, summary
from plugins.kubernetes.client import Client
from plugins.kubernetes.fitting import fits
from plugins.kubernetes.jobs import OVER, JobMaker, telling_pod, waits
from plugins.kubernetes.kinds import Role
from plugins.kubernetes.objects import EventList, EventObject, PodObject, QuotaList
from plugins.kubernetes.pods import JobKey, Pod
from plugins.kubernetes.quantity import amount
from plugins.kubernetes.queues import Admission
from plugins.kubernetes.times import unix
from plugins.kubernetes.watching import Watching
from plugins.kubernetes.works import Work

_EVENTS = 50
_OBJECTS = 6
"""Objects of a job whose events are asked for: the job, its parts, and the pod that tells most."""
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_ESTIMATE = "Kubernetes makes no estimate of when a pod starts"


class Explaining:
    """Explains jobs of one cluster."""

    def __init__(self, cluster: str, client: Client, board: Board, jobs: JobMaker, watching: Watching) -> None:
        self._cluster = cluster
        self._client = client
        self._board = board
        self._jobs = jobs
        self._watching = watching

    async def explain(self, wanted: str) -> Explanation:
        """Return what is known of one job. Raises NoSuchJob, SourceError."""
        key = the_job(self._board, wanted, self._cluster)
        job = self._jobs.record(key)
        if job is None:
            raise no_such_job(wanted, self._cluster)
        pods = self._board.pods_of(key)
        works = list(self._board.parts(key))
        work = works[0] if works and works[0].key == key else None
        admission, gang = self._board.admission_of(key), self._board.gang_of(pods)
        missing = {"expected_start_at": _ESTIMATE}
        pod = telling_pod(pods)
        events = await self._events(key, works, pod, missing)
        causes = causes_of(job, work, pods, pod, admission, gang, events, self._kueue_unknown())
        asked = work.accelerators if work is not None and work.accelerators else job.accelerators
        limits = await self._limits(key, asked, admission, missing)
        fits: tuple[Fit, ...] = ()
        if pod is not None and waits(pod) and pod.node is None and job.state not in OVER:
            fits = await self._fits(pod, missing)
        position = self._position(admission, missing)
        return Explanation(
            cluster=self._cluster,
            job=job.id,
            state=job.state,
            summary=summary(job, work, pods, causes),
            causes=causes,
            position=position,
            priority=_priority(pods, admission),
            limits=limits,
            fits=fits,
            events=_told(events),
            missing=missing,
        )

    # ---- asked for now

    async def _events(
        self, key: JobKey, works: list[Work], pod: Pod | None, missing: dict[str, str]
    ) -> list[EventObject]:
        """Return the events of a job, its parts and its most telling pod, in order."""
        names = dict.fromkeys([key[2], *(work.key[2] for work in works), *((pod.name,) if pod else ())])
        found: list[EventObject] = []
        for name in list(names)[:_OBJECTS]:
            params = {"fieldSelector": f"involvedObject.name={name}", "limit": "500"}
            try:
                body = await self._client.get(f"/api/v1/namespaces/{quote(key[1], safe='')}/events", params)
                found += msgspec.json.decode(body, type=EventList).items
            except (SourceError, msgspec.MsgspecError) as error:
                missing["events"] = str(error)
                break
        return sorted(found, key=lambda event: _at(event) or 0.0)

    async def _limits(
        self, key: JobKey, asked: int | None, admission: Admission | None, missing: dict[str, str]
    ) -> tuple[Limit, ...]:
        """Return the quotas on accelerators that the job meets: of its namespace, and of its Kueue queue."""
        found = list(self._queue_limits(admission, asked))
        try:
            body = await self._client.get(f"/api/v1/namespaces/{quote(key[1], safe='')}/resourcequotas")
            quotas = msgspec.json.decode(body, type=QuotaList).items
        except (SourceError, msgspec.MsgspecError) as error:
            missing["limits"] = str(error)
            return tuple(found)
        for quota in quotas:
            for name, hard in (quota.status.hard or {}).items():
                resource = name.removeprefix("requests.").removeprefix("limits.")
                if not self._board.accelerators.is_one(resource):
                    continue
                found.append(
                    Limit(
                        scope=clean(f"namespace {key[1]}, quota {quota.metadata.name}"),
                        resource=clean(resource),
                        used=amount((quota.status.used or {}).get(name)),
                        limit=amount(hard),
                        asked=None if asked is None else float(asked),
                    )
                )
        return tuple(found)

    def _queue_limits(self, admission: Admission | None, asked: int | None) -> Iterable[Limit]:
        queue = self._board.queues.get(("", self._cluster_queue(admission)))
        for flavor, resource, used, nominal in queue.quotas if queue is not None else ():
            if self._board.accelerators.is_one(resource):
                yield Limit(
                    scope=f"ClusterQueue {queue.key[1]}, flavor {flavor}" if queue else "",
                    resource=resource,
                    used=used,
                    limit=nominal,
                    asked=None if asked is None else float(asked),
                )

    async def _fits(self, pod: Pod, missing: dict[str, str]) -> tuple[Fit, ...]:
        """Return the nodes that have what one pod asks for and its labels, by why they do not take it now."""
        nodes = self._watching.kinds["nodes"]
        if not nodes.listed:
            missing["fits"] = str(nodes.error or "nodes are not listed yet")
            return ()
        if self._watching.kinds["pods"].namespaces:
            missing["fits"] = "what other namespaces hold on the nodes may not be seen"
            return ()
        try:
            names = await self._matching(pod)
        except (SourceError, msgspec.MsgspecError) as error:
            missing["fits"] = str(error)
            return ()
        return fits(self._board, pod, names)

    async def _matching(self, pod: Pod) -> Iterable[str]:
        """Return the nodes that have the labels of the pod's nodeSelector."""
        namespace, name = quote(pod.namespace, safe=""), quote(pod.name, safe="")
        body = await self._client.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        selector = msgspec.json.decode(body, type=PodObject).spec.node_selector
        if not selector:
            return self._board.nodes
        params = {"labelSelector": ",".join(f"{label}={value}" for label, value in sorted(selector.items()))}
        body = await self._client.get("/api/v1/nodes", params, accept=_METADATA)
        listed = msgspec.json.decode(body, type=_Names).items
        return [each.metadata.name for each in listed]

    # ---- known already

    def _kueue_unknown(self) -> str | None:
        """Return why Kueue's workloads are not known; None: they are."""
        kinds = self._watching.of_role(Role.ADMISSION)
        if not kinds:
            return "Kueue is not installed here, or its workloads may not be seen"
        return next((str(kind.error or "they are not listed yet") for kind in kinds if not kind.listed), None)

    def _cluster_queue(self, admission: Admission | None) -> str:
        if admission is None:
            return ""
        local = self._board.queues.get((admission.key[0], admission.queue))
        return admission.cluster_queue or (local.cluster_queue if local else "")

    def _position(self, admission: Admission | None, missing: dict[str, str]) -> int | None:
        """Return the place among the workloads that wait for the same ClusterQueue: by priority, then by age."""
        if admission is None or admission.reserved or admission.finished:
            return None
        if any(not kind.everywhere for kind in self._watching.of_role(Role.ADMISSION)):
            missing["position"] = "workloads of other namespaces may not be listed"
            return None
        queue = self._cluster_queue(admission)
        waiting = [
            each
            for each in self._board.admissions.values()
            if not each.reserved and not each.finished and each.active and self._cluster_queue(each) == queue
        ]
        waiting.sort(key=lambda each: (-each.priority, each.created or 0.0, each.key))
        return waiting.index(admission) + 1 if admission in waiting else None


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""


class _Named(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()


class _Names(msgspec.Struct, frozen=True):
    items: list[_Named] = []


def the_job(board: Board, wanted: str, cluster: str) -> JobKey:
    """Return the one listed job that an id means. NoSuchJob for none, and for several."""
    found = board.find(wanted)
    if not found:
        raise no_such_job(wanted, cluster)
    if len(found) > 1:
        names = ", ".join(job_id(key) for key in found[:8])
        raise NoSuchJob(f"{clean(wanted)} could be any of {names}", cluster, "name it whole: NAMESPACE/KIND/NAME")
    return found[0]


def no_such_job(wanted: str, cluster: str) -> NoSuchJob:
    """Return that there is none of that name."""
    return NoSuchJob(f"there is no job {clean(wanted, limit=300)}", cluster, "qd jobs lists what there is")


def _at(event: EventObject) -> float | None:
    """Return when an event was seen last; the scheduler's have other fields than the controllers'."""
    series = event.series.last_observed_time if event.series is not None else None
    return unix(event.last_timestamp or series or event.event_time or event.metadata.creation_timestamp)


def _told(events: list[EventObject]) -> tuple[Event, ...]:
    told = []
    for event in events[-_EVENTS:]:
        count = event.count or (event.series.count if event.series is not None else None) or 1
        often = f" ({count} times)" if count > 1 else ""
        text = f"{event.involved_object.kind} {event.involved_object.name}: {event.reason}: {event.message}{often}"
        told.append(Event(at=_at(event), text=clean(text, limit=500)))
    return tuple(told)


def _priority(pods: list[Pod], admission: Admission | None) -> tuple[PriorityPart, ...]:
    parts = []
    if admission is not None:
        parts.append(PriorityPart(name="Kueue workload", value=float(admission.priority)))
    values = {pod.priority for pod in pods if pod.priority is not None}
    if values:
        parts.append(PriorityPart(name="pod priority", value=float(max(values))))
    return tuple(parts)
