"""Acting on one cluster: what plans are made of, and exactly the requests that they name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from console.errors import BadAnswer, CommandFailed, Denied, SourceError, UsageError
from console.model import Draft, Job, Node, Order, Step
from console.text import clean
from plugins.kubernetes.access import Rights
from plugins.kubernetes.board import Board, job_id
from plugins.kubernetes.client import Client
from plugins.kubernetes.failures import Conflict, Missing, Refused
from plugins.kubernetes.fresh import AT_ONCE, FEW, key_of
from plugins.kubernetes.held import Budget, HeldNode, HeldPod, JobTarget, Managed, NodeTarget, Retries, Ties
from plugins.kubernetes.job_orders import QUEUE, JobPlanner
from plugins.kubernetes.kinds import PODS, Role
from plugins.kubernetes.objects import Listing, Versioned, WorkObject
from plugins.kubernetes.orders import NodePlanner
from plugins.kubernetes.pods import JobKey, holder_of
from plugins.kubernetes.watching import Watching

T = TypeVar("T")
S = TypeVar("S")

_LOOK_S = 1.0
_AGAIN_S = 5.0
"""How long a PodDisruptionBudget that does not let go is left alone."""
_MARGIN_S = 3.0
"""So much before a step's time is over we say ourselves what held it up."""
_PAGE = 500
_APPS = ("deployment", "statefulset", "replicaset")


class Acting:
    """What a person may do to nodes and jobs of one cluster."""

    def __init__(
        self, cluster: str, client: Client, board: Board, watching: Watching, now: Callable[[], float]
    ) -> None:
        self._client = client
        self._board = board
        self._watching = watching
        self._rights = Rights(client, ())
        self._cluster = cluster
        self._now = now

    # ---- planning for nodes

    async def plan_nodes(self, order: Order, nodes: Sequence[Node]) -> Draft:
        """Return what would be done to nodes; what this user may not do blocks it. SourceError."""
        held = await self._held_nodes([node.name for node in nodes])
        pods: dict[str, list[HeldPod]] = {}
        unseen = ""
        if order.action == "drain":
            try:
                pods = await self._pods_on([node.name for node in nodes])
            except Denied as error:
                unseen = f"which pods would be evicted is not known: you {error.what}"
        targets = []
        for node in nodes:
            if (found := held.get(node.name)) is None:
                raise Missing(f"there is no node {node.name} any more", self._client.where)
            mine = pods.get(node.name, [])
            jobs = {pod.name: job_id(self._board.top(_holder(pod))) for pod in mine}
            targets.append(NodeTarget(node=node, held=found, pods=mine, jobs=jobs))
        ties = await self._ties([pod for target in targets for pod in target.evicted])
        draft = NodePlanner(self._cluster, self._client.where).draft(order, targets, ties)
        return await self._allowed(draft, *filter(None, (unseen,)))

    async def _allowed(self, draft: Draft, *blocked: str) -> Draft:
        """Return a draft that is blocked by the rights that it needs and this user does not have."""
        lacking = await self._rights.lacking(step.run for step in draft.steps)
        return msgspec.structs.replace(draft, blocked_by=(*draft.blocked_by, *blocked, *lacking))

    async def _held_nodes(self, names: Sequence[str]) -> dict[str, HeldNode]:
        if len(names) > FEW:
            found = [one async for one in self._items("/api/v1/nodes", HeldNode)]
        else:
            found = await _each(names, lambda name: self._get(f"/api/v1/nodes/{name}", HeldNode))
        return {one.metadata.name: one for one in found}

    async def _pods_on(self, names: Sequence[str]) -> dict[str, list[HeldPod]]:
        """Return the pods of nodes."""

        async def of(node: str) -> list[HeldPod]:
            fields = {"fieldSelector": f"spec.nodeName={node}"}
            return [pod async for pod in self._items("/api/v1/pods", HeldPod, fields)]

        if len(names) <= FEW:
            return dict(zip(names, await _each(names, of), strict=True))
        found: dict[str, list[HeldPod]] = {name: [] for name in names}
        async for pod in self._items("/api/v1/pods", HeldPod):
            if pod.spec.node_name in found:
                found[pod.spec.node_name].append(pod)
        return found

    async def _ties(self, pods: Sequence[HeldPod]) -> Ties:
        """Return the budgets over pods, and the Jobs that they belong to; what may not be read is left out."""

        async def budgets(namespace: str) -> list[Budget]:
            path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
            try:
                return [one async for one in self._items(path, Budget)]
            except Denied:
                return []

        async def retries(job: tuple[str, str]) -> Retries | None:
            try:
                return await self._get(f"/apis/batch/v1/namespaces/{job[0]}/jobs/{job[1]}", Retries)
            except (Denied, Missing):
                return None

        namespaces = list(dict.fromkeys(pod.metadata.namespace for pod in pods))
        jobs = list(dict.fromkeys(pod.job for pod in pods if pod.job is not None))
        lists, known = await _each(namespaces, budgets), await _each(jobs, retries)
        return Ties(
            budgets=[one for each in lists for one in each],
            retries={job: one for job, one in zip(jobs, known, strict=True) if one is not None},
        )

    # ---- planning for jobs

    async def plan_jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """Return what would be done to jobs; what this user may not do blocks it. Raises SourceError, UsageError."""
        targets = await _each(jobs, self._job)
        return await self._allowed(JobPlanner(self._cluster, self._client.where, self._now).draft(order, targets))

    async def _job(self, job: Job) -> JobTarget:
        key = key_of(job.id)
        if key is None:
            raise UsageError("is no id of a job", clean(job.id), "namespace/kind/name, as qd jobs shows it")
        own = await self._managed(self._path(key))
        kueue = next(iter(self._watching.of_role(Role.ADMISSION)), None)
        admission = self._board.admission_of(key)
        labelled = QUEUE in (own.object.metadata.labels or {})
        workload = None
        if kueue is not None and admission is not None:
            workload = await self._managed(f"{kueue.resource.path(admission.key[0])}/{admission.key[1]}")
        queued = workload is not None or (kueue is not None and labelled)
        return JobTarget(job=job, own=own, key=key, workload=workload, queued=queued)

    async def _managed(self, path: str) -> Managed:
        return Managed(path=path, object=await self._get(path, WorkObject))

    def _path(self, key: JobKey) -> str:
        """Return the path of a job's own object. UsageError when its kind is none that this server has."""
        short, namespace, name = key
        kinds = {kind.resource.wanted.short: kind.resource for kind in self._watching.of_role(Role.WORK)}
        if short == PODS.short:
            return f"/api/v1/namespaces/{namespace}/pods/{name}"
        if short in _APPS:
            return f"/apis/apps/v1/namespaces/{namespace}/{short}s/{name}"
        if short not in kinds:
            raise UsageError(f"nothing is known to do with a {short}", job_id(key), "kubectl can")
        return f"{kinds[short].path(namespace)}/{name}"

    # ---- doing

    async def perform(self, step: Step) -> None:
        """Do exactly what a step says; an eviction that a budget refuses is asked for again. Raises SourceError."""
        if not step.run.path.endswith("/eviction"):
            try:
                await self._client.send(step.run.method, step.run.path, step.run.body, step.timeout_s)
            except Missing:
                if step.run.method != "DELETE":
                    raise
            return
        deadline = asyncio.get_running_loop().time() + step.timeout_s - _MARGIN_S
        if await self._evict(step, deadline):
            await self._gone(step, deadline)

    async def _evict(self, step: Step, deadline: float) -> bool:
        """Ask for an eviction until it is granted; whether there was still something to evict."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._client.send(step.run.method, step.run.path, step.run.body, self._client.timeout_s)
                return True
            except Missing:
                return False
            except Conflict as conflict:
                if await self._left(step):
                    return False
                pause, why = _AGAIN_S, conflict.what
            except Refused as refusal:
                pause, why = refusal.retry_after_s or _AGAIN_S, f"{refusal.what} {refusal.budget}".strip()
            if loop.time() + pause > deadline:
                hint = "kubectl get pdb -A shows what every budget waits for; nothing was forced"
                raise CommandFailed(f"{step.text}: {why}", step.where, hint)
            await asyncio.sleep(pause)

    async def _gone(self, step: Step, deadline: float) -> None:
        """Wait until the evicted pod is gone."""
        loop = asyncio.get_running_loop()
        silence: SourceError | None = None
        while loop.time() < deadline:
            try:
                if await self._left(step):
                    return
                silence = None
            except SourceError as error:
                silence = error  # it was evicted: whether it is gone is asked again
            await asyncio.sleep(_LOOK_S)
        if silence is not None:
            what = f"{step.text}: it is evicted, whether it is gone is not known: {silence.what}"
            raise CommandFailed(what, step.where, silence.hint)
        what = f"{step.text}: it is evicted and does not end"
        raise CommandFailed(what, step.where, "is its kubelet well? has it finalizers?")

    async def _left(self, step: Step) -> bool:
        """Whether the pod of an eviction is gone; one of the same name that came after it is another one."""
        uid = msgspec.json.decode(step.run.body)["deleteOptions"]["preconditions"]["uid"]
        try:
            found = await self._get(step.run.path.removesuffix("/eviction"), Versioned)
        except Missing:
            return True
        return bool(found.metadata.uid != uid)

    # ---- asking

    async def _get(self, path: str, kind: type[T]) -> T:
        return self._decoded(await self._client.get(path), kind)

    async def _items(self, path: str, kind: type[T], fields: dict[str, str] | None = None) -> AsyncIterator[T]:
        """Yield the objects of a list, page by page; one that cannot be read is an error here: it might matter."""
        params = {**(fields or {}), "limit": str(_PAGE)}
        while True:
            page = self._decoded(await self._client.get(path, params), Listing)
            for item in page.items or ():
                yield self._decoded(item, kind)
            if not page.metadata.continue_:
                return
            params["continue"] = page.metadata.continue_
            await asyncio.sleep(0)

    def _decoded(self, body: bytes | msgspec.Raw, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as error:
            hint = "is there a proxy that answers in its place?"
            raise BadAnswer(f"not what was asked for: {error}", self._client.where, hint) from None


async def _each(things: Iterable[S], ask: Callable[[S], Awaitable[T]]) -> list[T]:
    """Return what is answered for each of some things, some at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(thing: S) -> T:
        async with gate:
            return await ask(thing)

    return list(await asyncio.gather(*(one(thing) for thing in things)))


def _holder(pod: HeldPod) -> JobKey:
    meta = pod.metadata
    return holder_of(meta.owner, clean(meta.namespace), clean(meta.name), meta.labels or {})
