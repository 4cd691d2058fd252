"""Keeps what one kind of objects is: one list in pages, then watches for ever, as the API is meant to be used.

Version expired (a 410, also inside of a 200)   list anew; what is known stays shown meanwhile
end of a watch, broken connection               go on from the last version, after a pause when it was a failure
429, 503 with Retry-After                       wait as long as asked
a list without an answer in time                one from the server's cache instead, which says that it is old
no bookmark for more than 70 s                  list anew: whoever lives sends one a minute
403                                             ends, with the missing right; the caller knows what else to try
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from console.errors import BadAnswer, Denied, QuarterdeckError, SourceError, TimedOut, Unsupported
from console.slices import Pace
from plugins.kubernetes.client import Client
from plugins.kubernetes.failures import SERVER_HINT, Busy, Expired, Forbidden, failure, read_status
from plugins.kubernetes.kinds import Resource
from plugins.kubernetes.objects import Event, Listing, ListMeta, Page, Versioned


class Keyed(Protocol):
    """What a shelf keeps."""

    @property
    def key(self) -> tuple[str, ...]:
        """Its identity; the last two parts are namespace and name."""


T = TypeVar("T", bound=Keyed)
_PATIENCE = 8
"""Objects between two looks at the clock."""
_LINE_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True)
class Timing:
    """How long what may take."""

    watch_s: float = 270.0
    """A watch is asked to end after about so long, a tenth more or less: not all at once."""
    silence_s: float = 75.0
    """Bookmarks come once a minute; three were seen in 70 s."""
    first_pause_s: float = 1.0
    last_pause_s: float = 30.0
    denied_pause_s: float = 30.0
    page: int = 500
    """Objects in a page."""


@dataclass(frozen=True, slots=True)
class Whole(Generic[T]):
    """How a page of a kind is read in one go."""

    decoder: msgspec.json.Decoder[Page[Any]]
    made: Callable[[Any], T]


class Shelf(Generic[T]):
    """The objects of one kind, of all the namespaces that are read."""

    def __init__(
        self,
        read: Callable[[msgspec.Raw], T],
        changed: Callable[[T | None, T | None], None],
        whole: Whole[T] | None = None,
    ) -> None:
        self.items: dict[tuple[str, ...], T] = {}
        self.whole = whole
        self.broken = 0
        """Objects that could not be understood, since the beginning."""
        self._read = read
        self._changed = changed

    def put(self, data: msgspec.Raw) -> tuple[str, ...] | None:
        """Take an object; return its key, None when it cannot be understood."""
        return self._put(self._read, data)

    def put_decoded(self, item: Any) -> tuple[str, ...] | None:
        """Take an object of `whole`; return its key, None when it cannot be understood."""
        assert self.whole is not None
        return self._put(self.whole.made, item)

    def _put(self, read: Callable[[Any], T], data: Any) -> tuple[str, ...] | None:
        try:
            new = read(data)
        except (msgspec.MsgspecError, ValueError):
            self.broken += 1
            return None
        old = self.items.get(new.key)
        if old != new:
            self.items[new.key] = new
            self._changed(old, new)
        return new.key

    def remove(self, data: msgspec.Raw) -> None:
        """Take that an object is gone."""
        try:
            self.drop(self._read(data).key)
        except (msgspec.MsgspecError, ValueError):
            self.broken += 1

    def drop(self, key: tuple[str, ...]) -> None:
        """Take that the object of a key is gone."""
        old = self.items.pop(key, None)
        if old is not None:
            self._changed(old, None)

    def keep_only(self, namespace: str | None, listed: set[tuple[str, ...]]) -> None:
        """Drop what a whole list (of one namespace, or None: of all) did not name."""
        gone = [key for key in self.items if key not in listed and (namespace is None or key[-2] == namespace)]
        for key in gone:
            self.drop(key)


class Mirror(Generic[T]):
    """Lists and watches one path, for ever."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str | None,
        shelf: Shelf[T],
        timing: Timing,
        news: Callable[[], None] = lambda: None,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.error: QuarterdeckError | None = None
        """Why what is shown may be old; None: it is as the server has it."""
        self.listed = False
        """Whether it was listed at least once."""
        self.tried = asyncio.Event()
        """Set when the first list has come or failed."""
        self.lists = 0
        self._client = client
        self._path = resource.path(namespace)
        self._shelf = shelf
        self._timing = timing
        self._news = news
        self._rng = rng
        self._version: str | None = None
        """Of what is on the shelf; None: nothing, or it has expired."""
        self._last: msgspec.Raw | None = None
        """What came since, whose version nobody needed yet."""
        self._failures = 0

    async def run(self) -> None:
        """Keep the shelf as the server is, until cancelled. Raises Forbidden when that is not allowed."""
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
            except Forbidden:
                self.tried.set()
                raise
            except Expired:
                self._version = self._last = None
                if self._failures:
                    await self._pause(None)
                self._failures += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, this kind is tried again and the rest lives
                told = _told(error, self.resource.name)
                if self._failures or not self.listed or isinstance(told, TimedOut | Denied):
                    self.error = told  # else a connection that broke once: the next try may well mend it
                    self._news()
                self.tried.set()
                await self._pause(told)

    async def _pause(self, error: QuarterdeckError | None) -> None:
        timing = self._timing
        first, last = timing.first_pause_s, timing.last_pause_s
        if isinstance(error, Denied | Unsupported):
            first, last = timing.denied_pause_s, 10 * timing.denied_pause_s
        seconds = min(first * 2.0 ** min(self._failures, 16), last)
        if isinstance(error, Busy) and error.retry_after_s is not None:
            seconds = max(seconds, error.retry_after_s)
        self._failures += 1
        await asyncio.sleep(seconds * (0.75 + 0.5 * self._rng()))

    def _well(self) -> None:
        ill, self.error = self.error is not None, None
        self.tried.set()
        if ill:
            self._news()

    # ---- list

    async def _list(self) -> None:
        self.lists += 1
        try:
            version = await self.fetch()
        except TimedOut as late:
            await self._list_whole({"resourceVersion": "0"})
            self.listed = True
            raise TimedOut(
                f"{self.resource.name} are as the API server's cache has them, which may be old: {late.what}",
                self._client.where,
                f"is etcd well? {SERVER_HINT}",
            ) from None
        self._version = version
        self.listed = True
        self._well()

    def put(self, body: bytes) -> None:
        """Take one object that was asked for by name."""
        self._shelf.put(msgspec.Raw(body))

    async def fetch(self, fields: Mapping[str, str] | None = None) -> str:
        """Bring all of it that has these fields to the shelf, as the server has it now. Raises SourceError."""
        try:
            return await self._list_pages(fields or {})
        except Expired:
            # A page's token grew too old: the rest is to be had only as of now, which fits no single version.
            return await self._list_whole(fields or {})

    async def _list_pages(self, fields: Mapping[str, str]) -> str:
        params = {**fields, "limit": str(self._timing.page)}
        listed: set[tuple[str, ...]] = set()
        while True:
            page = await self._take(await self._client.get(self._path, params), listed)
            token = page.continue_
            if not token:
                self._shelf.keep_only(self.namespace, listed)
                return page.resource_version
            params["continue"] = token

    async def _list_whole(self, params: Mapping[str, str]) -> str:
        listed: set[tuple[str, ...]] = set()
        page = await self._take(await self._client.get(self._path, params), listed)
        self._shelf.keep_only(self.namespace, listed)
        return page.resource_version

    async def _take(self, body: bytes, listed: set[tuple[str, ...]]) -> ListMeta:
        """Bring a page to the shelf; return what stands above it."""
        page, put = self._decoded(body)
        pace = Pace()
        for count, item in enumerate(page.items or (), 1):
            key = put(item)
            if key is not None:
                listed.add(key)
            if count % _PATIENCE == 0:
                await pace.breathe()
        await asyncio.sleep(0)
        return page.metadata

    def _decoded(self, body: bytes) -> tuple[Listing | Page[Any], Callable[[Any], tuple[str, ...] | None]]:
        """Return a page, and what takes its items; one by one where one of them is broken."""
        whole = self._shelf.whole
        if whole is not None:
            try:
                return whole.decoder.decode(body), self._shelf.put_decoded
            except msgspec.MsgspecError:
                pass
        return _listing(body, self._path), self._shelf.put

    # ---- watch

    async def _watch(self) -> None:
        """Follow one watch to its end. Raises Expired, and SourceError when it breaks."""
        loop = asyncio.get_running_loop()
        self._note_version()
        length = self._timing.watch_s * (0.9 + 0.2 * self._rng())
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(max(round(length), 1)),
        }
        started, seen = loop.time(), False
        async with self._client.stream(self._path, params, total_s=length + 30.0) as (_status, pieces):
            self._well()
            async for line in self._lines(pieces):
                self._event(line)
                if not seen:
                    seen, self._failures = True, 0
        if not seen and loop.time() - started < 1.0:
            raise BadAnswer("a watch ends as soon as it begins", self._client.where, SERVER_HINT)
        self._failures = 0

    def _note_version(self) -> None:
        """Take the version of the last object that came: a watch goes on from there."""
        last, self._last = self._last, None
        if last is not None:
            self._version = _version.decode(last).metadata.resource_version or self._version

    async def _lines(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield whole lines. Raises Expired after too long a silence: nobody knows what was missed."""
        rest = bytearray()
        while True:
            try:
                async with asyncio.timeout(self._timing.silence_s):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise Expired(f"no word for {self._timing.silence_s:.0f} s", self._client.where) from None
            rest += piece
            if b"\n" not in piece:
                if len(rest) > _LINE_LIMIT:
                    raise BadAnswer("an endless line in a watch", self._client.where, SERVER_HINT)
                continue
            *lines, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in lines:
                if line:
                    yield line

    def _event(self, line: bytes) -> None:
        event = _event.decode(line)
        if event.type == "ERROR":
            raise _refusal(bytes(event.object), self._client.where)
        if event.type == "DELETED":
            self._shelf.remove(event.object)
        elif event.type in ("ADDED", "MODIFIED"):
            self._shelf.put(event.object)
        self._last = event.object


_event = msgspec.json.Decoder(Event)
_version = msgspec.json.Decoder(Versioned)
_page = msgspec.json.Decoder(Listing)


def _listing(body: bytes, path: str) -> Listing:
    try:
        return _page.decode(body)
    except msgspec.MsgspecError as error:
        raise BadAnswer(f"not a list: {error}", path, "is there a proxy that answers in the server's place?") from None


def _refusal(data: bytes, where: str) -> SourceError:
    """Return the error that an ERROR event stands for: the answer itself had status 200."""
    return failure(read_status(data).code or 500, data, {}, where)


def _told(error: Exception, what: str) -> QuarterdeckError:
    if isinstance(error, QuarterdeckError):
        return error
    if isinstance(error, msgspec.MsgspecError):
        return BadAnswer(f"a watch of {what} cannot be read: {error}", "", SERVER_HINT)
    return BadAnswer(f"unforeseen {type(error).__name__} while reading {what}: {error}", "", "a fault of the program")
