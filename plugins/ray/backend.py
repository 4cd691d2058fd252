"""The backend of one Ray cluster: what to ask when, and what to make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from console.errors import Denied, NoSuchJob, SourceError, Unreachable
from console.model import (
    Cluster,
    ClusterKind,
    Draft,
    Explanation,
    Job,
    LogStream,
    Order,
    Records,
    Step,
)
from console.plugin import Check, LogReader, Site
from console.text import clean
from console.transport import http
from console.transport.http import HttpClient
from console.transport.secret import Secret
from console.transport.tunnel import dig
from plugins.ray import commands, doctor, explain, holdings, jobs, logs, nodes, orders, wire
from plugins.ray.client import Client
from plugins.ray.holdings import Holding
from plugins.ray.settings import RaySettings

NODES_PERIOD_S = 10.0
JOBS_PERIOD_S = 5.0
"""Six and twelve requests a minute; with the holdings eight more: 26 of a budget of 30."""
HOLDINGS_MAX_AGE_S = 30.0
"""Four requests: placement groups, actors that live or wait for a place, tasks that run."""
VERSION_MAX_AGE_S = 900.0
_SLICE = 500
"""Jobs between two breaths of the event loop."""


@dataclass(slots=True, frozen=True)
class _Holdings:
    at: float
    by_job: dict[str, Holding] | None
    why_not: str = ""
    note: str = ""


class RayBackend:
    """Offers Inventory, Queue, Explainer, Logs and JobControl of one cluster. See `console.plugin`."""

    kind = ClusterKind.RAY
    job_actions = orders.JOB_ACTIONS
    inventory_period_s = NODES_PERIOD_S
    jobs_period_s = JOBS_PERIOD_S

    def __init__(self, settings: RaySettings, site: Site) -> None:
        """ConfigError when the settings cannot work."""
        self.cluster = site.cluster
        self.requests_per_minute = settings.requests_per_minute
        self.settings = settings
        self._site = site
        url = http.checked_url(settings.url)
        self.client = Client(
            HttpClient(
                url,
                timeout_s=settings.timeout_s,
                token=Secret(settings.token, site.environ) if settings.token is not None else None,
                ca_file=settings.ca_file,
                tunnel=dig(site.transport(settings.via), *http.address(url)) if settings.via else None,
            )
        )
        self._version: tuple[float, str | None] | None = None
        self._nodes: nodes.Cluster | None = None
        self._holdings: _Holdings | None = None

    # ---- capabilities

    async def inventory(self) -> Records:
        """Return all nodes. Raises SourceError."""
        requests = self.client.take_requests
        version = await self._ask_version()
        found = await self._ask_nodes()
        return Records(
            cluster=Cluster(name=self.cluster, kind=self.kind, version=version),
            nodes=found.nodes,
            complete=("nodes",),
            requests=requests(),
            detail=self._detail(
                "nodes",
                f"{found.left} left on purpose" if found.left else "",
                f"{found.unreadable} rows cannot be read" if found.unreadable else "",
            ),
        )

    async def jobs(self) -> Records:
        """Return all jobs that are not over for long. Raises SourceError."""
        listed = wire.jobs(await self.client.ask(commands.JOBS))
        if self._nodes is None:
            await self._ask_nodes()
        held = await self._ask_holdings(any(row.status == "RUNNING" for row in listed.rows))
        names = self._nodes.names if self._nodes else {}
        world = jobs.World(self.cluster, names, held.by_job, held.why_not)
        oldest = self._site.now() - self.settings.finished_hours * 3600
        shown: list[Job] = []
        for index, row in enumerate(listed.rows, 1):
            if not jobs.ended_before(row, oldest) and (job := jobs.read(row, world)) is not None:
                shown.append(job)
            if index % _SLICE == 0:
                await asyncio.sleep(0)
        broken = f"{listed.unreadable} rows cannot be read" if listed.unreadable else ""
        return Records(
            jobs=tuple(shown),
            complete=("jobs",),
            requests=self.client.take_requests(),
            detail=self._detail("jobs", broken, held.note or held.why_not),
        )

    async def explain(self, job_id: str) -> Explanation:
        """See `Explainer`."""
        return await explain.explain(self.client, self.cluster, job_id, self.settings.address)

    async def log_streams(self, job_id: str) -> tuple[LogStream, ...]:
        """See `Logs`."""
        return await logs.streams(self.client, job_id, self._nodes or await self._ask_nodes())

    async def open_log(self, stream: LogStream) -> LogReader:
        """See `Logs`."""
        return logs.RayLog(self.client, stream)

    # ---- acting

    async def look_jobs(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """See `JobControl`."""
        world = jobs.World(self.cluster, self._nodes.names if self._nodes else {}, None, "not asked for")
        found = []
        for job_id in ids:
            try:
                row = await self.client.job(job_id)
            except NoSuchJob:
                continue
            if (job := jobs.read(row, world)) is not None:
                found.append(job)
        return tuple(found)

    async def plan_jobs(self, order: Order, jobs: Sequence[Job]) -> Draft:
        """See `JobControl`."""
        return orders.stopping(jobs, self.cluster, self.client.where)

    async def perform(self, step: Step) -> None:
        """See `Performer`."""
        await self.client.stop(step.run.path, step.timeout_s)

    async def doctor(self) -> list[Check]:
        """See `Backend`."""
        return await doctor.examine(self.client, self.settings)

    async def close(self) -> None:
        """See `Backend`."""
        await self.client.close()

    # ---- what to ask

    async def _ask_version(self) -> str | None:
        now = self._site.now()
        if self._version is None or not 0 <= now - self._version[0] < VERSION_MAX_AGE_S:
            answer = wire.one(await self.client.ask(commands.VERSION), wire.Version, "its version")
            self._version = (now, clean(answer.ray_version, limit=64))
        return self._version[1]

    async def _ask_nodes(self) -> nodes.Cluster:
        listing = await self.client.nodes()
        known = self._nodes.names if self._nodes else {}
        self._nodes = nodes.read(listing, self.cluster, self.settings.address, known)
        return self._nodes

    async def _ask_holdings(self, wanted: bool) -> _Holdings:
        """Return what jobs hold, asked anew when it is old; nothing is asked while no job runs."""
        now = self._site.now()
        if not wanted:
            self._holdings = None
            return _Holdings(now, {})
        known = self._holdings
        if known is not None and 0 <= now - known.at < HOLDINGS_MAX_AGE_S:
            return known
        self._holdings = await self._read_holdings(now)
        return self._holdings

    async def _read_holdings(self, now: float) -> _Holdings:
        try:
            groups = await self.client.groups()
            alive = await self.client.actors(state="ALIVE")
            waiting = await self.client.actors(state="PENDING_CREATION")
            tasks = await self.client.tasks("RUNNING")
        except (Unreachable, Denied):
            raise
        except SourceError as error:
            # An older or smaller Ray has no state API: its jobs are there all the same.
            return _Holdings(now, None, f"the state API does not say what jobs hold: {error.what}")
        by_job = holdings.add_up(groups.rows, (*alive.rows, *waiting.rows), tasks.rows)
        listings = (("placement groups", groups), ("actors", alive), ("running tasks", tasks))
        cut = [f"{len(rows.rows)} of {rows.total} {what}" for what, rows in listings if rows.total]
        return _Holdings(now, by_job, note=f"what jobs hold is counted by {', '.join(cut)} only" if cut else "")

    def _detail(self, what: str, *notes: str) -> str:
        """Return how it is read, and what keeps it from being the whole truth."""
        version = f" of Ray {self._version[1]}" if self._version and self._version[1] else ""
        through = f" through {self.settings.via}" if self.settings.via else ""
        first = f"{what} from the dashboard{version}{through}"
        return "; ".join((first, *(note for note in notes if note)))
