"""Ask services over HTTP: dashboards, REST servers, Prometheus. The only door to aiohttp.

One `HttpClient` speaks to one service. Whatever goes wrong is a SourceError of the true kind:

    no such host, refused, cut off, 502 to 504   Unreachable, ConnectionLost
    no answer in time                            TimedOut
    401, 403, a certificate that is not trusted  Denied
    404, 405, 501                                NotThere
    any other status, an answer over its limit   HttpFailure, BadAnswer

Certificates are always verified, redirections are not followed (they would carry the token elsewhere), proxies of the
environment are not used, cookies are not kept. A service that listens on another host only is reached through a
`Tunnel`. aiohttp is imported when the first question is asked.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from console.errors import (
    BadAnswer,
    ConfigError,
    ConnectionLost,
    Denied,
    SourceError,
    Unreachable,
    Unsupported,
)
from console.text import clean
from console.transport.http_failures import Translated, gist
from console.transport.secret import Token

if TYPE_CHECKING:
    import aiohttp

    from console.transport.tunnel import Tunnel

# Nothing of a library may reach the terminal that the console draws on.
logging.getLogger("aiohttp").addHandler(logging.NullHandler())

Query = Sequence[tuple[str, str | int]]
"""Names and values, not quoted yet; a name may come more than once."""
LIMIT_BYTES = 32 << 20
_ERROR_BYTES = 16 << 10
"""How much of the body of a failure is read for its words."""
_PIECE_BYTES = 64 << 10
_CONNECTIONS = 8


class NotThere(Unsupported):
    """The service has no such path, or nothing under it (404, 405, 501); `words` is what it said."""

    def __init__(self, what: str, where: str = "", hint: str = "", *, words: str = "") -> None:
        super().__init__(what, where, hint)
        self.words = words


class HttpFailure(BadAnswer):
    """The service answered with an error of its own; `status` is its code, `words` what it said."""

    def __init__(self, what: str, where: str = "", hint: str = "", *, status: int = 0, words: str = "") -> None:
        super().__init__(what, where, hint)
        self.status = status
        self.words = words


class Body:
    """An answer that is read piece by piece as it comes."""

    def __init__(self, client: HttpClient, response: aiohttp.ClientResponse) -> None:
        self._client = client
        self._response = response

    async def read(self, timeout_s: float, size: int = _PIECE_BYTES) -> bytes:
        """Return what came, at most `size` bytes; empty at the end. Raises SourceError; TimedOut when nothing comes."""
        with self._client.translated(timeout_s):
            async with asyncio.timeout(timeout_s):
                return await self._response.content.read(size)


class HttpClient:
    """Asks one service. Connections are made when they are needed and kept for the next question."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        token: Token | None = None,
        token_header: str | None = None,
        ca_file: str | None = None,
        tunnel: Tunnel | None = None,
        words: Callable[[bytes], str] | None = None,
        first_only: bool = False,
    ) -> None:
        """`url` may have a path, under which all others lie, or be `unix:/path` of a socket on this host.

        `token_header`: where the token goes, bare; None: a bearer's, in Authorization. `words`: what the body of a
        failure says, where `gist` would not find it. `first_only`: it may answer twice (`http_first`). Does no I/O;
        ConfigError when the URL cannot be one.
        """
        self._unix = socket_path(url)
        self.url = checked_url(url) if self._unix is None else "http://localhost"
        shown = self.url if self._unix is None else f"unix:{clean(self._unix)}"
        self.name = f"{shown} through {tunnel.name}" if tunnel else shown
        """How errors and people call it."""
        if tunnel is not None and self._unix is not None:
            hint = "let the service listen on a port of that host too, and name that"
            raise ConfigError("a socket of another host cannot be reached", self.name, hint)
        if tunnel is not None and self.url.startswith("https:"):
            hint = "name the plain port that the service has on that host, the line itself is encrypted by SSH"
            raise ConfigError("https cannot go through a host", self.name, hint)
        self._timeout_s = timeout_s
        self._token = token
        self._token_header = token_header
        self._words = words or gist
        self._first_only = first_only
        self._ca_file = ca_file
        self._tunnel = tunnel
        self._session: aiohttp.ClientSession | None = None
        self._socket: str | None = None
        """That the session goes through: the tunnel's, or the service's own."""
        self._closed = False

    async def get(
        self,
        path: str,
        query: Query = (),
        *,
        timeout_s: float | None = None,
        limit_bytes: int = LIMIT_BYTES,
        method: str = "GET",
    ) -> bytes:
        """Return the body of a 2xx answer. `path` is quoted already. Raises SourceError as the module says.

        `method`: what is asked, without a body; anything but GET changes something there.
        """
        patience = timeout_s or self._timeout_s
        with self.translated(patience):
            async with asyncio.timeout(patience), self._answer(path, query, method) as response:
                data = await self._read(response, limit_bytes)
                if data is None:
                    hint = "ask for less, or raise the limit"
                    raise BadAnswer(f"an answer of more than {limit_bytes >> 20} MiB to {path}", self.name, hint)
                return data

    @asynccontextmanager
    async def open(self, path: str, query: Query = ()) -> AsyncIterator[Body]:
        """Open a 2xx answer and read it as it comes. Raises SourceError as the module says."""
        async with AsyncExitStack() as stack:
            with self.translated(self._timeout_s):
                async with asyncio.timeout(self._timeout_s):
                    response = await stack.enter_async_context(self._answer(path, query))
            # What is not read by then is not wanted: the connection cannot serve anybody else.
            stack.callback(response.close)
            yield Body(self, response)

    async def close(self) -> None:
        """Let go of all connections. Never raises."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._tunnel is not None:
            await self._tunnel.close()

    def translated(self, timeout_s: float) -> Translated:
        """Return a context that raises what goes wrong inside of it as a SourceError."""
        return Translated(self.name, timeout_s)

    @asynccontextmanager
    async def _answer(self, path: str, query: Query, method: str = "GET") -> AsyncIterator[aiohttp.ClientResponse]:
        session = await self._ready()
        from yarl import URL

        target = f"{self.url}{path}?{urlencode(query)}" if query else f"{self.url}{path}"
        headers: dict[str, str] = {}
        if self._token is not None:
            value = self._token.read()
            headers = {self._token_header: value} if self._token_header else {"Authorization": f"Bearer {value}"}
        url = URL(target, encoded=True)
        async with session.request(method, url, headers=headers, allow_redirects=False) as response:
            if not 200 <= response.status < 300:
                words = await self._read(response, _ERROR_BYTES, cut=True)
                raise self._failure(path, response.status, self._words(words or b""))
            yield response

    @staticmethod
    async def _read(response: aiohttp.ClientResponse, limit_bytes: int, *, cut: bool = False) -> bytes | None:
        """Return the body; over the limit its beginning when `cut`, else None."""
        data = bytearray()
        while piece := await response.content.read(_PIECE_BYTES):
            data += piece
            if len(data) > limit_bytes:
                return bytes(data[:limit_bytes]) if cut else None
        return bytes(data)

    def _failure(self, path: str, status: int, words: str) -> SourceError:
        said = f"{status} for {path}" + (f": {words}" if words else "")
        if status in (401, 403):
            hint = "name the right token in the configuration" if self._token else "it wants a token: name one"
            return Denied(f"refused: {said}", self.name, hint)
        if status in (404, 405, 501):
            return NotThere(f"no such thing: {said}", self.name, words=words)
        if status in (502, 503, 504):
            return Unreachable(f"the service behind it does not answer: {said}", self.name, "is that service running?")
        hint = "name the place that it redirects to" if status < 400 else ""
        return HttpFailure(f"answered {said}", self.name, hint, status=status, words=words)

    async def _ready(self) -> aiohttp.ClientSession:
        """Return the session, a new one when the tunnel had to be dug anew."""
        if self._closed:
            raise ConnectionLost("the console has closed this connection", self.name, "start the console again")
        socket = await self._tunnel.socket() if self._tunnel else self._unix
        if self._session is not None and socket != self._socket:
            session, self._session = self._session, None
            await session.close()
        if self._session is None:
            try:
                # A fifth of a second: in a thread, and the screen goes on.
                await asyncio.to_thread(importlib.import_module, "aiohttp")
            except ImportError:
                hint = "install it: pip install 'quarterdeck[http]'"
                raise Unsupported("the package aiohttp is not installed here", self.name, hint) from None
            if self._session is None:  # nobody was quicker
                self._session, self._socket = self._make(socket), socket
        return self._session

    def _make(self, socket: str | None) -> aiohttp.ClientSession:
        import aiohttp

        connector: aiohttp.BaseConnector
        if socket is not None:
            connector = aiohttp.UnixConnector(socket, limit=_CONNECTIONS)
        else:
            connector = aiohttp.TCPConnector(ssl=self._trust(), limit=_CONNECTIONS)
        if self._first_only:
            from console.transport.http_first import FirstAnswer

            connector._factory = partial(FirstAnswer, loop=asyncio.get_running_loop())  # type: ignore[assignment]
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "quarterdeck", "Accept": "application/json, text/plain"},
            timeout=aiohttp.ClientTimeout(total=None),
        )

    def _trust(self) -> ssl.SSLContext | bool:
        if self._ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ValueError) as error:
            what = f"no certificates can be read from {clean(self._ca_file)}: {clean(str(error))}"
            raise Unsupported(what, self.name, "ca_file must name a PEM file that you may read") from None


def checked_url(url: str) -> str:
    """Return the URL without a slash at its end. ConfigError when no service can be reached by it."""
    shown = clean(url, limit=200)
    example = "for example http://127.0.0.1:8265"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError("this is no URL", shown, example) from None
    if parts.username is not None or parts.password is not None:
        at = f"{parts.scheme}://{parts.hostname}"
        raise ConfigError("a URL holds no user and no password", clean(at), "name them by token")
    odd = any(not "!" <= char <= "~" for char in url)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or odd:
        raise ConfigError("this is no URL of a service", shown, example)
    if parts.query or parts.fragment:
        raise ConfigError("the URL of a service ends with its path", shown, example)
    return url.rstrip("/")


def socket_path(url: str) -> str | None:
    """Return the path of `unix:/path`, None for another URL. ConfigError when the path cannot be one."""
    if not url.startswith("unix:"):
        return None
    path = url.removeprefix("unix:").removeprefix("//")
    if not path.startswith("/") or not path.isprintable():
        example = "for example unix:/run/slurmrestd/slurmrestd.socket"
        raise ConfigError("the path of a socket is absolute", clean(url, limit=200), example)
    return path


def address(url: str) -> tuple[str, int]:
    """Return host and port that a checked URL leads to."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
