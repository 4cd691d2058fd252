"""All machines of one console: one transport each, connections shared and bounded."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from console.errors import ConfigError, Denied, SourceError, Unreachable, UsageError
from console.text import clean
from console.transport.base import Transport
from console.transport.gate import Gate
from console.transport.hostoptions import HostOptions, Target, build, parse_target
from console.transport.local import NAME as LOCAL
from console.transport.local import LocalTransport
from console.transport.openssh import ConfigFiles, parse_ssh_g, resolve, user_name
from console.transport.ssh import SshTransport, load_asyncssh

if TYPE_CHECKING:
    import asyncssh

    from console.transport.connect import Connector

DEFAULT_MAX_CONNECTS = 8
"""Handshakes at a time. More are no faster, for they are work for one core, and hold up all else here."""
DEFAULT_TIMEOUT_S = 10.0
_SSH_G_TIMEOUT_S = 5.0
_MAX_HOPS = 8
_OPEN_FILES = 16384


class TransportPool:
    """Hands out transports by name and closes them all."""

    def __init__(
        self,
        ssh_config: Path | None = None,
        *,
        max_connects: int = DEFAULT_MAX_CONNECTS,
        connect_timeout_s: float = DEFAULT_TIMEOUT_S,
        home: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Read `ssh_config` alone, as `ssh -F` does, or the user's and the system's files.

        ConfigError when `ssh_config` cannot be read or understood.
        """
        self._home = home or Path.home()
        self._environ = os.environ if environ is None else environ
        self._config = ConfigFiles(ssh_config, self._home)
        if ssh_config is not None:
            try:
                self._config.directives()
            except SourceError as error:
                raise ConfigError(error.what, error.where, error.hint) from None
        self._max_connects = max_connects
        self._timeout_s = connect_timeout_s
        self._connector: Connector | None = None
        self._local = LocalTransport()
        self._transports: dict[tuple[Target, ...], SshTransport] = {}

    def local(self) -> Transport:
        """Return this machine."""
        return self._local

    def get(self, name: str) -> SshTransport | LocalTransport:
        """Return the transport of `local`, `ssh:NAME`, `ssh://[user@]host[:port]` or NAME, each time the same.

        Does no I/O. UsageError when the name is none.
        """
        if name == LOCAL:
            return self._local
        text = name if name.startswith("ssh://") else name.removeprefix("ssh:")
        try:
            target = parse_target(text)
        except ValueError:
            raise UsageError("not the name of a host", clean(name), "[user@]host, or ssh://[user@]host:port") from None
        return self._transport((target,))

    async def close(self) -> None:
        """Close every connection and end every program."""
        transports = tuple(self._transports.values())
        self._transports = {}
        await asyncio.gather(*(transport.close() for transport in transports), self._local.close())

    def _transport(self, chain: tuple[Target, ...]) -> SshTransport:
        """Return the transport of the last of `chain`; those before it lead there."""
        transport = self._transports.get(chain)
        if transport is None:
            transport = SshTransport(str(chain[-1]), lambda: self._connect(chain))
            self._transports[chain] = transport
        return transport

    async def _connect(self, chain: tuple[Target, ...]) -> asyncssh.SSHClientConnection:
        if self._connector is None:
            await load_asyncssh()
            from console.transport.connect import Connector

            if self._connector is None:  # nobody was quicker
                _allow_many_files()
                self._connector = Connector(Gate(self._max_connects), self._timeout_s)
        async with self._connector.gate.slot():
            options = await self._resolve(chain[-1])
            route = chain if len(chain) > 1 else await self._route(chain[0], options)
        tunnel = await self._tunnel(route) if len(route) > 1 else None
        return await self._connector.connect(options, tunnel)

    async def _route(self, target: Target, options: HostOptions) -> tuple[Target, ...]:
        """Return the jump hosts that lead to a host, those that lead to them included, and the host."""
        route: tuple[Target, ...] = (target,)
        while True:
            # `Host *` with a ProxyJump names the jump host itself too, which is reached directly.
            hops = tuple(hop for hop in options.proxy_jump if hop != route[0])
            if not hops:
                return route
            if set(hops) & set(route) or len(hops) + len(route) > _MAX_HOPS:
                raise Unreachable(
                    "the jump hosts lead in a circle", str(target), "check ProxyJump in the ssh configuration"
                )
            route = (*hops, *route)
            options = await self._resolve(route[0])

    async def _tunnel(self, route: tuple[Target, ...]) -> asyncssh.SSHClientConnection:
        """Return the connection to the last jump host of a route."""
        try:
            return await self._transport(route[:-1]).connection()
        except SourceError as error:
            raise _through(error, route[-1], route[-2]) from None

    async def _resolve(self, target: Target) -> HostOptions:
        local_user = user_name()
        if self._config.needs_ssh():
            values = parse_ssh_g(await self._ask_ssh(target))
        else:
            values = resolve(self._config.directives(), target.host, target.user, local_user)
        return build(target, values, self._home, self._environ)

    async def _ask_ssh(self, target: Target) -> str:
        """Return what `ssh -G` says of a host."""
        argv = ["ssh", "-G"]
        if self._config.file is not None:
            argv += ["-F", str(self._config.file)]
        if target.user is not None:
            argv += ["-l", target.user]
        if target.port is not None:
            argv += ["-p", str(target.port)]
        done = await self._local.run([*argv, "--", target.host], timeout_s=_SSH_G_TIMEOUT_S)
        if done.exit_status:
            reason = clean(done.stderr.decode("utf-8", "replace").strip())
            what = f"ssh cannot read its configuration: {reason}"
            raise SourceError(what, target.host, f"mend what it names; by hand: {' '.join(argv)} -- {target.host}")
        return done.stdout.decode("utf-8", "replace")


def _allow_many_files() -> None:
    """Raise the soft limit of open files: the usual 1024 ends at a thousand hosts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # what is forbidden stays as it is, and shows when files run out
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _through(error: SourceError, target: Target, hop: Target) -> SourceError:
    """Return the error of a jump host as that of the host behind it."""
    kind = Denied if isinstance(error, Denied) else Unreachable
    return kind(f"not reachable through {hop}: {error}", str(target), error.hint)
