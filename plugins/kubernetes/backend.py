"""The backend of one cluster: what its watches brought since it was asked last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from console.errors import QuarterdeckError, SourceError, TimedOut
from console.model import (
    Cluster,
    ClusterKind,
    Draft,
    Explanation,
    Job,
    LogStream,
    Node,
    Order,
    Queue,
    Records,
    Step,
)
from console.plugin import Check, LogReader, Site
from console.slices import Pace
from plugins.kubernetes import kubeconfig
from plugins.kubernetes.acting import Acting
from plugins.kubernetes.board import Board, job_id
from plugins.kubernetes.client import Client
from plugins.kubernetes.fresh import Looking
from plugins.kubernetes.job_orders import INSTEAD, JOB_ACTIONS, KUEUE_ACTIONS
from plugins.kubernetes.jobs import OVER, JobMaker
from plugins.kubernetes.kinds import NODES, PODS, Role
from plugins.kubernetes.kubeconfig import Access
from plugins.kubernetes.mirror import Timing
from plugins.kubernetes.node import NodeFacts, NodeMaker
from plugins.kubernetes.orders import NODE_ACTIONS
from plugins.kubernetes.pods import JobKey
from plugins.kubernetes.resources import Accelerators
from plugins.kubernetes.settings import KubernetesSettings
from plugins.kubernetes.watching import Watched, Watching, pods_unknown

PERIOD_S = 5.0
"""How often we look at what the watches brought although they say nothing; when they do, it is looked at soon."""
SWEEP_S = 60.0
"""How often we look for jobs that ended too long ago to be listed."""

T = TypeVar("T")


class KubernetesBackend:
    """Offers all of `console.plugin` but telemetry and accounting, of one cluster."""

    kind = ClusterKind.KUBERNETES
    node_actions = NODE_ACTIONS
    instead = INSTEAD
    inventory_period_s = PERIOD_S
    jobs_period_s = PERIOD_S
    requests_per_minute: float | None = None
    """No budget: at rest there are watches only, and no request that a budget could put off."""

    def __init__(self, settings: KubernetesSettings, site: Site, timing: Timing | None = None) -> None:
        self.cluster = site.cluster
        self.settings = settings
        self._site = site
        self.client = Client(self._access, site.transport(), site.now, settings.timeout_s)
        self.board = Board(Accelerators(settings.accelerators))
        self.watching = Watching(self.client, self.board, settings, timing)
        self._acting = Acting(site.cluster, self.client, self.board, self.watching, site.now)
        self._looking = Looking(site.cluster, self.client, self.board, self.watching)
        self._nodes = NodeMaker(site.cluster, self.board.accelerators)
        self._jobs = JobMaker(site.cluster, self.board)
        self._told_nodes: set[str] = set()
        self._told_hidden: set[str] = set()
        """Nodes that were told by name only."""
        self._told_jobs: dict[str, float | None] = {}
        """Id to when it ended."""
        self._told_whole: set[str] = set()
        self._pods_unknown: str | None = None
        self._swept_at = 0.0
        self._counted = 0

    # ---- capabilities

    async def inventory(self) -> Records:
        """Return the nodes that changed (all of them the first time) and the queues. Raises SourceError."""
        await self.watching.start()
        nodes = await self._tried(NODES.plural)
        await self._tried(PODS.plural)
        for kind in self.watching.of_role(Role.QUEUE, Role.CLAIM, Role.SLICE):
            await kind.tried.wait()
        board = self.board
        unknown = pods_unknown(self.watching)
        if unknown != self._pods_unknown:
            self._pods_unknown = unknown
            board.dirty_nodes.update(board.nodes)
        if not nodes.listed or (nodes.error is not None and not board.dirty_nodes):
            raise _failure(nodes)
        found: list[Node] = []
        gone: list[str] = []

        def take(name: str) -> None:
            facts = board.nodes.get(name)
            if facts is not None:
                found.append(self._node(facts, unknown))
            elif name in self._told_nodes:
                gone.append(name)

        await self._drain(board.dirty_nodes, take)
        whole = self._first("nodes")
        self._told_nodes.update(node.name for node in found)
        self._told_nodes.difference_update(gone)
        queues, all_queues = self._queues()
        return Records(
            cluster=self._cluster(),
            nodes=tuple(found),
            gone_nodes=() if whole else tuple(gone),
            queues=queues,
            complete=(*(("nodes",) if whole else ()), *(("queues",) if all_queues else ())),
            requests=self._new_requests(),
            detail=self._detail(nodes, *self.watching.of_role(Role.QUEUE, Role.CLAIM, Role.SLICE)),
        )

    async def jobs(self) -> Records:
        """Return the jobs that changed (all of them the first time). Raises SourceError.

        For whom nodes are hidden the nodes that pods name come with them: more is not known of them.
        """
        await self.watching.start()
        kinds = self.watching.of_role(Role.WORK, Role.ADMISSION, Role.GANG, Role.CLAIM)
        pods = await self._tried(PODS.plural)
        for kind in kinds:
            await kind.tried.wait()
        board = self.board
        self._sweep()
        listed = [kind for kind in (pods, *kinds) if kind.listed]
        if not listed:
            raise _failure(pods)
        if not board.dirty_jobs and (stale := _stale(pods, listed)) is not None:
            raise stale
        oldest = self._site.now() - self.settings.finished_hours * 3600.0
        found: list[Job] = []
        gone: list[str] = []

        def take(key: JobKey) -> None:
            job = self._jobs.record(key)
            if job is not None and not (job.state in OVER and job.ends_at is not None and job.ends_at < oldest):
                found.append(job)
            elif job_id(key) in self._told_jobs:
                gone.append(job_id(key))

        await self._drain(board.dirty_jobs, take)
        whole = self._first("jobs")
        hidden, left = self._hidden_nodes()
        for job in found:
            self._told_jobs[job.id] = job.ends_at if job.state in OVER else None
        for each in gone:
            del self._told_jobs[each]
        return Records(
            jobs=tuple(found),
            gone_jobs=() if whole else tuple(gone),
            nodes=hidden,
            gone_nodes=left,
            complete=("jobs",) if whole else (),
            requests=self._new_requests(),
            detail=self._detail(pods, *kinds),
        )

    def announce(self, wake: Callable[[], None]) -> None:
        """See `Announcer`."""
        self.board.news = wake

    async def explain(self, job_id: str) -> Explanation:
        """See `Explainer`."""
        from plugins.kubernetes.explain import Explaining

        await self._know_jobs()
        return await Explaining(self.cluster, self.client, self.board, self._jobs, self.watching).explain(job_id)

    async def log_streams(self, job_id: str) -> tuple[LogStream, ...]:
        """See `Logs`."""
        from plugins.kubernetes.logs import streams

        await self._know_jobs()
        return streams(self.board, job_id, self.cluster)

    async def open_log(self, stream: LogStream) -> LogReader:
        """See `Logs`."""
        from plugins.kubernetes.logs import PodLog

        return PodLog(self.client, stream)

    # ---- acting

    @property
    def job_actions(self) -> frozenset[str]:
        """See `JobControl`; some things only Kueue lets anybody change."""
        return JOB_ACTIONS | KUEUE_ACTIONS if self.watching.of_role(Role.ADMISSION) else JOB_ACTIONS

    async def look_nodes(self, names: Sequence[str]) -> tuple[Node, ...]:
        """See `Drainer`."""
        await self.watching.start()
        return await self._looking.nodes(names)

    async def look_jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """See `JobControl`."""
        await self._know_jobs()
        return await self._looking.jobs(ids)

    async def plan_nodes(self, order: Order, nodes: Sequence[Node], jobs: Sequence[Job]) -> Draft:
        """See `Drainer`."""
        return await self._acting.plan_nodes(order, nodes)

    async def plan_jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """See `JobControl`."""
        return await self._acting.plan_jobs(order, jobs)

    async def perform(self, step: Step) -> None:
        """See `Performer`."""
        await self._acting.perform(step)

    async def doctor(self) -> list[Check]:
        """See `Backend`."""
        from plugins.kubernetes.doctor import examine

        return await examine(self.client, self.watching.rights, self._access)

    async def close(self) -> None:
        """See `Backend`."""
        await self.watching.close()
        await self.client.close()

    # ---- reading

    def _access(self) -> Access:
        """Return how the server is reached: by the kubeconfig, else as the pod that we are in. ConfigError."""
        settings, environ = self.settings, self._site.environ
        files = kubeconfig.paths(settings.kubeconfig, environ)
        config = kubeconfig.load(files)
        if config is not None and (settings.context is not None or config.current):
            return config.access(settings.context)
        here = kubeconfig.in_cluster(environ) if settings.context is None and settings.kubeconfig is None else None
        if here is not None:
            return here
        if config is None:
            raise kubeconfig.absent(files)
        return config.access(settings.context)

    async def _tried(self, name: str) -> Watched:
        kind = self.watching.kinds[name]
        await kind.tried.wait()
        return kind

    async def _know_jobs(self) -> None:
        """Wait until jobs and pods are known, or are known not to be. Raises SourceError when none are."""
        await self.watching.start()
        kinds = [*self.watching.of_role(Role.POD, Role.WORK, Role.ADMISSION, Role.GANG, Role.QUEUE)]
        try:
            async with asyncio.timeout(2 * self.settings.timeout_s):
                for kind in kinds:
                    await kind.tried.wait()
        except TimeoutError:
            raise TimedOut("pods and jobs are not listed yet", self.client.where, "try again") from None
        if not any(kind.listed for kind in kinds):
            raise _failure(kinds[0])

    async def _drain(self, dirty: set[T], take: Callable[[T], None]) -> None:
        """Take what changed and forget it, in slices; all of it comes again when we are not let finish."""
        taken = list(dirty)
        dirty.clear()
        pace = Pace()
        try:
            for each in taken:
                take(each)
                await pace.breathe()
        except BaseException:
            dirty.update(taken)
            raise

    def _first(self, what: str) -> bool:
        """Whether this is the first time that something is told, whole."""
        first = what not in self._told_whole
        self._told_whole.add(what)
        return first

    def _queues(self) -> tuple[tuple[Queue, ...], bool]:
        """Return Kueue's queues when they changed, and whether they are told."""
        kinds = self.watching.of_role(Role.QUEUE)
        if not self.board.dirty_queues or not any(kind.listed for kind in kinds):
            return (), False
        self.board.dirty_queues = False
        found = [
            Queue(name=f"{key[0]}/{key[1]}" if key[0] else key[1], cluster=self.cluster, state=queue.state)
            for key, queue in sorted(self.board.queues.items())
        ]
        return tuple(found), True

    def _node(self, facts: NodeFacts, pods_known: str | None) -> Node:
        devices, name = self.board.devices, facts.name
        return self._nodes.record(
            facts,
            self.board.pods_on(name),
            pods_known=pods_known,
            devices=devices.on_node(name),
            claimed=devices.used_on(name),
        )

    def _hidden_nodes(self) -> tuple[tuple[Node, ...], tuple[str, ...]]:
        """Return the nodes that pods name while nodes themselves may not be listed, and those no pod names any more."""
        nodes = self.watching.kinds[NODES.plural]
        if nodes.denied is None or nodes.listed:
            left, self._told_hidden = tuple(self._told_hidden), set()
            return (), left
        names, self.board.dirty_nodes = self.board.dirty_nodes, set()
        pods = {name: self.board.pods_on(name) for name in names}
        why = f"you {nodes.denied.what}"
        found = tuple(self._nodes.by_name_only(name, held, why) for name, held in pods.items() if held)
        left = tuple(name for name, held in pods.items() if not held and name in self._told_hidden)
        self._told_hidden.update(node.name for node in found)
        self._told_hidden.difference_update(left)
        return found, left

    def _sweep(self) -> None:
        """Look again at jobs that ended too long ago to be listed still."""
        now = self._site.now()
        if 0 <= now - self._swept_at < SWEEP_S:
            return
        self._swept_at = now
        oldest = now - self.settings.finished_hours * 3600.0
        for each, ended in self._told_jobs.items():
            if ended is not None and ended < oldest:
                namespace, short, name = each.split("/", 2)
                self.board.dirty_jobs.add((short, namespace, name))

    # ---- what to say

    def _cluster(self) -> Cluster:
        return Cluster(name=self.cluster, kind=self.kind, version=self.watching.version)

    def _new_requests(self) -> int:
        """Return how many requests were made since this was asked last."""
        new, self._counted = self.client.requests - self._counted, self.client.requests
        return new

    def _detail(self, *kinds: Watched) -> str:
        """Return how it is read, and what keeps it from being the whole truth."""
        parts = [f"watching {self.client.where}"]
        for kind in kinds:
            if kind.denied is not None:
                parts.append(kind.denied.what)
            elif kind.error is not None:
                parts.append(str(kind.error))
            elif kind.namespaces:
                parts.append(f"{kind.resource.name} of {', '.join(kind.namespaces)} only")
            if kind.shelf.broken:
                parts.append(f"{kind.shelf.broken} broken {kind.resource.name} left out")
        return "; ".join(parts)


def _stale(pods: Watched, listed: list[Watched]) -> QuarterdeckError | None:
    """Return why what was told of jobs may be old: pods are, or everything is. One kind alone costs itself only."""
    if pods.listed and pods.error is not None:
        return pods.error
    errors = [kind.error for kind in listed]
    return errors[0] if all(error is not None for error in errors) else None


def _failure(kind: Watched) -> QuarterdeckError:
    """Return why a kind cannot be shown."""
    return kind.error or SourceError(f"{kind.resource.name} are not listed yet", hint="a moment of patience")
