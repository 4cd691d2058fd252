"""The second way: slurmrestd, over its socket on this host or over HTTP with a token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from console.errors import BadAnswer, Denied, SourceError, Unreachable, Unsupported
from console.plugin import Site
from console.transport import http
from console.transport.http import HttpClient, HttpFailure, NotThere
from console.transport.secret import Secret, Token
from console.transport.tunnel import dig
from plugins.slurm import commands, failures, parse, rest, rest_wire
from plugins.slurm.client import Client
from plugins.slurm.elements import Elements
from plugins.slurm.facts import Layout
from plugins.slurm.jobs import JobReader, Listing, in_slices
from plugins.slurm.nodes import NodeListing, NodeReader
from plugins.slurm.parse import Config, Controller
from plugins.slurm.rest_wire import Envelope
from plugins.slurm.settings import SlurmSettings
from plugins.slurm.token import ASKED, AskedToken
from plugins.slurm.ways import Answer, Pulse

VERSIONS = tuple(f"v0.0.{number}" for number in range(45, 37, -1))
"""Of its data, those that are known here, the newest first."""
TOKEN_HEADER = "X-SLURM-USER-TOKEN"
LIMIT_BYTES = 1 << 30
_JOBS_COST = 1
"""REQUEST_JOB_INFO, by sdiag."""
_TOKEN_HINT = "rest_token names where a token lies; scontrol token gives one, for as long as its lifespan says"
_SOCKET_HINT = "on a socket it lets in its own user and root: let it run as you, or listen on a port for tokens"

E = TypeVar("E", bound=Envelope)
W = TypeVar("W")
R = TypeVar("R")


class ByRest:
    """slurmrestd. See `Way`."""

    def __init__(self, settings: SlurmSettings, site: Site, client: Client, nodes: NodeReader, jobs: JobReader) -> None:
        """ConfigError when the settings cannot work. Does no I/O."""
        url = settings.rest or ""
        self._client = client
        self._nodes = nodes
        self._jobs = jobs
        self._now = site.now
        self._asked = AskedToken(client, site.now) if settings.rest_token == ASKED else None
        token: Token | None = self._asked or _token(settings, site.environ)
        self._has_socket = http.socket_path(url) is not None
        self._timeout_s = settings.timeout_s
        place = http.address(http.checked_url(url)) if not self._has_socket else ("localhost", 0)
        self._http = HttpClient(
            url,
            timeout_s=settings.timeout_s,
            token=token,
            token_header=TOKEN_HEADER,
            ca_file=settings.rest_ca_file,
            tunnel=dig(site.transport(settings.via), *place) if settings.via is not None else None,
            words=rest_wire.said,
            first_only=True,
        )
        self.where = self._http.name
        self.version: str | None = None
        """Of its data, once it has been asked."""
        self._failures = 0
        self._lock = asyncio.Lock()

    @property
    def failures(self) -> int:
        """See `Way`."""
        return self._failures

    def words(self, what: str, version: str | None) -> str:
        """See `Way`."""
        return f"slurmrestd {self.version or ''} at {self.where}{f', Slurm {version}' if version else ''}"

    async def pulse(self) -> Pulse:
        """See `Way`."""
        answer = await self._get("diag", rest_wire.Diag)
        if answer.statistics is None:
            raise BadAnswer("slurmrestd gave no counters", self.where, "it is asked again soon")
        return rest.pulse(answer.statistics)

    async def config(self) -> tuple[Config, int]:
        """See `Way`: what every answer tells, and who answers a ping."""
        answer = await self._get("ping", rest_wire.Pings)
        return rest.config(answer), self._ping_cost(len(answer.pings))

    async def ping(self) -> tuple[Controller, ...]:
        """See `Way`."""
        found = (await self._get("ping", rest_wire.Pings)).pings
        self._client.charge(self._ping_cost(len(found)))
        return rest.controllers(found)

    async def nodes(self) -> Answer[NodeListing]:
        """See `Way`."""
        found = await self._list("nodes", rest_wire.NodeWire, lambda node: (node, node))
        return Answer(partial(self._nodes.take, found, rest.node), commands.NODES_COST)

    async def jobs(self) -> Answer[Listing]:
        """See `Way`: it tells of ended jobs too, which are left out."""
        found = await self._list("jobs", rest_wire.JobWire, rest.job)
        told = [job for job in found if job is not None]
        return Answer(lambda: self._jobs.take(in_slices(told), tuple), _JOBS_COST)

    async def layout(self) -> tuple[Layout, int]:
        """See `Way`."""
        cost = commands.PARTITIONS_COST + commands.RESERVATIONS_COST
        cluster = self._nodes.cluster
        answer = await self._get("partitions", rest_wire.Partitions)
        queues = parse.unique(parse.partition(rest.partition(each), cluster) for each in answer.partitions)
        try:
            held = (await self._get("reservations", rest_wire.Reservations)).reservations
        except Denied:
            return Layout(queues, None), cost
        now = self._now()
        reservations = parse.unique(parse.reservation(rest.reservation(each, now), cluster) for each in held)
        return Layout(queues, reservations), cost

    async def try_it(self) -> str:
        """See `Further`: whether it answers, and lets us in."""
        up = [each.host for each in await self.ping() if each.up]
        await self.pulse()
        return f"answers at {self.where} in {self.version}, {', '.join(up) or 'no slurmctld'} behind it"

    async def close(self) -> None:
        """See `Way`."""
        await self._http.close()

    # ---- asking

    async def ready(self) -> str:
        """Return the version of the data that is asked for, found by asking. Raises SourceError."""
        async with self._lock:
            if self.version is None:
                await self._find_version()
            return self.version or ""

    async def _find_version(self) -> None:
        for version in VERSIONS:
            try:
                body = await self._http.get(f"/slurm/{version}/ping")
            except NotThere:
                continue
            self.version = version
            self._client.charge(self._ping_cost(len(self._heeded(body, rest_wire.Pings).pings)))
            return
        known = f"{VERSIONS[-1]} to {VERSIONS[0]}"
        hint = "start it with the plugin that reads slurmctld: -s slurmctld, of old -s openapi/v0.0.38"
        raise Unsupported(f"no slurmrestd whose data is one of {known}", self.where, hint)

    def _ping_cost(self, controllers: int) -> int:
        """Return how many requests a ping took: Slurm 22.05 reads its configuration for it."""
        return max(1, controllers) + (self.version == "v0.0.38")

    async def _get(self, what: str, kind: type[E]) -> E:
        """Return a short answer. Raises SourceError."""

        async def get(version: str) -> E:
            return self._heeded(await self._http.get(f"/slurm/{version}/{what}"), kind)

        return await self._ask(get)

    async def _list(self, what: str, kind: type[W], take: Callable[[W], R]) -> list[R]:
        """Return what `take` makes of each object of a long answer, as they come. Raises SourceError."""

        async def read(version: str) -> list[R]:
            found: list[R] = []
            elements = Elements(what, kind, self.where)
            size = 0
            async with self._http.open(f"/slurm/{version}/{what}") as body:
                while piece := await body.read(self._timeout_s):
                    size += len(piece)
                    if size > LIMIT_BYTES:
                        hint = 'way = "commands" asks for much less'
                        raise BadAnswer(f"an answer of more than {LIMIT_BYTES >> 20} MiB", self.where, hint)
                    found += [take(element) for element in elements.feed(piece)]
            last, envelope = elements.end()
            self._heeded(envelope, Envelope)
            return found + [take(element) for element in last]

        return await self._ask(read)

    async def _ask(self, question: Callable[[str], Awaitable[R]]) -> R:
        try:
            if self._asked is not None:
                await self._asked.renew()
            return await question(await self.ready())
        except SourceError as error:
            self._failures += 1
            raise self._truth(error) from None

    def _heeded(self, body: bytes, kind: type[E]) -> E:
        """Return an answer that tells of no error. Raises SourceError."""
        answer = rest_wire.decode(body, kind, self.where)
        if answer.errors:
            raise HttpFailure("answered with errors", self.where, words=rest_wire.words(answer.errors))
        return answer

    def _truth(self, error: SourceError) -> SourceError:
        """Return what a failure means here."""
        if isinstance(error, HttpFailure):
            return self._meaning(error.words)
        if isinstance(error, Denied) and error.where == self.where:
            return self._refused(error.what)
        if isinstance(error, Unsupported):
            # Whoever asks for this way wants to know that it does not work; another slurmrestd may come in its place.
            self.version = None
            return SourceError(error.what, error.where, error.hint or "qd doctor looks at every way")
        return error

    def _meaning(self, words: str) -> SourceError:
        if "Unspecified error" in words:  # all that Slurm 22.05 has to say of a slurmctld that does not answer
            return Unreachable(f"slurmrestd has no answer of slurmctld: {words}", self.where, failures.DOWN_HINT)
        known = failures.told("slurmrestd", words, self.where)
        if isinstance(known, Denied) and "authentication" in words:
            return self._refused(words)
        return known or BadAnswer(f"slurmrestd says: {words}", self.where, "look into its log on its host")

    def _refused(self, what: str) -> Denied:
        """Return that we are not let in, and how to be."""
        if self._asked is not None:
            self._asked.refused()
        return Denied(what, self.where, _SOCKET_HINT if self._has_socket else _TOKEN_HINT)


def _token(settings: SlurmSettings, environ: Mapping[str, str]) -> Token | None:
    """Return where the token lies; SLURM_JWT is Slurm's own place for it. ConfigError when it is written down."""
    reference = settings.rest_token
    if reference is None and environ.get("SLURM_JWT"):
        reference = "env:SLURM_JWT"
    return Secret(reference, environ) if reference is not None else None
