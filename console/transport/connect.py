"""One SSH connection: socket, host key, login. The only door to asyncssh.connect."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import asyncssh
from asyncssh.encryption import get_default_encryption_algs, get_encryption_algs
from asyncssh.kex import get_default_kex_algs, get_kex_algs
from asyncssh.mac import get_default_mac_algs, get_mac_algs
from asyncssh.public_key import (
    get_certificate_algs,
    get_default_certificate_algs,
    get_default_public_key_algs,
    get_public_key_algs,
)

from console.errors import SourceError
from console.text import clean
from console.transport.dial import Dialler
from console.transport.failures import Attempt, connect_error
from console.transport.gate import Gate
from console.transport.hostkeys import HostKeys, KnownHosts, KnownKey
from console.transport.hostoptions import HostOptions
from console.transport.identities import Identities, Offer
from console.transport.openssh import matches

# Nothing of a library may reach the terminal that the console draws on.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())

_CLIENT_VERSION = "Quarterdeck"
_WINDOW_BYTES = 1 << 20
_PACKET_BYTES = 1 << 15


class Client(asyncssh.SSHClient):
    """Takes note of what the server shows before the login. Never trusts, never answers a prompt."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        self._attempt.shown_kind = key.get_algorithm()
        self._attempt.shown_key = key.public_data
        return False

    def validate_host_ca_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        self._attempt.shown_kind = f"certificate authority {key.get_algorithm()}"
        self._attempt.shown_key = key.public_data
        return False

    def auth_banner_received(self, msg: str, _lang: str) -> None:
        self._attempt.banner = clean((self._attempt.banner + msg)[:4096])


@dataclass
class Connector:
    """What all connections of a pool share."""

    gate: Gate
    timeout_s: float
    dialler: Dialler = field(default_factory=Dialler)
    known_hosts: KnownHosts = field(default_factory=KnownHosts)
    identities: Identities = field(default_factory=Identities)

    async def connect(
        self, options: HostOptions, tunnel: asyncssh.SSHClientConnection | None
    ) -> asyncssh.SSHClientConnection:
        """Return a logged-in connection. Raises a truthful SourceError, after `timeout_s` at the latest."""
        attempt = Attempt(options)
        timeout_s = min(self.timeout_s, options.connect_timeout_s or self.timeout_s)
        try:
            async with asyncio.timeout(timeout_s), self.gate.slot():
                return await self._connect(options, tunnel, attempt)
        except SourceError:
            raise
        except (TimeoutError, OSError, ValueError, asyncssh.Error) as error:
            raise connect_error(error, attempt, timeout_s) from None

    async def _connect(
        self, options: HostOptions, tunnel: asyncssh.SSHClientConnection | None, attempt: Attempt
    ) -> asyncssh.SSHClientConnection:
        known = self.known_hosts.lookup(options.known_hosts_files, options.known_as)
        if options.revoked_host_keys is not None:
            revoked = (*known.revoked, *self.known_hosts.revoked(options.revoked_host_keys))
            known = replace(known, revoked=revoked)
        attempt.known = known
        connection: socket.socket | None = None
        offer = Offer()
        try:
            if tunnel is None and options.proxy_command is None:
                connection = await self.dialler.dial(options)
            attempt.phase = "greeting"
            offer = await self.identities.offer(options)
            attempt.offer = offer
            established = await asyncssh.connect(
                options.hostname,
                options.port,
                config=None,
                sock=connection,
                tunnel=tunnel,
                proxy_command=_shell(options.proxy_command) if tunnel is None else None,
                client_factory=lambda: Client(attempt),
                client_version=_CLIENT_VERSION,
                username=options.user,
                known_hosts=(_keys(known.trusted), _keys(known.authorities), _keys(known.revoked)),
                host_key_alias=options.host_key_alias or options.hostname,
                server_host_key_algs=_host_key_algorithms(options, known),
                client_keys=offer.pairs or None,
                agent_path=None,
                public_key_auth=True,
                password_auth=False,
                kbdint_auth=False,
                gss_kex=False,
                gss_auth=options.gssapi,
                host_based_auth=False,
                kex_algs=algorithms(options.kex_algorithms, get_kex_algs(), get_default_kex_algs()),
                encryption_algs=algorithms(options.ciphers, get_encryption_algs(), _ciphers()),
                mac_algs=algorithms(options.macs, get_mac_algs(), get_default_mac_algs()),
                compression_algs=["zlib@openssh.com", "none"] if options.compression else ["none"],
                x509_trusted_certs=None,
                x509_trusted_cert_paths=[],
                login_timeout=self.timeout_s,
                keepalive_interval=options.keepalive_s,
                keepalive_count_max=options.keepalive_count,
                encoding=None,
                request_pty=False,
                window=_WINDOW_BYTES,
                max_pktsize=_PACKET_BYTES,
            )
            connection = None
            return established
        finally:
            if offer.agent is not None:
                offer.agent.close()
            if connection is not None:
                connection.close()


def _ciphers() -> list[bytes]:
    """Return the usual ciphers, first the one that costs a third less here than the others of its strength."""
    return sorted(get_default_encryption_algs(), key=lambda name: name != b"aes256-gcm@openssh.com")


def algorithms(wish: str | None, possible: Sequence[bytes], default: Sequence[bytes]) -> list[str]:
    """Return the algorithms of an OpenSSH list (`a,b`, `+a`, `-a*`, `^a`) that exist here, else the default."""
    able = [name.decode("ascii") for name in possible]
    usual = [name.decode("ascii") for name in default]
    if not wish:
        return usual
    sign = wish[0] if wish[0] in "+-^" else ""
    patterns = wish.removeprefix(sign).split(",")
    if sign == "-":
        chosen = [name for name in usual if not matches(name, patterns)]
    else:
        named = [name for pattern in patterns for name in able if matches(name, [pattern])]
        chosen = {"+": [*usual, *named], "^": [*named, *usual], "": named}[sign]
    return list(dict.fromkeys(chosen)) or usual


def _host_key_algorithms(options: HostOptions, known: HostKeys) -> list[str]:
    """Return what to ask for: certificates where an authority is known, kinds of known keys, then the rest."""
    certificates = list(get_default_certificate_algs()) if known.authorities else []
    chosen = algorithms(
        options.host_key_algorithms,
        [*get_certificate_algs(), *get_public_key_algs()],
        [*certificates, *get_default_public_key_algs()],
    )
    if not known.authorities:
        chosen = [name for name in chosen if "-cert-" not in name] or chosen
    kinds = {key.kind for key in known.trusted}
    if "ssh-rsa" in kinds:
        kinds |= {"rsa-sha2-256", "rsa-sha2-512"}
    return sorted(chosen, key=lambda name: ("-cert-" not in name, name not in kinds))


def _keys(known: Sequence[KnownKey]) -> list[asyncssh.SSHKey]:
    """Return the keys that can be read; a line that makes no sense trusts nobody."""
    keys = []
    for key in known:
        try:
            keys.append(asyncssh.import_public_key(f"{key.kind} {key.data}"))
        except (asyncssh.KeyImportError, ValueError):
            continue
    return keys


def _shell(command: str | None) -> list[str] | None:
    """Return ProxyCommand as ssh runs it."""
    if command is None:
        return None
    return ["/bin/sh", "-c", command if re.match(r"exec\s", command) else f"exec {command}"]
