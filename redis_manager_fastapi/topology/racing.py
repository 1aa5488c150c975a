"""From a host name to a connected socket, where one of its addresses may be dead.

The addresses are tried in turn, by both families, a little apart and side by side
(RFC 8305): a dead one costs a moment, not the whole limit.  uvloop has no option
for it.
"""

import asyncio
import math
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Any

from redis.asyncio.connection import Connection

from redis_manager_fastapi.tasks import end

# The longest time, in seconds, that an address has for itself before the next one is tried.
_HEAD_START = 0.25

Place = tuple[int, Any]
"""A family and what its sockets connect to."""


@dataclass(slots=True)
class Reach:
    """How far fresh connections to a server got; all times are on the loop's clock.

    Attributes:
        answered_at: When one was last answered.
        hanging_since: Since when none is accepted, although it is tried; infinite while the
            last one was.
    """

    answered_at: float = -math.inf
    hanging_since: float = math.inf


class RacingConnection(Connection):
    """redis-py's connection, to whichever of a name's addresses answers first.

    Attributes:
        reach: Is told when a host has answered: by accepting, or by refusing.
    """

    reach: Reach | None = None

    _socket: socket.socket | None = None
    _has_transport: bool = False

    async def _connect(self) -> None:
        limit = self.socket_connect_timeout
        async with asyncio.timeout(limit):
            places = await _places(self.host, self.port)
            if not places:
                await super()._connect()
                return
            reach = self.reach or Reach()
            try:
                if len(places) == 1:
                    self._socket = await _connected(*places[0])
                else:
                    self._socket = await _race(places, (limit or 1.0) / (2 * len(places)))
            except ConnectionRefusedError:
                reach.hanging_since = math.inf
                raise
            reach.hanging_since = math.inf
            try:
                await super()._connect()
            except BaseException:
                self._leave(self._socket)
                raise
            finally:
                self._socket, self._has_transport = None, False

    def _leave(self, connected: socket.socket) -> None:
        """Let a socket go; one that a transport may have taken is the transport's to close.

        asyncio's TLS may go on with it after a cancellation, and closing it under a transport
        would give its number to another connection.  Shut down, it reads its end.
        """
        if not self._has_transport:
            connected.close()
            return
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = dict(super()._connection_arguments())
        if self._socket is not None:
            del arguments["host"], arguments["port"]
            arguments["sock"], self._has_transport = self._socket, True
            if "ssl" in arguments:
                arguments["server_hostname"] = self.host
        return arguments


async def _places(host: str, port: int) -> list[Place]:
    """Return the addresses of *host*, by families in turn; none for one with a scope."""
    with suppress(ValueError):
        family = socket.AF_INET if ip_address(host).version == 4 else socket.AF_INET6
        return [] if "%" in host else [(family, (host, port))]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    first = [place for place in places if place[0] == places[0][0]]
    others = [place for place in places if place[0] != places[0][0]]
    mixed = chain.from_iterable(zip_longest(first, others))
    return [place for place in mixed if place is not None]


async def _race(places: list[Place], head_start: float) -> socket.socket:
    """Return the first socket that is connected.

    Raises:
        OSError: What the last address to fail met.
    """
    loop = asyncio.get_running_loop()
    ahead, tasks = list(places), set[asyncio.Task[socket.socket]]()
    won: asyncio.Task[socket.socket] | None = None
    failure: BaseException = OSError("no address")
    try:
        while won is None and (ahead or tasks):
            if ahead:
                tasks.add(loop.create_task(_connected(*ahead.pop(0))))
            limit = min(_HEAD_START, head_start) if ahead else None
            done, tasks = await asyncio.wait(
                tasks, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is not None:
                    failure = error
                elif won is None:
                    won = task
                else:
                    task.result().close()
    finally:
        for task in tasks:
            task.add_done_callback(_discard)
        try:
            await end(tasks)
        except BaseException:
            if won is not None:
                won.result().close()
            raise
    if won is None:
        raise failure
    return won.result()


async def _connected(family: int, address: Any) -> socket.socket:
    connecting = socket.socket(family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, address)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _discard(task: "asyncio.Task[socket.socket]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
