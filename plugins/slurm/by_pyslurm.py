"""The third way: pyslurm, in a child process of its own that can be killed. It is never imported in this one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from functools import partial
from importlib import resources
from typing import TypeVar

import msgspec

from console.errors import BadAnswer, ConnectionLost, Denied, SourceError, TimedOut, Unsupported
from console.text import clean
from console.transport.base import Channel
from plugins.slurm import commands, failures, parse, rest, rest_wire, times
from plugins.slurm.client import Client
from plugins.slurm.facts import Layout
from plugins.slurm.jobs import JobReader, Listing, in_slices
from plugins.slurm.nodes import Described, NodeListing, NodeReader, Tail, free, plain_reason
from plugins.slurm.parse import Config, Controller
from plugins.slurm.settings import SlurmSettings
from plugins.slurm.states import job_word
from plugins.slurm.ways import Answer, Pulse

START_S = 20.0
"""How long the import may take: libslurm looks for a slurm.conf that is not there for a minute."""
LINE_BYTES = 64 << 20
_BOOT = (
    "import json,sys;sys.path[:]=[each for each in sys.path if each];"
    "exec(compile(json.loads(sys.stdin.readline()),'pyslurm_child','exec'))"
)
_HINT = 'way = "commands" needs nothing of it; docs/configuration.md tells what pyslurm needs'
_JOBS_COST = 2
"""REQUEST_JOB_INFO and REQUEST_BUILD_INFO, by sdiag."""
_NODES_COST = 3
"""REQUEST_NODE_INFO, REQUEST_PARTITION_INFO and REQUEST_JOB_INFO."""

T = TypeVar("T")
D = TypeVar("D")


class ByPyslurm:
    """pyslurm in a child process. See `Way`."""

    def __init__(self, settings: SlurmSettings, client: Client, nodes: NodeReader, jobs: JobReader) -> None:
        python = settings.pyslurm or (sys.executable if settings.via is None else "python3")
        self._argv = client.commands.under(python, "-u", "-c", _BOOT)
        self._client = client
        self._transport = client.transport
        self._timeout_s = settings.timeout_s
        self._nodes = nodes
        self._jobs = jobs
        self.where = f"{client.where}, by {clean(python)}"
        self.version: str | None = None
        """Of pyslurm, once its process has started."""
        self._failures = 0
        self._channel: Channel | None = None
        self._lock = asyncio.Lock()

    @property
    def failures(self) -> int:
        """See `Way`."""
        return self._failures

    def words(self, what: str, version: str | None) -> str:
        """See `Way`."""
        return f"pyslurm {self.version or ''} at {self.where}{f', Slurm {version}' if version else ''}"

    async def pulse(self) -> Pulse:
        """See `Way`."""
        (found,) = await self._ask("pulse", rest_wire.Statistics)
        return rest.pulse(found)

    async def config(self) -> tuple[Config, int]:
        """See `Way`."""
        (told,) = await self._ask("config", _Config)
        pings = await self._ping()
        config = Config(
            cluster_name=parse.known(told.cluster),
            version=parse.known(told.version),
            private=frozenset(word.lower() for word in told.private),
            controllers=pings,
        )
        return config, commands.CONFIG_COST + len(pings)

    async def ping(self) -> tuple[Controller, ...]:
        """See `Way`."""
        found = await self._ping()
        self._client.charge(len(found))
        return found

    async def _ping(self) -> tuple[Controller, ...]:
        return rest.controllers(tuple(await self._ask("ping", rest_wire.Ping)))

    async def nodes(self) -> Answer[NodeListing]:
        """See `Way`."""
        told = await self._ask("nodes", dict[str, str])
        rows = [(tuple(each.values()), each) for each in told]
        return Answer(partial(self._nodes.take, rows, node), _NODES_COST)

    async def jobs(self) -> Answer[Listing]:
        """See `Way`: it tells of ended jobs too, which are left out."""
        told = await self._ask("jobs", dict[str, str])
        listed = [job for job in told if job_word((job.get("State", ""),)) is not None]
        return Answer(lambda: self._jobs.take(in_slices(listed), tuple), _JOBS_COST)

    async def layout(self) -> tuple[Layout, int]:
        """See `Way`."""
        # It reads the configuration to tell of partitions.
        cost = commands.PARTITIONS_COST + commands.RESERVATIONS_COST + commands.CONFIG_COST
        cluster = self._nodes.cluster
        told = await self._ask("partitions", dict[str, str])
        queues = parse.unique(parse.partition(each, cluster) for each in told)
        try:
            told = await self._ask("reservations", dict[str, str])
        except Denied:
            return Layout(queues, None), cost
        return Layout(queues, parse.unique(parse.reservation(each, cluster) for each in told)), cost

    async def try_it(self) -> str:
        """See `Further`."""
        up = [each.host for each in await self.ping() if each.up]
        return f"{self.version} works at {self.where}, {', '.join(up) or 'no slurmctld'} answers it"

    async def close(self) -> None:
        """See `Way`."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    # ---- asking

    async def _ask(self, what: str, kind: type[T]) -> list[T]:
        """Return all that answers a question, one question after the other. Raises SourceError."""
        async with self._lock:
            try:
                channel = self._channel or await self._start()
                await channel.write(json.dumps({"ask": what}).encode() + b"\n")
                found, said = await self._read(channel, kind)
            except BaseException as error:
                # What else it has to say would answer the next question.
                await self.close()
                if not isinstance(error, SourceError):
                    raise
                self._failures += 1
                raise self._truth(error) from None
            if said:
                self._failures += 1
                known = failures.told("pyslurm", said, self.where)
                raise known or BadAnswer(f"pyslurm says: {clean(said, limit=200)}", self.where, _HINT)
            return found

    async def _start(self) -> Channel:
        """Start the process and return its channel once pyslurm is imported. Raises SourceError."""
        channel = self._channel = await self._transport.open(self._argv)
        source = resources.files("plugins.slurm").joinpath("pyslurm_child.py").read_text("utf-8")
        try:
            await channel.write(json.dumps(source).encode() + b"\n")
            hello = self._decoded(await channel.read_line(START_S), _LAST)
        except TimedOut:
            what = f"pyslurm did not start within {START_S:g} s"
            raise SourceError(what, self.where, failures.CONF_HINT) from None
        except ConnectionLost as error:
            raise SourceError(f"pyslurm does not work here: {error.what}", self.where, _HINT) from None
        if hello.error:
            raise SourceError(f"pyslurm does not work here: {clean(hello.error, limit=200)}", self.where, _HINT)
        self.version = clean(hello.pyslurm, limit=64)
        return channel

    async def _read(self, channel: Channel, kind: type[T]) -> tuple[list[T], str]:
        """Return an answer, and the error that it ended with or ""."""
        found: list[T] = []
        decoder: msgspec.json.Decoder[list[T]] = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
        while (line := await channel.read_line(self._timeout_s, LINE_BYTES)).startswith(b"["):
            some = self._decoded(line, decoder)
            found += some
            await asyncio.sleep(0)  # lines that are here already would not let anybody else in
        return found, self._decoded(line, _LAST).error

    def _decoded(self, line: bytes, decoder: msgspec.json.Decoder[D]) -> D:
        try:
            return decoder.decode(line)
        except msgspec.DecodeError:
            shown = clean(line[:400].decode("utf-8", "replace"), limit=120)
            raise BadAnswer(f"the process of pyslurm said something else: {shown}", self.where, _HINT) from None

    def _truth(self, error: SourceError) -> SourceError:
        """Return what it means that the process failed."""
        if isinstance(error, TimedOut):
            what = f"pyslurm gave no answer within {self._timeout_s:g} s; its process was ended"
            return TimedOut(what, self.where, failures.HUNG_HINT)
        if isinstance(error, ConnectionLost):
            return ConnectionLost(f"the process of pyslurm died: {error.what}", self.where, "it is started anew soon")
        if isinstance(error, Unsupported):  # there is no such Python; whoever asks for this way wants to know
            return SourceError(error.what, self.where, error.hint or _HINT)
        return error


class _Last(msgspec.Struct):
    """The line that ends an answer."""

    end: int
    error: str = ""
    pyslurm: str = ""


_LAST = msgspec.json.Decoder(_Last)


class _Config(msgspec.Struct):
    version: str | None = None
    cluster: str | None = None
    private: tuple[str, ...] = ()


def node(told: Mapping[str, str]) -> Described:
    """Return a node in the words of scontrol; what people wrote stands apart."""
    at = times.epoch(told.get("ReasonAt", ""))
    by = clean(told.get("ReasonBy", ""), limit=128)
    tail = Tail(
        reason=plain_reason(told.get("Reason", "")),
        reason_by=by if by and at is not None else None,
        reason_at=at,
        comment=free(told.get("Comment", "")),
        extra=free(told.get("Extra", "")),
    )
    return Described(told, parse.known(told.get("OS"), 256), tail)
