"""One API server: requests as bytes in and bytes out.

The official client gives TLS, proxies, connections and its kubeconfig's odder logins; its models and its Watch are
never used (they cost fifty times as much). It is imported when the first request is made, in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

import console
from console.errors import BadAnswer, ConfigError, Denied, SourceError
from console.text import clean
from console.transport.base import Transport
from plugins.kubernetes.credentials import Credentials, Secret
from plugins.kubernetes.failures import failure, in_doubt, no_connection
from plugins.kubernetes.kubeconfig import INSTALL_HINT, Access

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

MAX_ANSWER = 1 << 30
REFUSED_PAUSE_S = 20.0
"""A login that was refused is not tried for so long: every watch would try it, and that locks accounts."""
_AGENT = f"quarterdeck/{console.__version__}"
JSON = "application/json"


class Client:
    """Asks one API server as one user. Every call raises SourceError when there is no usable answer."""

    def __init__(
        self, find: Callable[[], Access], transport: Transport, now: Callable[[], float], timeout_s: float
    ) -> None:
        self.timeout_s = timeout_s
        self.requests = 0
        """How many requests were made so far."""
        self._find = find
        self._transport = transport
        self._now = now
        self._credentials: Credentials | None = None
        self._api: tuple[ApiClient, Secret] | None = None
        self._refused: tuple[float, SourceError] | None = None
        self._lock = asyncio.Lock()
        self._retired: list[ApiClient] = []

    @property
    def where(self) -> str:
        """The server's address for errors; the kubeconfig where none is known yet."""
        return clean(self._credentials.access.server) if self._credentials else "kubeconfig"

    def access(self) -> Access:
        """Return how the server is reached; a kubeconfig that cannot be used is a BadAnswer."""
        return self._logged_in().access

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        accept: str = JSON,
        timeout_s: float | None = None,
    ) -> bytes:
        """Return the body of an answer of 2xx."""
        return await self._whole("GET", path, params, accept, None, timeout_s)

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Create something that only answers (a review) and return the answer."""
        return await self._whole("POST", path, None, JSON, body, None)

    async def send(self, method: str, path: str, body: str, timeout_s: float) -> bytes:
        """Change something, once: a PATCH (JSON patch), POST or DELETE with a body of JSON. Return the answer."""
        try:
            return await self._whole(method, path, None, JSON, msgspec.json.decode(body), timeout_s)
        except SourceError as error:
            raise in_doubt(error) from None

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], *, total_s: float | None
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Open an answer that has no end yet: its status (2xx) and its body in pieces as they come.

        The head of the answer must come in `timeout_s`, the whole in `total_s` (None: for ever).
        """
        response = await self._respond("GET", path, params, "*/*", None, total_s)
        try:
            yield response.status, self._pieces(response)
        finally:
            response.close()

    async def close(self) -> None:
        """Close every connection."""
        if self._credentials is not None:
            await self._credentials.close()
        clients, self._retired = self._retired, []
        if self._api is not None:
            clients.append(self._api[0])
            self._api = None
        for client in clients:
            await client.close()

    # ---- one request

    async def _whole(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        accept: str,
        body: Any,
        timeout_s: float | None,
    ) -> bytes:
        limit = self.timeout_s if timeout_s is None else timeout_s
        response = await self._respond(method, path, params, accept, body, limit)
        try:
            parts, size = [], 0
            async for part in self._pieces(response):
                parts.append(part)
                size += len(part)
                if size > MAX_ANSWER:
                    raise BadAnswer(f"an answer of more than {MAX_ANSWER >> 20} MiB", self.where, f"asked: {path}")
            return b"".join(parts)
        finally:
            response.release()

    async def _respond(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        accept: str,
        body: Any,
        total_s: float | None,
    ) -> Any:
        """Return an open aiohttp response of 2xx; a refused login is tried once more with a fresh one."""
        for last in (False, True):
            api, secret, credentials = await self._session()
            try:
                response = await self._send(api, secret, method, path, params, accept, body, total_s)
            except _transport_errors() as error:
                access = credentials.access
                raise no_connection(error, self.where, origin=access.origin, proxy=access.proxy) from None
            if response.status < 300:
                return response
            code, headers = response.status, dict(response.headers)
            try:
                text = await self._words(response)
            finally:
                response.release()
            refusal = failure(code, text, headers, self.where, credentials.access.user)
            if code == 401:
                credentials.refused(secret)
                if not last and await self._renewed(credentials):
                    continue
                self._refused = (self._now(), refusal)
            raise refusal
        raise AssertionError("unreachable")

    async def _send(
        self,
        api: ApiClient,
        secret: Secret,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        accept: str,
        body: Any,
        total_s: float | None,
    ) -> Any:
        import aiohttp

        access = self._logged_in().access
        headers = {"Accept": accept, "User-Agent": _AGENT, **access.impersonate}
        if body is not None:
            headers["Content-Type"] = "application/json-patch+json" if method == "PATCH" else JSON
        if secret.authorization is not None:
            headers["Authorization"] = secret.authorization
        url = access.server + path + (f"?{urlencode(params)}" if params else "")
        self.requests += 1
        timeout: Any = aiohttp.ClientTimeout(total=total_s, connect=self.timeout_s)
        async with asyncio.timeout(self.timeout_s):
            answer = await api.call_api(
                method,
                url,
                headers,
                body,
                _request_timeout=timeout,
                _preload_content=False,
            )
        return answer.response

    async def _words(self, response: Any) -> bytes:
        """Return the body of a refusal, as far as it comes."""
        with contextlib.suppress(*_transport_errors()):
            async with asyncio.timeout(self.timeout_s):
                return bytes(await response.content.read(1 << 20))
        return b""

    async def _pieces(self, response: Any) -> AsyncIterator[bytes]:
        access = self._logged_in().access
        try:
            async for part in response.content.iter_any():
                yield part
        except _transport_errors() as error:
            raise no_connection(error, self.where, origin=access.origin, proxy=access.proxy) from None

    # ---- the connection

    def _logged_in(self) -> Credentials:
        if self._credentials is None:
            self._credentials = Credentials(self._read(), self._transport, self._now)
        return self._credentials

    def _read(self) -> Access:
        try:
            return self._find()
        except ConfigError as error:
            raise BadAnswer(error.what, error.where, error.hint) from None

    async def _renewed(self, credentials: Credentials) -> bool:
        """Whether another try may go better: a login that renews itself, or a kubeconfig that changed meanwhile."""
        if self._read() != credentials.access:
            await self._log_in_anew()
            return True
        return credentials.renewable

    async def _log_in_anew(self) -> Credentials:
        """Take what the kubeconfig says now."""
        await self._retire()
        if self._credentials is not None:
            await self._credentials.close()
        self._credentials = Credentials(self._read(), self._transport, self._now)
        return self._credentials

    async def _session(self) -> tuple[ApiClient, Secret, Credentials]:
        async with self._lock:
            credentials = self._logged_in()
            if self._refused is not None:
                at, error = self._refused
                if 0 <= self._now() - at < REFUSED_PAUSE_S and self._read() == credentials.access:
                    raise error
                self._refused = None
                if self._read() != credentials.access:
                    credentials = await self._log_in_anew()
            await _import_client()
            secret = await credentials.secret()
            held = self._api
            if held is None or (held[1].certificate, held[1].key) != (secret.certificate, secret.key):
                await self._retire()
                held = self._api = (_open(credentials.access, secret), secret)
            return held[0], secret, credentials

    async def _retire(self) -> None:
        """Leave the connections of an old identity to the streams that run over them, until `close`."""
        if self._api is not None:
            self._retired.append(self._api[0])
            self._api = None
        while len(self._retired) > 1:
            await self._retired.pop(0).close()


def _transport_errors() -> tuple[type[BaseException], ...]:
    import aiohttp

    return (aiohttp.ClientError, OSError)


async def _import_client() -> None:
    """Import the official client without holding up the loop for the third of a second that it takes."""
    if "kubernetes.aio" not in sys.modules:
        try:
            await asyncio.to_thread(importlib.import_module, "kubernetes.aio")
        except ImportError as error:
            what = f"the package kubernetes cannot be imported: {clean(str(error))}"
            raise BadAnswer(what, "", INSTALL_HINT) from None


def _open(access: Access, secret: Secret) -> ApiClient:
    """Return a client of the official package. Keys that are not in files are in one only while they are loaded."""
    from kubernetes.aio.client import ApiClient, Configuration

    try:
        with tempfile.TemporaryDirectory(prefix="quarterdeck-") as folder:
            files: dict[str, Any] = {}
            if secret.certificate is not None and secret.key is not None:
                for name, data in (("cert_file", secret.certificate), ("key_file", secret.key)):
                    path = Path(folder, name)
                    path.write_bytes(data)
                    path.chmod(0o600)
                    files[name] = str(path)
            configuration = Configuration(
                host=access.server,
                ca_cert_data=access.ca.decode("ascii", "ignore") if access.ca else None,
                verify_ssl=access.verify,
                tls_server_name=access.tls_server_name,
                proxy=access.proxy,
                connection_pool_maxsize=0,
                **files,
            )
            return ApiClient(configuration)
    except (OSError, ValueError) as error:
        what = f"its certificates cannot be used: {clean(str(error), limit=200)}"
        raise Denied(what, access.origin, "compare certificate-authority and client-certificate there") from None
