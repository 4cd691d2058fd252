"""The backend of one Slurm cluster: what to ask when, and what to make of it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Generator
from typing import TypeVar

from console.errors import BadAnswer, Denied, SourceError, Unsupported
from console.model import Cluster, ClusterKind, Queue, Records, Reservation
from console.plugin import Check, Site
from plugins.slurm import commands, parse
from plugins.slurm.changes import Table, changed
from plugins.slurm.client import Client
from plugins.slurm.commands import Commands
from plugins.slurm.doctor import examine
from plugins.slurm.jobs import JobReader
from plugins.slurm.parse import Config, Controller, Counters, NodeReader, Place
from plugins.slurm.settings import SlurmSettings

PERIOD_S = 5.0
"""How often we look whether something changed: with one look for jobs and nodes together, twelve requests a minute."""
PULSE_SHARED_S = 3.0
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


async def sliced(steps: Generator[None, None, T]) -> T:
    """Run a generator to its end, letting the event loop breathe after each step; return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)


class SlurmBackend:
    """Offers Inventory and Queue of one cluster. See `console.plugin`."""

    kind = ClusterKind.SLURM
    inventory_period_s = PERIOD_S
    jobs_period_s = PERIOD_S

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
        self._commands = self.client.commands
        self._nodes = NodeReader(self.cluster, _place(settings), settings.gres)
        self._jobs = JobReader(self.cluster, settings.gres)
        self._fields = commands.MACHINE_FIELDS
        self._pulse: tuple[float, Counters] | None = None
        self._pulse_lock = asyncio.Lock()
        self._pulse_refused: str | None = None
        self._listed: dict[Table, tuple[float, Counters | None]] = {}
        self._whole_at: float | None = None
        self._config: tuple[float, Config] | None = None
        self._pinged: tuple[float, tuple[Controller, ...]] | None = None

    # ---- capabilities

    async def inventory(self) -> Records:
        """Return nodes, and partitions and reservations when they may have changed. Raises SourceError."""
        pings = self.client.pings
        cost = 0
        if self._stale(self._config, CONFIG_MAX_AGE_S):
            cost += await self._read_config()
        cost += await self._look_at_backup()
        now, counters, price = await self._counters()
        cost += price
        want_nodes = self._wanted(Table.NODES, now, counters, NODES_MAX_AGE_S)
        want_layout = self._wanted(Table.LAYOUT, now, counters, LAYOUT_MAX_AGE_S)
        first = Table.NODES not in self._listed
        layout: tuple[tuple[Queue, ...], tuple[Reservation, ...], bool] = ((), (), False)
        if want_layout:
            layout = await self._list_layout(now, counters)
            cost += commands.PARTITIONS_COST + commands.RESERVATIONS_COST
        complete = ["queues"] if want_layout else []
        complete += ["reservations"] if layout[2] else []
        records = Records(queues=layout[0], reservations=layout[1])
        if want_nodes:
            done = await self.client.ask(self._commands.nodes())
            cost += commands.NODES_COST
            listing = await sliced(self._nodes.read(done.stdout))
            self._listed[Table.NODES] = (now, counters)
            complete += ["nodes"] if first else []
            records = Records(
                nodes=listing.nodes if first else listing.changed,
                gone_nodes=() if first else listing.gone,
                queues=layout[0],
                reservations=layout[1],
            )
        return Records(
            cluster=self._cluster(),
            nodes=records.nodes,
            gone_nodes=records.gone_nodes,
            queues=records.queues,
            reservations=records.reservations,
            complete=tuple(complete),
            requests=cost + self.client.pings - pings,
            detail=self._detail("scontrol show node", "nodes"),
        )

    async def jobs(self) -> Records:
        """Return all jobs the first time and every ten minutes, else what changed. Raises SourceError."""
        pings = self.client.pings
        now, counters, cost = await self._counters()
        detail = self._detail("squeue", "jobs")
        if not self._wanted(Table.JOBS, now, counters, JOBS_MAX_AGE_S):
            return Records(requests=cost + self.client.pings - pings, detail=detail)
        nonce = secrets.token_hex(8)
        done = await self._ask_queue(nonce)
        listing = await sliced(self._jobs.read(done, nonce, self._fields))
        self._listed[Table.JOBS] = (now, counters)
        cost += commands.QUEUE_COST + self.client.pings - pings
        if self._whole_at is None or now - self._whole_at >= WHOLE_AGAIN_S:
            self._whole_at = now
            return Records(jobs=listing.jobs, complete=("jobs",), requests=cost, detail=detail)
        return Records(jobs=listing.changed, gone_jobs=listing.gone, requests=cost, detail=detail)

    async def doctor(self) -> list[Check]:
        """See `Backend`."""
        return await examine(self.client, self.settings)

    async def close(self) -> None:
        """See `Backend`."""
        await self.client.close()

    # ---- what to ask

    def _stale(self, held: tuple[float, object] | None, max_age_s: float) -> bool:
        return held is None or self._site.now() - held[0] >= max_age_s

    def _wanted(self, table: Table, now: float, counters: Counters | None, max_age_s: float) -> bool:
        """Whether a table must be listed anew: never listed, old, or something happened to it since."""
        listed = self._listed.get(table)
        if listed is None or not 0 <= now - listed[0] < max_age_s:
            return True
        if counters is None:
            return table is not Table.LAYOUT
        return table in changed(listed[1], counters)

    async def _counters(self) -> tuple[float, Counters | None, int]:
        """Return when, what slurmctld counted, and how many requests that took; None where sdiag is refused.

        Always read before a listing, so that what happens between the two is listed again, not missed.
        """
        if self._pulse_refused is not None:
            return self._site.now(), None, 0
        async with self._pulse_lock:
            now = self._site.now()
            if self._pulse is not None and 0 <= now - self._pulse[0] < PULSE_SHARED_S:
                return now, self._pulse[1], 0
            try:
                done = await self.client.ask(self._commands.diag())
                counters = parse.counters(done.stdout)
            except (Denied, Unsupported, BadAnswer) as error:
                # Then everything is listed each time, at the pace that the budget allows. A slurmctld that refuses
                # more than this, or a host without Slurm, shows in the listing that follows.
                self._pulse_refused = str(error)
                return now, None, commands.DIAG_COST
            self._pulse = (now, counters)
            return now, counters, commands.DIAG_COST

    async def _read_config(self) -> int:
        done = await self.client.ask(self._commands.config())
        config = parse.config(done.stdout)
        now = self._site.now()
        self._config = (now, config)
        self._pinged = (now, config.controllers)
        return 1 + len(config.controllers)

    async def _look_at_backup(self) -> int:
        """Ask now and then which of several controllers answers."""
        if self._pinged is None or len(self._pinged[1]) < 2 or not self._stale(self._pinged, BACKUP_MAX_AGE_S):
            return 0
        self._pinged = (self._site.now(), await self.client.ping() or self._pinged[1])
        # The client has counted the ping as one; every controller got one.
        return len(self._pinged[1]) - 1

    async def _list_layout(
        self, now: float, counters: Counters | None
    ) -> tuple[tuple[Queue, ...], tuple[Reservation, ...], bool]:
        """Return partitions, reservations, and whether the latter may be seen."""
        done = await self.client.ask(self._commands.partitions())
        queues = parse.partitions(done.stdout, self.cluster)
        reservations: tuple[Reservation, ...] = ()
        allowed = True
        try:
            done = await self.client.ask(self._commands.reservations())
            reservations = parse.reservations(done.stdout, self.cluster)
        except Denied:
            allowed = False
        self._listed[Table.LAYOUT] = (now, counters)
        return queues, reservations, allowed

    async def _ask_queue(self, nonce: str) -> bytes:
        """Return squeue's answer; fields that this release does not know are asked for no more."""
        done = await self.client.ask(self._commands.queue(nonce, self._fields))
        unknown = frozenset(parse.unknown_fields(done.stderr))
        if unknown & frozenset(commands.MACHINE_FIELDS):
            self._fields = tuple(name for name in self._fields if name not in unknown)
            done = await self.client.ask(self._commands.queue(nonce, self._fields))
        elif unknown:
            raise Unsupported(
                f"this squeue does not know {', '.join(sorted(unknown))}", self.client.where, "Slurm 20.11 or newer"
            )
        return done.stdout

    # ---- what to say

    def _cluster(self) -> Cluster:
        version = self._config[1].version if self._config else None
        return Cluster(name=self.cluster, kind=ClusterKind.SLURM, version=version)

    def _detail(self, command: str, what: str) -> str:
        """Return how it is read, and what keeps it from being the whole truth."""
        parts = [command]
        config = self._config[1] if self._config else None
        if config is not None and config.version:
            parts[0] += f" {config.version}"
        if self.settings.via:
            parts[0] += f" through {self.settings.via}"
        parts.append("listed each time: sdiag is refused" if self._pulse_refused else "on change, by sdiag")
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


__all__ = ["SlurmBackend", "SourceError", "sliced"]
