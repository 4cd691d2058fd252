"""A way to a port that only another host can reach: a channel of its SSH connection, behind a private socket here.

A socket in a directory of our own, and no port on the loopback: that one would be open to every user of this host,
and a service that asks nobody who they are would do what they want.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from console.errors import ConfigError, Denied, Unreachable
from console.text import clean
from console.transport.base import Transport
from console.transport.local import LocalTransport
from console.transport.ssh import SshTransport

if TYPE_CHECKING:
    import asyncssh

_OPEN_TIMEOUT_S = 10.0


class Tunnel:
    """Leads to one host and port as seen from the machine of `transport`."""

    def __init__(self, transport: SshTransport, host: str, port: int) -> None:
        self.name = transport.name
        self._transport = transport
        self._host = host
        self._port = port
        self._connection: asyncssh.SSHClientConnection | None = None
        self._listener: asyncssh.SSHListener | None = None
        self._directory: str | None = None
        self._lock = asyncio.Lock()

    async def socket(self) -> str:
        """Return the path of a socket that leads there, a new one when the line died meanwhile.

        Raises SourceError; Unreachable when nothing listens there, Denied when the machine forwards nothing.
        """
        async with self._lock:
            connection = await self._transport.connection()
            if connection is not self._connection or self._directory is None:
                await self._fill()
                await self._try(connection)
                self._directory = tempfile.mkdtemp(prefix="qd-")
                path = str(Path(self._directory) / "s")
                self._listener = await connection.forward_local_path_to_port(path, self._host, self._port)
                self._connection = connection
            return str(Path(self._directory) / "s")

    async def close(self) -> None:
        """Let go of the socket; the SSH connection is its owner's. Never raises."""
        async with self._lock:
            await self._fill()

    async def _try(self, connection: asyncssh.SSHClientConnection) -> None:
        """Open one channel to see whether it leads anywhere: a forwarded socket could only hang up."""
        import asyncssh

        where = f"{clean(self._host)}:{self._port} through {self.name}"
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                _, writer = await connection.open_connection(self._host, self._port, encoding=None)
        except asyncssh.ChannelOpenError as error:
            if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
                hint = "sshd there must allow it: AllowTcpForwarding, PermitOpen"
                raise Denied("the host forwards no connections", where, hint) from None
            reason = clean(error.reason, limit=200)
            raise Unreachable(f"no connection: {reason}", where, "does the service listen there?") from None
        except (TimeoutError, OSError, asyncssh.Error):
            raise Unreachable("the line gives no channel", where, "it is tried again soon") from None
        writer.close()

    async def _fill(self) -> None:
        listener, self._listener, self._connection = self._listener, None, None
        directory, self._directory = self._directory, None
        if listener is not None:
            listener.close()
            await listener.wait_closed()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def dig(transport: Transport, host: str, port: int) -> Tunnel | None:
    """Return a tunnel from the machine of `transport`, None when that is this one. Does no I/O.

    ConfigError when it is a machine that cannot forward.
    """
    if isinstance(transport, LocalTransport):
        return None
    if isinstance(transport, SshTransport):
        return Tunnel(transport, host, port)
    raise ConfigError("nothing can be reached through this", transport.name, 'for example via = "ssh://login1"')
