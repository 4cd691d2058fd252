"""Acting on one cluster: fresh looks, and exactly the requests that a plan names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from console.errors import BadAnswer, CommandFailed, SourceError, UsageError
from console.model import Draft, Job, Node, Order, Step
from console.text import clean
from plugins.kubernetes.access import Rights
from plugins.kubernetes.board import Board, job_id
from plugins.kubernetes.client import Client
from plugins.kubernetes.failures import Busy, Missing, forbidden
from plugins.kubernetes.kinds import PODS, Role
from plugins.kubernetes.objects import Versioned
from plugins.kubernetes.orders import HeldNode, HeldPod, HeldPods, Planner, Target
from plugins.kubernetes.watching import Watching

T = TypeVar("T")

AT_ONCE = 8
"""Nodes that are looked at at the same time."""
_LOOK_S = 1.0
_AGAIN_S = 5.0
"""How long a PodDisruptionBudget that does not let go is left alone."""
_MARGIN_S = 3.0
"""So much before a step's time is over we say ourselves what held it up."""


class Acting:
    """What a person may do to nodes and jobs of one cluster."""

    def __init__(self, cluster: str, client: Client, board: Board, watching: Watching) -> None:
        self._cluster = cluster
        self._client = client
        self._board = board
        self._watching = watching

    # ---- planning

    async def plan_nodes(self, order: Order, nodes: Sequence[Node]) -> Draft:
        """Return what would be done to nodes; what this user may not do blocks it. SourceError."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(node: Node) -> Target:
            async with gate:
                return await self._target(node, with_pods=order.action == "drain")

        targets = await asyncio.gather(*(one(node) for node in nodes))
        draft = Planner(self._cluster, self._client.where).nodes(order, targets)
        missing = await self._missing(draft)
        return msgspec.structs.replace(draft, blocked_by=(*draft.blocked_by, *missing)) if missing else draft

    def plan_jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """Return what would be done to jobs. Raises UsageError."""
        paths = {job.id: self._path(job.id) for job in jobs}
        return Planner(self._cluster, self._client.where).jobs(order, jobs, paths)

    async def _target(self, node: Node, *, with_pods: bool) -> Target:
        meta = _decoded(await self._client.get(f"/api/v1/nodes/{node.name}"), HeldNode).metadata
        pods: tuple[HeldPod, ...] = ()
        if with_pods:
            held = await self._client.get("/api/v1/pods", {"fieldSelector": f"spec.nodeName={node.name}"})
            pods = tuple(_decoded(held, HeldPods).items)
        jobs = {}
        for pod in self._board.pods_on(node.name):
            jobs[f"{pod.namespace}/{pod.name}"] = job_id(self._board.top(pod.holder))
        return Target(node=node, uid=meta.uid, annotations=meta.annotations or {}, pods=pods, jobs=jobs)

    async def _missing(self, draft: Draft) -> list[str]:
        """Return which rights the steps need that this user does not have, each once."""
        wanted: dict[tuple[str, str, str | None], None] = {}
        for step in draft.steps:
            if step.run.path.endswith("/eviction"):
                wanted["create", "pods/eviction", step.run.path.split("/")[4]] = None
            else:
                wanted["patch", "nodes", None] = None
        rights = Rights(self._client, ())
        said = []
        for verb, resource, namespace in wanted:
            plural, _, part = resource.partition("/")
            if not await rights.may(verb, "", plural, namespace, part):
                said.append(f"you {forbidden(verb, resource, namespace or '', self._client.where).what}")
        return said

    def _path(self, name: str) -> str:
        """Return the path of a job's own object. UsageError when its kind is none that this server has."""
        namespace, short, own = name.split("/", 2)
        kinds = {kind.resource.wanted.short: kind.resource for kind in self._watching.of_role(Role.WORK)}
        if short == PODS.short:
            return f"/api/v1/namespaces/{namespace}/pods/{own}"
        if short in ("deployment", "statefulset", "replicaset"):
            return f"/apis/apps/v1/namespaces/{namespace}/{short}s/{own}"
        if short not in kinds:
            raise UsageError(f"nothing is known to do with a {short}", clean(name), "kubectl can")
        return f"{kinds[short].path(namespace)}/{own}"

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
        await self._evict(step, deadline)
        await self._gone(step, deadline)

    async def _evict(self, step: Step, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._client.send(step.run.method, step.run.path, step.run.body, self._client.timeout_s)
                return
            except Missing:
                return  # it went by itself
            except Busy as refusal:
                pause = refusal.retry_after_s or _AGAIN_S
                if loop.time() + pause > deadline:
                    hint = "kubectl get pdb -A shows whose budget it is; nothing was forced"
                    raise CommandFailed(f"{step.text}: {refusal.said or refusal.what}", step.where, hint) from None
                await asyncio.sleep(pause)

    async def _gone(self, step: Step, deadline: float) -> None:
        """Wait until the evicted pod is gone; one of the same name that came after it is another one."""
        path = step.run.path.removesuffix("/eviction")
        uid = msgspec.json.decode(step.run.body)["deleteOptions"]["preconditions"]["uid"]
        loop = asyncio.get_running_loop()
        while loop.time() < deadline:
            try:
                if _decoded(await self._client.get(path), Versioned).metadata.uid != uid:
                    return
            except Missing:
                return
            except SourceError:
                pass  # it was evicted: whether it is gone is asked again
            await asyncio.sleep(_LOOK_S)
        raise CommandFailed(f"{step.text}: it is evicted and does not end", step.where, "is its kubelet well?")


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise BadAnswer(f"not what was asked for: {error}", "", "is there a proxy that answers in its place?") from None
