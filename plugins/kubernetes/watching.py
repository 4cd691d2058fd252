"""All the watches of one cluster: which kinds it has, and in which namespaces this user may read them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from console.errors import BadAnswer, Denied, QuarterdeckError, SourceError
from plugins.kubernetes.access import Rights
from plugins.kubernetes.board import Board
from plugins.kubernetes.claims import ClaimReader, SliceReader
from plugins.kubernetes.client import Client
from plugins.kubernetes.failures import Forbidden, Missing, forbidden
from plugins.kubernetes.kinds import AGGREGATED, ASSUMED, PODS, Resource, Role, discovered, has
from plugins.kubernetes.mirror import Mirror, Shelf, Timing, Whole
from plugins.kubernetes.node import NodeReader
from plugins.kubernetes.objects import NodeObject, Page, PodObject, Version
from plugins.kubernetes.pods import PodReader
from plugins.kubernetes.queues import AdmissionReader, GangReader, QueueReader
from plugins.kubernetes.settings import KubernetesSettings
from plugins.kubernetes.works import WorkReader

FORBIDDEN_PAUSE_S = 300.0
"""Rights are given rarely; who has none does not ask in a loop."""
DISCOVER_S = 600.0
"""How often we look for kinds that were installed meanwhile: one request."""


class Watched:
    """One kind: its mirrors, one for the whole cluster or one for each namespace that may be read."""

    def __init__(
        self,
        client: Client,
        rights: Rights,
        resource: Resource,
        shelf: Shelf[Any],
        timing: Timing,
        news: Callable[[], None],
    ) -> None:
        self.resource = resource
        self.shelf = shelf
        self.denied: Forbidden | None = None
        self.mirrors: list[Mirror[Any]] = []
        self.tried = asyncio.Event()
        """Set when there is something to show, or a reason why not."""
        self._client = client
        self._rights = rights
        self._timing = timing
        self._news = news

    @property
    def listed(self) -> bool:
        """Whether anything of it was listed."""
        return any(mirror.listed for mirror in self.mirrors)

    @property
    def everywhere(self) -> bool:
        """Whether it is read in the whole cluster, not in some namespaces only."""
        return any(mirror.namespace is None for mirror in self.mirrors)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that it is read in where that is not everywhere."""
        return tuple(mirror.namespace for mirror in self.mirrors if mirror.namespace is not None)

    @property
    def error(self) -> QuarterdeckError | None:
        """What is wrong with it now; None: it is as the server has it."""
        if self.denied is not None:
            return self.denied
        return next((mirror.error for mirror in self.mirrors if mirror.error is not None), None)

    @property
    def lists(self) -> int:
        """How often it was listed so far."""
        return sum(mirror.lists for mirror in self.mirrors)

    async def run(self) -> None:
        """Keep it until cancelled."""
        scopes: list[str | None] = [None]
        while True:
            try:
                await self._mirror(scopes)
            except* Forbidden as group:
                refused = next(each for each in group.exceptions if isinstance(each, Forbidden))
                scopes = await self._narrowed(scopes, refused)
                if not scopes:
                    self.tried.set()
                    await asyncio.sleep(FORBIDDEN_PAUSE_S)
                    scopes = [None]

    async def _mirror(self, scopes: list[str | None]) -> None:
        self.mirrors = [
            Mirror(self._client, self.resource, scope, self.shelf, self._timing, self._news) for scope in scopes
        ]
        async with asyncio.TaskGroup() as group:
            for mirror in self.mirrors:
                group.create_task(mirror.run(), name=f"watching {self.resource.name}")
            for mirror in self.mirrors:
                await mirror.tried.wait()
            if any(mirror.listed or mirror.error is not None for mirror in self.mirrors):
                if self.listed:
                    self.denied = None
                self.tried.set()

    async def _narrowed(self, scopes: list[str | None], refused: Forbidden) -> list[str | None]:
        """Return where else it may be read; nowhere: `denied` says which right is missing."""
        allowed: list[str | None] = []
        verb = refused.verb
        try:
            if self.resource.wanted.namespaced:
                candidates = self._rights.namespaces()
                allowed = [name for name in candidates if await self._rights.missing(self.resource, name) is None]
            if allowed == scopes:
                allowed = []  # it says that we may, and then that we may not
            if not allowed:
                verb = await self._rights.missing(self.resource, None) or refused.verb
        except SourceError:
            pass  # whoever may not even ask what it may: the refusal itself tells enough
        if allowed:
            return allowed
        self.denied = forbidden(verb, self.resource.name, "", self._client.where)
        return []


class Watching:
    """Everything that is watched. Started by `start`, ended by `close`."""

    def __init__(
        self,
        client: Client,
        board: Board,
        settings: KubernetesSettings,
        timing: Timing | None = None,
    ) -> None:
        self.kinds: dict[str, Watched] = {}
        """By the resource's name."""
        self.version: str | None = None
        self._client = client
        self._board = board
        self._settings = settings
        self._timing = timing or Timing()
        self.rights = Rights(client, settings.namespaces)
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._started = False

    async def start(self) -> None:
        """Find out what there is and begin to watch it, once. Raises SourceError when the server does not answer."""
        async with self._starting:
            if not self._started:
                await self._discover()
                self._started = True
                self._keep(self._rediscover())

    async def close(self) -> None:
        """End every watch."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def of_role(self, *roles: Role) -> list[Watched]:
        """Return the kinds of some roles that are there."""
        return [kind for kind in self.kinds.values() if kind.resource.wanted.role in roles]

    def reader(self, resource: Resource, namespace: str | None, board: Board) -> Mirror[Any]:
        """Return what brings a kind to a board of its own, once (`fetch`): for looks that nothing old may answer."""
        return Mirror(self._client, resource, namespace, _shelf(resource, board, self._settings), self._timing)

    def get(self, name: str) -> Watched | None:
        """Return a kind by its resource's name."""
        return self.kinds.get(name)

    # ---- what there is

    async def _discover(self) -> None:
        try:
            found, unsure = discovered(await self._client.get("/apis", accept=AGGREGATED))
        except Denied as error:
            if "cannot get path" not in error.what:
                raise
            found, unsure = list(ASSUMED), []  # who may not ask what there is may still read it
        except msgspec.MsgspecError as error:
            what = f"/apis cannot be read: {error}"
            hint = "is there a proxy that answers in the server's place?"
            raise BadAnswer(what, self._client.where, hint) from None
        for wanted, version in unsure:
            try:
                listed = await self._client.get(f"/apis/{wanted.group}/{version}")
                if has(listed, wanted):
                    found.append(Resource(wanted, version))
            except (Missing, msgspec.MsgspecError):
                continue
        for resource in found:
            if resource.name not in self.kinds:
                kind = self._watched(resource)
                self.kinds[resource.name] = kind
                self._keep(kind.run())
        if self.version is None:
            self.version = await _version(self._client)

    def _watched(self, resource: Resource) -> Watched:
        shelf = _shelf(resource, self._board, self._settings)
        return Watched(self._client, self.rights, resource, shelf, self._timing, self._tell)

    def _tell(self) -> None:
        self._board.news()

    async def _rediscover(self) -> None:
        while True:
            await asyncio.sleep(DISCOVER_S)
            try:
                await self._discover()
            except SourceError:
                continue

    def _keep(self, run: Any) -> None:
        task = asyncio.create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _shelf(resource: Resource, board: Board, settings: KubernetesSettings) -> Shelf[Any]:
    """Return where objects of a kind go."""
    wanted = resource.wanted
    read: Callable[[msgspec.Raw], Any]
    changed: Callable[[Any, Any], None]
    if wanted.role is Role.NODE:
        nodes = NodeReader(board.accelerators, settings.address)
        return Shelf(nodes.read, board.node_changed, Whole(msgspec.json.Decoder(Page[NodeObject]), nodes.made))
    if wanted.role is Role.POD:
        pods = PodReader(board.accelerators, settings.user_label)
        return Shelf(pods.read, board.pod_changed, Whole(msgspec.json.Decoder(Page[PodObject]), pods.made))
    if wanted.role is Role.WORK:
        read, changed = WorkReader(wanted, board.accelerators, settings.user_label).read, board.work_changed
    elif wanted.role is Role.ADMISSION:
        read, changed = AdmissionReader().read, board.admission_changed
    elif wanted.role is Role.GANG:
        read, changed = GangReader().read, board.gang_changed
    elif wanted.role is Role.CLAIM:
        read, changed = ClaimReader().read, board.claim_changed
    elif wanted.role is Role.SLICE:
        read, changed = SliceReader().read, board.slice_changed
    else:
        read, changed = QueueReader().read, board.queue_changed
    return Shelf(read, changed)


async def _version(client: Client) -> str | None:
    """Return the server's version; None when it may not be asked for."""
    try:
        return msgspec.json.decode(await client.get("/version"), type=Version).git_version or None
    except (SourceError, msgspec.MsgspecError):
        return None


def pods_unknown(watching: Watching) -> str | None:
    """Return why it is not known which pods are on a node; None: it is."""
    pods = watching.get(PODS.plural)
    if pods is None or not pods.listed:
        error = pods.error if pods is not None else None
        return str(error) if error is not None else "pods are not listed yet"
    if not pods.everywhere:
        return f"only those of {', '.join(pods.namespaces)} may be listed"
    return None
