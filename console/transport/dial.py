"""From a host name to a connected TCP socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from typing import Any

from console.transport.hostoptions import HostOptions

_Address = tuple[Any, ...]
"""As socket.getaddrinfo returns it."""
_RESOLVERS = 32


class Dialler:
    """Opens sockets. Names are resolved in threads of its own: slow name servers hold up nothing else."""

    def __init__(self) -> None:
        self._resolving = asyncio.Semaphore(_RESOLVERS)

    async def dial(self, options: HostOptions) -> socket.socket:
        """Return a connected, non-blocking socket. Raises gaierror, or the OSError of the last address."""
        failure: OSError = OSError("no address")
        for family, kind, protocol, _, address in await self._resolve(options):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.setblocking(False)
                if options.bind_address:
                    connection.bind((options.bind_address, 0))
                await asyncio.get_running_loop().sock_connect(connection, address)
            except OSError as error:
                connection.close()
                failure = error
            except BaseException:  # cancelled: the socket goes, the reason stays
                connection.close()
                raise
            else:
                return connection
        raise failure

    async def _resolve(self, options: HostOptions) -> Sequence[_Address]:
        flags = socket.AI_NUMERICHOST
        try:
            return _getaddrinfo(options, flags)
        except socket.gaierror:
            async with self._resolving:
                return await _in_daemon_thread(options)


def _getaddrinfo(options: HostOptions, flags: int) -> Sequence[_Address]:
    return socket.getaddrinfo(
        options.hostname, options.port, family=options.family, type=socket.SOCK_STREAM, flags=flags
    )


async def _in_daemon_thread(options: HostOptions) -> Sequence[_Address]:
    """Resolve in a thread that no one waits for at the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Sequence[_Address]] = loop.create_future()

    def settle(addresses: Sequence[_Address] | None, error: OSError | None) -> None:
        if future.done():
            return
        if addresses is None:
            future.set_exception(error or OSError("no address"))
        else:
            future.set_result(addresses)

    def work() -> None:
        addresses: Sequence[_Address] | None = None
        failure: OSError | None = None
        try:
            addresses = _getaddrinfo(options, 0)
        except OSError as error:
            failure = error
        except UnicodeError:
            failure = socket.gaierror(socket.EAI_NONAME, "not a host name")
        try:
            loop.call_soon_threadsafe(settle, addresses, failure)
        except RuntimeError:
            pass  # the loop is closed: nobody asks any more

    threading.Thread(target=work, name=f"resolve {options.hostname}", daemon=True).start()
    return await future
