"""The backend of one Slurm cluster: what to ask when, and what to make of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from console.errors import BadAnswer, Denied
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
from plugins.slurm import commands
from plugins.slurm.acting import Acting
from plugins.slurm.changes import Table, changed
from plugins.slurm.choice import Choice
from plugins.slurm.client import Client
from plugins.slurm.commands import Commands
from plugins.slurm.doctor import examine
from plugins.slurm.facts import Layout
from plugins.slurm.failures import NoProgram
from plugins.slurm.jobs import JobReader
from plugins.slurm.nodes import NodeReader, Place
from plugins.slurm.orders import JOB_ACTIONS, NODE_ACTIONS
from plugins.slurm.parse import Config, Controller, Counters
from plugins.slurm.questions import Questions
from plugins.slurm.settings import SlurmSettings
from plugins.slurm.ways import Way
from plugins.slurm.weather import Weather

PERIOD_S = 4.0
"""How often we look whether something changed: with one look for jobs and nodes together, 15 requests a minute.
Listings that grow old add five or six; what is left of the budget of 24 is for what did change."""
PULSE_SHARED_S = 2.5
"""A look at the counters serves everybody who asks within this time."""
JOBS_MAX_AGE_S = 60.0
NODES_MAX_AGE_S = 40.0
LAYOUT_MAX_AGE_S = 300.0
CONFIG_MAX_AGE_S = 900.0
BACKUP_MAX_AGE_S = 60.0
"""How often controllers are pinged where there is more than one."""
WHOLE_AGAIN_S = 600.0
"""After so long all jobs are told anew, not only the changes."""

T = TypeVar("T")
U = TypeVar("U")


async def _nothing() -> None:
    return None


async def _together(first: Awaitable[T], second: Awaitable[U]) -> tuple[T, U]:
    """Return what both gave; when one fails the other is ended before its error is raised."""
    tasks = (asyncio.ensure_future(first), asyncio.ensure_future(second))
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class SlurmBackend:
    """Offers Inventory, Queue, Explainer and Logs of one cluster. See `console.plugin`."""

    kind = ClusterKind.SLURM
    node_actions = NODE_ACTIONS
    job_actions = JOB_ACTIONS
    inventory_period_s = PERIOD_S
    jobs_period_s = PERIOD_S
    accounting_period_s = 60.0

    def __init__(self, settings: SlurmSettings, site: Site) -> None:
        self.cluster = site.cluster
        self.requests_per_minute = settings.requests_per_minute
        self.settings = settings
        self._site = site
        conf = settings.slurm_conf
        if conf is None and settings.via is None:
            conf = site.environ.get("SLURM_CONF") or None
            # A relative path means the directory that the program was started in: left to the commands to inherit.
            conf = conf if conf is not None and conf.startswith("/") else None
        self.client = Client(Commands(settings, conf), site.transport(settings.via), settings.timeout_s)
        self._nodes = NodeReader(self.cluster, _place(settings), settings.gres)
        self._jobs = JobReader(self.cluster, settings.gres)
        self._questions = Questions(self.cluster, settings, site, self.client, self._jobs, self._nodes)
        self._acting = Acting(self.cluster, settings, self.client, self._nodes, self._questions)
        self._layout = Layout()
        self._choice = Choice(settings, site, self.client, self._nodes, self._jobs)
        self._pulse: tuple[float, Counters] | None = None
        self._weather = Weather()
        self._pulse_lock = asyncio.Lock()
        self._no_pulse_until: float | None = None
        self._listed: dict[Table, tuple[float, Counters | None, int]] = {}
        self._whole: dict[Table, float] = {}
        self._config: tuple[float, Config] | None = None
        self._pinged: tuple[float, tuple[Controller, ...]] | None = None

    # ---- capabilities

    async def inventory(self) -> Records:
        """Return nodes, and partitions and reservations when they may have changed. Raises SourceError."""
        way = await self._choice.settle()
        (now, counters, cost), config = await _together(self._counters(), self._read_config())
        cost += config + await self._look_at_backup()
        want_nodes = self._wanted(Table.NODES, now, counters, NODES_MAX_AGE_S)
        want_layout = self._wanted(Table.LAYOUT, now, counters, LAYOUT_MAX_AGE_S)
        nodes, layout = await _together(
            way.nodes() if want_nodes else _nothing(), way.layout() if want_layout else _nothing()
        )
        complete: list[str] = []
        queues: tuple[Queue, ...] = ()
        reservations: tuple[Reservation, ...] = ()
        if layout is not None:
            self._layout, price = layout
            queues, reservations = self._layout.queues, self._layout.reservations or ()
            complete += ["queues"] if self._layout.reservations is None else ["queues", "reservations"]
            cost += price
        shown: tuple[Node, ...] = ()
        gone: tuple[str, ...] = ()
        if nodes is not None:
            cost += nodes.requests
            whole = self._whole_due(Table.NODES, now)
            # The last thing that waits: from here on nothing can keep what the reader remembers from being told.
            listing = await sliced(nodes.read())
            shown, gone = (listing.nodes, ()) if whole else (listing.changed, listing.gone)
            complete += ["nodes"] if whole else []
            self._done(Table.NODES, now, counters, whole)
        if layout is not None:
            self._done(Table.LAYOUT, now, counters, whole=True)
        return Records(
            cluster=self._cluster(),
            nodes=shown,
            gone_nodes=gone,
            queues=queues,
            reservations=reservations,
            complete=tuple(complete),
            requests=cost + self.client.take_extra(),
            detail=self._detail("nodes"),
        )

    async def jobs(self) -> Records:
        """Return all jobs the first time and every ten minutes, else what changed. Raises SourceError."""
        way = await self._choice.settle()
        now, counters, cost = await self._counters()
        facts = self._weather.words
        if not self._wanted(Table.JOBS, now, counters, JOBS_MAX_AGE_S):
            extra = self.client.take_extra()
            return Records(requests=cost + extra, detail=self._detail("jobs"), facts=facts)
        answer = await way.jobs()
        whole = self._whole_due(Table.JOBS, now)
        listing = await sliced(answer.read())
        self._done(Table.JOBS, now, counters, whole)
        return Records(
            jobs=listing.jobs if whole else listing.changed,
            gone_jobs=() if whole else listing.gone,
            complete=("jobs",) if whole else (),
            requests=cost + answer.requests + self.client.take_extra(),
            detail=self._detail("jobs"),
            facts=facts,
        )

    async def finished(self, since: float) -> Records:
        """See `Accounting`."""
        return await self._questions.finished(since)

    async def explain(self, job_id: str) -> Explanation:
        """See `Explainer`: one small request for the job, one or two for its priority, limits and dependencies."""
        return await self._questions.explain(job_id, self._layout)

    async def log_streams(self, job_id: str) -> tuple[LogStream, ...]:
        """See `Logs`."""
        return await self._questions.log_streams(job_id)

    async def open_log(self, stream: LogStream) -> LogReader:
        """See `Logs`."""
        return await self._questions.open_log(stream)

    async def look_nodes(self, names: Sequence[str]) -> tuple[Node, ...]:
        """See `Drainer`."""
        return await self._acting.look_nodes(names)

    async def plan_nodes(self, order: Order, nodes: Sequence[Node], jobs: Sequence[Job]) -> Draft:
        """See `Drainer`: jobs run on until they end by themselves, whatever of this is done."""
        return self._acting.planner.nodes(order, nodes)

    async def look_jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """See `JobControl`."""
        return await self._acting.look_jobs(ids)

    async def plan_jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """See `JobControl`."""
        return self._acting.planner.jobs(order, jobs)

    async def perform(self, step: Step) -> None:
        """See `Performer`."""
        await self._acting.perform(step)

    async def doctor(self) -> list[Check]:
        """See `Backend`."""
        return await examine(self.client, self.settings, self._choice)

    async def close(self) -> None:
        """See `Backend`."""
        await self._choice.close()
        await self.client.close()

    # ---- what to ask

    @property
    def _way(self) -> Way:
        return self._choice.taken

    def _stale(self, held: tuple[float, object] | None, max_age_s: float) -> bool:
        return held is None or self._site.now() - held[0] >= max_age_s

    def _wanted(self, table: Table, now: float, counters: Counters | None, max_age_s: float) -> bool:
        """Whether a table must be listed anew: never listed, old, out of reach since, or something happened to it."""
        listed = self._listed.get(table)
        if listed is None or not 0 <= now - listed[0] < max_age_s or listed[2] != self._way.failures:
            return True
        if counters is None:
            return table is not Table.LAYOUT
        return table in changed(listed[1], counters)

    async def _counters(self) -> tuple[float, Counters | None, int]:
        """Return when, what slurmctld counted, and how many requests that took; None where sdiag is refused.

        Always read before a listing, so that what happens between the two is listed again, not missed.
        """
        if self._no_pulse_until is not None:
            if self._site.now() < self._no_pulse_until:
                return self._site.now(), None, 0
            self._no_pulse_until = None
        async with self._pulse_lock:
            now = self._site.now()
            if self._pulse is not None and 0 <= now - self._pulse[0] < PULSE_SHARED_S:
                return now, self._pulse[1], 0
            try:
                pulse = await self._way.pulse()
            except (Denied, NoProgram, BadAnswer):
                # Then everything is listed each time, at the pace that the budget allows. A slurmctld that refuses
                # more than this, or a host without Slurm, shows in the listing that follows.
                self._no_pulse_until = now + LAYOUT_MAX_AGE_S
                return now, None, commands.DIAG_COST
            self._weather.take(pulse.weather, now)
            self._pulse = (now, pulse.counters)
            return now, pulse.counters, commands.DIAG_COST

    async def _read_config(self) -> int:
        """Read the configuration now and then; return how many requests that took."""
        if not self._stale(self._config, CONFIG_MAX_AGE_S):
            return 0
        config, cost = await self._way.config()
        now = self._site.now()
        self._config = (now, config)
        self._pinged = (now, config.controllers)
        return cost

    async def _look_at_backup(self) -> int:
        """Ask now and then which of several controllers answers; the client counts these pings."""
        if self._pinged is None or len(self._pinged[1]) < 2 or not self._stale(self._pinged, BACKUP_MAX_AGE_S):
            return 0
        self._pinged = (self._site.now(), await self._way.ping() or self._pinged[1])
        return 0

    def _whole_due(self, table: Table, now: float) -> bool:
        """Whether everything must be told, not only the changes."""
        told = self._whole.get(table)
        return told is None or not 0 <= now - told < WHOLE_AGAIN_S

    def _done(self, table: Table, now: float, counters: Counters | None, whole: bool) -> None:
        self._listed[table] = (now, counters, self._way.failures)
        if whole:
            self._whole[table] = now

    # ---- what to say

    def _cluster(self) -> Cluster:
        version = self._config[1].version if self._config else None
        return Cluster(name=self.cluster, kind=ClusterKind.SLURM, version=version)

    def _detail(self, what: str) -> str:
        """Return how it is read, and what keeps it from being the whole truth."""
        config = self._config[1] if self._config else None
        parts = [self._way.words(what, config.version if config is not None else None)]
        parts.append("listed each time: sdiag is refused" if self._no_pulse_until else "on change, by sdiag")
        if config is not None and what in config.private:
            parts.append(f"PrivateData={what}: what others own may be hidden")
        if what == "nodes" and self._nodes.twice:
            parts.append(f"{self._nodes.twice[0]} is listed twice, the first line counts")
        if what == "nodes" and self._pinged and (said := _backup(self._pinged[1])):
            parts.append(said)
        return "; ".join(parts)


def _backup(controllers: tuple[Controller, ...]) -> str | None:
    """Return in words that a backup controller is at work, or that one of several is missing."""
    if len(controllers) < 2 or all(controller.up for controller in controllers):
        return None
    down = ", ".join(f"{controller.role} {controller.host}" for controller in controllers if not controller.up)
    at_work = next((controller for controller in controllers if controller.up), None)
    if at_work is None:
        return f"no controller answers pings ({down})"
    if at_work is controllers[0]:
        return f"controller down: {down}"
    return f"{at_work.role} controller {at_work.host} is at work; down: {down}"


def _place(settings: SlurmSettings) -> Place:
    if settings.via is None:
        return Place(rule=settings.address, hostname=os.uname().nodename.partition(".")[0], here="local")
    host = settings.via.removeprefix("ssh://").removeprefix("ssh:")
    return Place(rule=settings.address, hostname=None, here=f"ssh:{host}")
