"""The first way: Slurm's own commands and their text."""

from __future__ import annotations

from functools import partial

from console.errors import Denied, Unsupported
from plugins.slurm import commands, parse
from plugins.slurm.client import Client
from plugins.slurm.facts import Layout
from plugins.slurm.jobs import JobReader, Listing
from plugins.slurm.nodes import NodeListing, NodeReader
from plugins.slurm.parse import Config, Controller
from plugins.slurm.ways import Answer, Pulse
from plugins.slurm.weather import reading


class ByCommands:
    """squeue, scontrol and sdiag, on this host or through another. See `Way`."""

    def __init__(self, client: Client, nodes: NodeReader, jobs: JobReader, via: str | None) -> None:
        self._client = client
        self._commands = client.commands
        self._nodes = nodes
        self._jobs = jobs
        self._via = via
        self._fields: tuple[str, ...] = commands.MACHINE_FIELDS

    @property
    def failures(self) -> int:
        """See `Way`."""
        return self._client.failures

    def words(self, what: str, version: str | None) -> str:
        """See `Way`."""
        name = {"jobs": "squeue", "nodes": "scontrol show node"}[what]
        return f"{name}{f' {version}' if version else ''}{f' through {self._via}' if self._via else ''}"

    async def pulse(self) -> Pulse:
        """See `Way`."""
        answer = (await self._client.ask(self._commands.diag())).stdout
        return Pulse(parse.counters(answer), reading(answer.decode("utf-8", "replace")))

    async def config(self) -> tuple[Config, int]:
        """See `Way`."""
        done = await self._client.ask(self._commands.config())
        config = parse.config(done.stdout)
        return config, commands.CONFIG_COST + len(config.controllers)

    async def ping(self) -> tuple[Controller, ...]:
        """See `Way`: the client counts the requests."""
        return await self._client.ping()

    async def nodes(self) -> Answer[NodeListing]:
        """See `Way`."""
        done = await self._client.ask(self._commands.nodes())
        return Answer(partial(self._nodes.read, done.stdout), commands.NODES_COST)

    async def layout(self) -> tuple[Layout, int]:
        """See `Way`."""
        cost = commands.PARTITIONS_COST + commands.RESERVATIONS_COST
        done = await self._client.ask(self._commands.partitions())
        queues = parse.partitions(done.stdout, self._nodes.cluster)
        try:
            done = await self._client.ask(self._commands.reservations())
        except Denied:
            return Layout(queues, None), cost
        return Layout(queues, parse.reservations(done.stdout, self._nodes.cluster)), cost

    async def jobs(self) -> Answer[Listing]:
        """See `Way`: fields that this release does not know are asked for no more."""
        nonce = commands.new_nonce()
        cost = commands.QUEUE_COST
        done = await self._client.ask(self._commands.queue(nonce, self._fields))
        if unknown := frozenset(parse.unknown_fields(done.stderr)):
            if not unknown & frozenset(commands.MACHINE_FIELDS):
                names, hint = ", ".join(sorted(unknown)), "Slurm 20.11 or newer is needed"
                raise Unsupported(f"this squeue does not know {names}", self._client.where, hint)
            self._fields = tuple(name for name in self._fields if name not in unknown)
            done = await self._client.ask(self._commands.queue(nonce, self._fields))
            cost += commands.QUEUE_COST
        return Answer(partial(self._jobs.read, done.stdout, nonce, self._fields), cost)

    async def close(self) -> None:
        """See `Way`: the client is closed by its owner."""
