"""The backend of one PBS cluster: what to ask when, and what to make of it."""

from __future__ import annotations

import asyncio
import enum
import os
from collections.abc import Sequence
from dataclasses import dataclass

from console.errors import SourceError
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
    Reservation,
    Step,
)
from console.plugin import Check, LogReader, Site
from console.slices import sliced
from console.transport.base import Transport
from plugins.pbs import layout, logs, lookup
from plugins.pbs.acting import Acting
from plugins.pbs.client import Client
from plugins.pbs.commands import Commands
from plugins.pbs.depend import Other, dependencies, resolved
from plugins.pbs.doctor import examine
from plugins.pbs.explain import Situation, explanation, reservation
from plugins.pbs.failures import NoProgram
from plugins.pbs.jobs import JobReader
from plugins.pbs.layout import Counters, Server
from plugins.pbs.nodes import NodeReader, Place
from plugins.pbs.orders import JOB_ACTIONS, NODE_ACTIONS
from plugins.pbs.settings import PbsSettings

PERIOD_S = 5.0
"""How often we look whether something changed: with one look for jobs and hosts together, 12 requests a minute."""
LOOK_SHARED_S = 3.0
"""A look at the server serves everybody who asks within this time."""
JOBS_MAX_AGE_S = 30.0
NODES_MAX_AGE_S = 20.0
"""Short: no counter tells that a host went down."""
LAYOUT_MAX_AGE_S = 120.0
WHOLE_AGAIN_S = 600.0
"""After so long everything is told anew, not only the changes."""
JOBS_COST = RESERVATIONS_COST = 2
"""qstat -f and pbs_rstat ask for the server first."""


class Table(enum.Enum):
    """What is listed on its own."""

    JOBS = "jobs"
    NODES = "nodes"
    LAYOUT = "layout"


_MAX_AGE_S = {Table.JOBS: JOBS_MAX_AGE_S, Table.NODES: NODES_MAX_AGE_S, Table.LAYOUT: LAYOUT_MAX_AGE_S}


@dataclass(slots=True, frozen=True)
class _Layout:
    queues: tuple[Queue, ...]
    reservations: tuple[Reservation, ...] | None
    """None: they cannot be seen here."""


class PbsBackend:
    """Offers Inventory, Queue, Explainer, Logs, Drainer and JobControl of one cluster. See `console.plugin`."""

    kind = ClusterKind.PBS
    node_actions = NODE_ACTIONS
    job_actions = JOB_ACTIONS
    inventory_period_s = PERIOD_S
    jobs_period_s = PERIOD_S

    def __init__(self, settings: PbsSettings, site: Site) -> None:
        self.cluster = site.cluster
        self.requests_per_minute = settings.requests_per_minute
        self.settings = settings
        self._site = site
        self.client = Client(Commands(settings), site.transport(settings.via), settings.timeout_s)
        self._commands = self.client.commands
        self._place = _place(settings)
        self._nodes = NodeReader(self.cluster, self._place, settings.gpus)
        self._jobs = JobReader(self.cluster, settings.gpus)
        self._acting = Acting(self.cluster, self.client, self._nodes, self._jobs)
        self._server: tuple[float, Server] | None = None
        self._server_lock = asyncio.Lock()
        self._listed: dict[Table, tuple[float, Counters, int]] = {}
        self._whole: dict[Table, float] = {}
        self._reservations: tuple[Reservation, ...] = ()

    # ---- capabilities

    async def inventory(self) -> Records:
        """Return hosts, and queues and reservations when they may have changed. Raises SourceError."""
        now, server, cost = await self._look()
        complete: list[str] = []
        shown: tuple[Node, ...] = ()
        gone: tuple[str, ...] = ()
        found: _Layout | None = None
        if self._wanted(Table.LAYOUT, now, server.counters):
            found = await self._ask_layout(server)
            cost += 1 + RESERVATIONS_COST
            complete += ["queues"] if found.reservations is None else ["queues", "reservations"]
        if self._wanted(Table.NODES, now, server.counters):
            answer = await self.client.nodes()
            cost += 1
            # The last thing that waits: from here on nothing can keep what the reader remembers from being told.
            listing = await sliced(self._nodes.read(answer))
            whole = self._whole_due(Table.NODES, now)
            shown, gone = (listing.nodes, ()) if whole else (listing.changed, listing.gone)
            complete += ["nodes"] if whole else []
            self._done(Table.NODES, now, server.counters, whole)
        if found is not None:
            self._done(Table.LAYOUT, now, server.counters, whole=True)
        return Records(
            cluster=Cluster(name=self.cluster, kind=ClusterKind.PBS, version=server.version),
            nodes=shown,
            gone_nodes=gone,
            queues=found.queues if found else (),
            reservations=(found.reservations or ()) if found else (),
            complete=tuple(complete),
            requests=cost,
            detail=self._detail("pbsnodes", server),
        )

    async def jobs(self) -> Records:
        """Return all jobs the first time and every ten minutes, else what changed. Raises SourceError."""
        now, server, cost = await self._look()
        if not self._wanted(Table.JOBS, now, server.counters):
            moved = self._jobs.place(self._nodes.arrays)
            return Records(jobs=moved, requests=cost, detail=self._detail("qstat", server))
        answer = (await self.client.list(self._commands.jobs())).stdout
        listing = await sliced(self._jobs.read(answer, self._nodes.arrays))
        whole = self._whole_due(Table.JOBS, now)
        self._done(Table.JOBS, now, server.counters, whole)
        return Records(
            jobs=listing.jobs if whole else listing.changed,
            gone_jobs=() if whole else listing.gone,
            complete=("jobs",) if whole else (),
            requests=cost + JOBS_COST,
            detail=self._detail("qstat", server),
        )

    async def explain(self, job_id: str) -> Explanation:
        """See `Explainer`."""
        found = await lookup.find(self.client, job_id)
        job = self._jobs.job(found.id, found.row, self._nodes.arrays.get(found.id, ()))
        _, server, _ = await self._look()
        queues = layout.queue_attributes((await self.client.look(self._commands.queues())).stdout)
        named = dependencies(job)
        others = await self._named(tuple(each.id for each in named))
        return explanation(
            Situation(
                job=job,
                row=found.row,
                server=server,
                queue=queues.get(job.queue or "", {}),
                nodes=await self._fresh_nodes(),
                jobs=self._jobs.jobs,
                dependencies=tuple(resolved(each, others) for each in named),
                reservation=reservation(job.queue, self._reservations),
                gpus=self.settings.gpus,
            )
        )

    async def log_streams(self, job_id: str) -> tuple[LogStream, ...]:
        """See `Logs`."""
        found = await lookup.find(self.client, job_id)
        spool = logs.Places(self._place, self._nodes.addresses(), self.settings.mom_home)
        if found.is_array:
            tasks = await lookup.tasks(self.client, found.id)
            return tuple(
                stream for task in logs.shown_tasks(tasks) for stream in logs.streams(task.id, task.row, spool)
            )
        return logs.streams(found.id, found.row, spool)

    async def open_log(self, stream: LogStream) -> LogReader:
        """See `Logs`."""
        return await logs.open_first(stream, self._reach)

    # ---- acting

    async def look_nodes(self, names: Sequence[str]) -> tuple[Node, ...]:
        """See `Drainer`."""
        return await self._acting.look_nodes(names)

    async def look_jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """See `JobControl`."""
        return await self._acting.look_jobs(ids)

    async def plan_nodes(self, order: Order, nodes: Sequence[Node], jobs: Sequence[Job]) -> Draft:
        """See `Drainer`."""
        return self._acting.planner.nodes(order, nodes)

    async def plan_jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """See `JobControl`."""
        return self._acting.planner.jobs(order, jobs)

    async def perform(self, step: Step) -> None:
        """See `Performer`."""
        await self._acting.perform(step)

    async def doctor(self) -> list[Check]:
        """See `Backend`."""
        return await examine(self.client, self.settings)

    async def close(self) -> None:
        """See `Backend`; nothing is held open."""

    # ---- what to ask

    def _reach(self, address: str) -> Transport:
        """Return the transport to an address; the commands' own host is reached as they reach it."""
        return self.client.transport if address == self._place.here else self._site.transport(address)

    def _wanted(self, table: Table, now: float, counters: Counters) -> bool:
        """Whether a table must be listed anew: never listed, old, out of reach since, or something happened to it."""
        listed = self._listed.get(table)
        if listed is None or not 0 <= now - listed[0] < _MAX_AGE_S[table] or listed[2] != self.client.failures:
            return True
        return table is not Table.LAYOUT and listed[1] != counters

    async def _look(self) -> tuple[float, Server, int]:
        """Return when, the server as it is, and how many requests that took.

        Always read before a listing, so that what happens between the two is listed again, not missed.
        """
        async with self._server_lock:
            now = self._site.now()
            if self._server is not None and 0 <= now - self._server[0] < LOOK_SHARED_S:
                return now, self._server[1], 0
            done = await self.client.look(self._commands.server())
            self._server = (now, layout.server(done.stdout))
            return now, self._server[1], 1

    async def _ask_layout(self, server: Server) -> _Layout:
        done = await self.client.list(self._commands.queues())
        default = server.attributes.get("default_queue")
        queues = layout.queues(layout.queue_attributes(done.stdout), self.cluster, default)
        try:
            done = await self.client.attempt(self._commands.reservations())
        except NoProgram:
            return _Layout(queues, None)
        if done.exit_status != 0:
            return _Layout(queues, None)
        self._reservations = layout.reservations(done.stdout, self.cluster)
        return _Layout(queues, self._reservations)

    async def _fresh_nodes(self) -> tuple[Node, ...]:
        """Return the hosts, of the last listing or asked for now; none when they cannot be listed."""
        listed = self._listed.get(Table.NODES)
        if listed is not None and 0 <= self._site.now() - listed[0] < NODES_MAX_AGE_S:
            return self._nodes.nodes
        try:
            return (await sliced(self._nodes.anew().read(await self.client.nodes()))).nodes
        except SourceError:
            return ()

    async def _named(self, ids: tuple[str, ...]) -> dict[str, Other]:
        """Return what is known of these jobs: of the last listing, else asked for, with those that are over."""
        known = {job_id: job for job_id in ids if (job := self._jobs.get(job_id)) is not None}
        absent = tuple(job_id for job_id in ids if job_id not in known)
        if absent:
            for found in await lookup.some(self.client, absent):
                known[found.id] = self._jobs.job(found.id, found.row)
        return {job_id: Other(job.name, job.state) for job_id, job in known.items()}

    def _whole_due(self, table: Table, now: float) -> bool:
        """Whether everything must be told, not only the changes."""
        told = self._whole.get(table)
        return told is None or not 0 <= now - told < WHOLE_AGAIN_S

    def _done(self, table: Table, now: float, counters: Counters, whole: bool) -> None:
        self._listed[table] = (now, counters, self.client.failures)
        if whole:
            self._whole[table] = now

    # ---- what to say

    def _detail(self, command: str, server: Server) -> str:
        """Return how it is read, and what keeps it from being the whole truth."""
        parts = [f"{command} {server.version}" if server.version else command]
        if self.settings.via:
            parts[0] += f" through {self.settings.via}"
        parts.append("on change, by qstat -B")
        if server.counters.scheduling is False:
            parts.append("scheduling is off on the server: nothing starts")
        if server.private and command == "qstat":
            parts.append("query_other_jobs is off: what others own is hidden")
        if self._jobs.unreadable and command == "qstat":
            parts.append(f"{self._jobs.unreadable} jobs cannot be read")
        return "; ".join(parts)


def _place(settings: PbsSettings) -> Place:
    if settings.via is None:
        return Place(rule=settings.address, hostname=os.uname().nodename.partition(".")[0], here="local")
    host = settings.via.removeprefix("ssh://").removeprefix("ssh:")
    return Place(rule=settings.address, hostname=None, here=f"ssh:{host}")
