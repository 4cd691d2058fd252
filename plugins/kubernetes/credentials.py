"""Who we are: tokens and certificates, kept fresh.

Exec plugins are run by ourselves: without standard input, so that none of them reads the console's keys; once at a
time; again when what they gave expires and when the server refuses it.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from console.errors import ConfigError, Denied, SourceError, TimedOut, Unsupported
from console.text import clean
from console.transport.base import Transport
from plugins.kubernetes.failures import LOGIN_HINT
from plugins.kubernetes.kubeconfig import Access, ExecPlugin

EXEC_TIMEOUT_S = 60.0
TOKEN_FILE_S = 60.0
"""After so long a token file is read again, as client-go does: kubelet and agents rotate them."""
SKEW_S = 30.0
"""Clocks differ, and a request takes a while."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What proves who we are, for a while."""

    authorization: str | None = field(default=None, repr=False)
    """The whole header."""
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    expires_at: float | None = None
    """Unix seconds; None: until it is refused."""


class _ExecStatus(msgspec.Struct, frozen=True):
    token: str = ""
    certificate: str = msgspec.field(name="clientCertificateData", default="")
    key: str = msgspec.field(name="clientKeyData", default="")
    expires: str | None = msgspec.field(name="expirationTimestamp", default=None)


class _ExecCredential(msgspec.Struct, frozen=True):
    kind: str
    api_version: str = msgspec.field(name="apiVersion")
    status: _ExecStatus


class Credentials:
    """Gives the secret of the moment. One for each API server; who asks meanwhile waits for the same answer."""

    def __init__(self, access: Access, transport: Transport, now: Callable[[], float]) -> None:
        self.access = access
        self._transport = transport
        self._now = now
        self._secret: Secret | None = None
        self._renewing: asyncio.Task[Secret] | None = None

    @property
    def renewable(self) -> bool:
        """Whether asking again may give something else."""
        access = self.access
        return bool(access.exec_plugin or access.token_file or access.auth_provider or access.certificate_files)

    async def secret(self) -> Secret:
        """Return a secret that has not expired. Raises Denied, TimedOut.

        Whoever gives up waiting does not end a plugin that others wait for, or that a person is just answering.
        """
        held = self._secret
        if held is not None and (held.expires_at is None or held.expires_at > self._now()):
            return held
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._fresh(), name="logging in to Kubernetes")
            self._renewing.add_done_callback(self._renewed)
        return await asyncio.shield(self._renewing)

    def _renewed(self, task: asyncio.Task[Secret]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._secret = task.result()

    async def close(self) -> None:
        """End a plugin that still runs."""
        if self._renewing is not None and not self._renewing.done():
            self._renewing.cancel()
            await asyncio.wait({self._renewing})

    def refused(self, secret: Secret) -> None:
        """Forget a secret that the server did not take."""
        if self._secret is secret:
            self._secret = None

    async def _fresh(self) -> Secret:
        access = self.access
        if access.exec_plugin is not None:
            return await self._run(access.exec_plugin)
        certificate, key = _certificate(access)
        authorization: str | None = None
        expires_at = None
        if access.token_file is not None:
            authorization, expires_at = self._read_token(access), self._now() + TOKEN_FILE_S
        elif access.token is not None:
            authorization = f"Bearer {access.token}"
        elif access.basic is not None:
            authorization = "Basic " + base64.b64encode(":".join(access.basic).encode()).decode()
        elif access.auth_provider is not None:
            authorization = await _from_provider(access)
        elif access.certificate_files is not None:
            expires_at = self._now() + TOKEN_FILE_S
        return Secret(authorization, certificate, key, expires_at)

    def _read_token(self, access: Access) -> str:
        assert access.token_file is not None
        try:
            token = access.token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            what = f"its token file cannot be read: {clean(str(access.token_file))}"
            raise Denied(f"{what}: {getattr(error, 'strerror', error)}", access.origin, LOGIN_HINT) from None
        if not token:
            raise Denied(f"its token file is empty: {clean(str(access.token_file))}", access.origin, LOGIN_HINT)
        return f"Bearer {token}"

    async def _run(self, plugin: ExecPlugin) -> Secret:
        command = _command(plugin)
        where = f"{clean(plugin.command)} of {self.access.origin}"
        if plugin.always_asks:
            raise Denied("its exec plugin wants a terminal of its own", where, LOGIN_HINT)
        env = {**plugin.env, "KUBERNETES_EXEC_INFO": _exec_info(plugin, self.access)}
        try:
            done = await self._transport.run(
                [command, *plugin.args], timeout_s=EXEC_TIMEOUT_S, env=env, limit_bytes=1 << 20
            )
        except TimedOut:
            raise TimedOut(f"its exec plugin does not end within {EXEC_TIMEOUT_S:.0f} s", where, LOGIN_HINT) from None
        except Unsupported:
            hint = plugin.install_hint or f"install {clean(plugin.command)}, or use another context"
            raise Denied("its exec plugin is not installed", where, hint) from None
        except SourceError as error:
            raise Denied(f"its exec plugin cannot be run: {error.what}", where, LOGIN_HINT) from None
        if done.exit_status in (126, 127) and not done.stdout.strip():
            hint = plugin.install_hint or f"install {clean(plugin.command)}, or use another context"
            raise Denied("its exec plugin cannot be run", where, hint)
        if done.exit_status != 0:
            lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
            said = clean(lines[-1].strip(), limit=300) if lines else "no word"
            raise Denied(f"its exec plugin failed with status {done.exit_status}: {said}", where, LOGIN_HINT)
        return _read_credential(done.stdout, plugin, where)


def _command(plugin: ExecPlugin) -> str:
    """Return the command; a relative path is relative to the kubeconfig, a bare name is looked for on PATH."""
    if "/" in plugin.command and not plugin.command.startswith("/"):
        return str(plugin.folder.absolute() / plugin.command)
    return plugin.command


def _exec_info(plugin: ExecPlugin, access: Access) -> str:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = {"server": access.server, "insecure-skip-tls-verify": not access.verify}
        if access.ca is not None:
            spec["cluster"]["certificate-authority-data"] = base64.b64encode(access.ca).decode()
        if access.tls_server_name:
            spec["cluster"]["tls-server-name"] = access.tls_server_name
        if access.proxy:
            spec["cluster"]["proxy-url"] = access.proxy
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    return msgspec.json.encode(info).decode()


def _read_credential(output: bytes, plugin: ExecPlugin, where: str) -> Secret:
    try:
        found = msgspec.json.decode(output, type=_ExecCredential)
    except (msgspec.DecodeError, ValueError) as error:
        raise Denied(f"its exec plugin gave no ExecCredential: {clean(str(error))}", where, LOGIN_HINT) from None
    if found.kind != "ExecCredential" or found.api_version != plugin.api_version:
        what = f"its exec plugin speaks {clean(found.api_version)}, {clean(plugin.api_version)} was asked for"
        raise Denied(what, where, "update the plugin, or apiVersion in the kubeconfig")
    status = found.status
    if not status.token and not (status.certificate and status.key):
        raise Denied("its exec plugin gave neither a token nor a certificate", where, LOGIN_HINT)
    return Secret(
        f"Bearer {status.token}" if status.token else None,
        status.certificate.encode() or None,
        status.key.encode() or None,
        _expiry(status.expires),
    )


def _expiry(text: str | None) -> float | None:
    if not text:
        return None
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp() - SKEW_S


def _certificate(access: Access) -> tuple[bytes | None, bytes | None]:
    if access.certificate_files is None:
        return access.certificate, access.key
    try:
        certificate, key = (path.read_bytes() for path in access.certificate_files)
    except OSError as error:
        what = f"its client certificate cannot be read: {clean(str(error.filename))}: {error.strerror}"
        raise Denied(what, access.origin, LOGIN_HINT) from None
    return certificate, key


async def _from_provider(access: Access) -> str:
    """Return what the official client makes of an `auth-provider` (oidc): it refreshes the token when it must."""
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_kube_config_from_dict

    provider: Mapping[str, Any] = access.auth_provider or {}
    config = {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "clusters": [{"name": "one", "cluster": {"server": access.server}}],
        "users": [{"name": "one", "user": {"auth-provider": dict(provider)}}],
    }
    configuration = Configuration()
    hint = f"{LOGIN_HINT}; auth-provider is old: an exec plugin takes its place"
    try:
        await load_kube_config_from_dict(config, client_configuration=configuration)
    except (ConfigException, ConfigError, ValueError, KeyError, OSError) as error:
        name = clean(str(provider.get("name", "")))
        raise Denied(f"auth-provider {name} gives no token: {clean(str(error))}", access.origin, hint) from None
    token = configuration.api_key.get("BearerToken")
    if not token:
        raise Denied(f"auth-provider {clean(str(provider.get('name', '')))} is not known", access.origin, hint)
    return str(token)
