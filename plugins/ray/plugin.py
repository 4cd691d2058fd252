"""The plugin itself: is there a Ray here, and how is it opened."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from console.errors import ConfigError, SourceError
from console.plugin import API_VERSION, Backend, Detection, Settings, Site
from console.text import clean
from plugins.ray.settings import DEFAULT_URL, RaySettings

_PORT = 8265
_LOOK_S = 0.15
_ANSWER_BYTES = 64 << 10


class RayPlugin:
    """Finds the Ray that the environment names or this host runs, and opens any other by its settings."""

    api_version = API_VERSION
    name = "ray"
    summary = "Ray clusters: nodes, jobs and their output from the dashboard, here or through SSH"
    settings_type: type[Settings] = RaySettings

    async def detect(self, site: Site) -> list[Detection]:
        """See `Plugin`: the environment names a dashboard, or one answers on this host's loopback."""
        for variable in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
            url = _url(site.environ.get(variable, ""))
            if url is not None:
                settings = {"url": url} | _token(site.environ)
                return [Detection(cluster="ray", evidence=f"{variable} names {clean(url)}", settings=settings)]
        if said := await _look():
            return [Detection(cluster="ray", evidence=f"{said} at {DEFAULT_URL}", settings=_token(site.environ))]
        return []

    def open(self, settings: Any, site: Site) -> Backend:
        """See `Plugin`."""
        from plugins.ray.backend import RayBackend

        if not isinstance(settings, RaySettings):
            raise ConfigError("these are not settings of Ray", site.cluster, 'kind = "ray"')
        return RayBackend(settings, site)


def _url(address: str) -> str | None:
    """Return the URL of a dashboard out of what Ray's own commands take, None when it names none.

    `http://head:8265` is one; `ray://head:10001` and `head:6379` are other ports of the host that has it.
    """
    scheme, found, rest = address.strip().rpartition("://")
    if scheme in ("http", "https"):
        return f"{scheme}://{rest.rstrip('/')}" if rest else None
    host = rest.partition("/")[0].rpartition(":")[0] if scheme == "ray" or not found else ""
    return f"http://{host}:{_PORT}" if host else None


def _token(environ: Mapping[str, str]) -> dict[str, str]:
    """Return where the token is that Ray's own clients would send, when they would."""
    if environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return {}
    if "RAY_AUTH_TOKEN" in environ:
        return {"token": "env:RAY_AUTH_TOKEN"}
    return {"token": f"file:{environ.get('RAY_AUTH_TOKEN_PATH') or '~/.ray/auth_token'}"}


async def _look() -> str | None:
    """Return what the loopback says of itself when it is a Ray."""
    try:
        async with asyncio.timeout(_LOOK_S):
            answer = await _ask("/api/version")
            if b'"ray_version"' in answer:
                from plugins.ray import wire

                version = wire.one(answer, wire.Version, "its version").ray_version
                return f"Ray {clean(version, limit=64)}"
            # It may want a token before it tells its version.
            if b'"authentication_mode"' in await _ask("/api/authentication_mode"):
                return "Ray that wants a token"
    except (OSError, TimeoutError, SourceError):
        return None
    return None


async def _ask(path: str) -> bytes:
    """Return the body of an answer of the loopback. A few lines, for the HTTP client costs more time than there is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", _PORT)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{_PORT}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        answer = bytearray()
        while len(answer) < _ANSWER_BYTES and (piece := await reader.read(_ANSWER_BYTES)):
            answer += piece
        return bytes(answer).partition(b"\r\n\r\n")[2]
    finally:
        writer.transport.abort()
