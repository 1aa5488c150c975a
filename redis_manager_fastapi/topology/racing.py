"""From a host name to a connected socket, where one of its addresses may be dead.

The addresses are tried in turn, by both families, a little apart and side by side
(RFC 8305): a dead one costs a moment, not the whole limit.  uvloop has no option
for it.  One that accepts and then does not serve, for whatever reason, has its share
of the limit, and is the last to be tried for a while.
"""

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Any, TypeVar

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.topology.resolving import Resolver

# The longest time, in seconds, that an address has for itself before the next one is tried.
_HEAD_START = 0.25

# For how long (seconds) an address is tried after the others that did not serve.
_MEMORY = 30.0

T = TypeVar("T")

Place = tuple[int, Any]
"""A family and what its sockets connect to."""


@dataclass(slots=True)
class Reach:
    """How far fresh connections to a server got; all times are on the loop's clock.

    Attributes:
        answered_at: When one was last answered.
        hanging_since: Since when none is accepted, although it is tried; infinite while the
            last one was.
        failed: Addresses that accepted and did not serve, and when.
        served: For each name, the address that served last.
        resolver: Says which addresses a name has.
    """

    answered_at: float = -math.inf
    hanging_since: float = math.inf
    failed: dict[Place, float] = field(default_factory=dict)
    served: dict[str, Place] = field(default_factory=dict)
    resolver: Resolver = field(default_factory=Resolver)

    def in_order(self, places: list[Place], now: float, served: Place | None) -> list[Place]:
        """Return *places* as they are to be tried.

        What *served* before goes first, also if the name does not lead there any more: what is
        shared is there still.
        """
        self.failed = {place: at for place, at in self.failed.items() if now - at < _MEMORY}
        staying = [] if served is None else [served]
        return sorted(
            dict.fromkeys([*staying, *places]), key=lambda each: self.failed.get(each, 0.0)
        )

    def has_served(self, host: str, place: Place) -> None:
        """Note that a server of that name serves there."""
        self.served[host] = place
        self.failed.pop(place, None)


@dataclass(slots=True)
class Share:
    """How long the handshake with one address may take, as long as there are others.

    Attributes:
        timeout: Ends it.
        ends: When the whole limit is over, on the loop's clock.
        tried: The addresses that have had theirs.
        others: How many addresses are left to be tried.
        slow: How many were being tried when another one accepted.
    """

    timeout: asyncio.Timeout
    ends: float
    tried: set[Place] = field(default_factory=set)
    others: int = 0
    slow: int = 0

    def accepted(self, others: int, slow: int) -> None:
        """An address has accepted; so many *others* need their time, and the *slow* what is left.

        A slow one may be dead, which does not shorten the time of one that has accepted.
        """
        self.others, self.slow = others, slow
        if others:
            now = asyncio.get_running_loop().time()
            self.timeout.reschedule(now + (self.ends - now) / (others + 1))


class RacingConnection(Connection):
    """redis-py's connection, to whichever of a name's addresses answers first.

    Attributes:
        reach: Is told when a host has answered: by accepting, or by refusing.
        stays: Whether the address that serves goes first.
        sticky: Whether it does as long as the name leads there.
        only: The one address to connect to, if no other one will do.
        place: The address that accepted.
        share: Is told so.
    """

    reach: Reach | None = None
    stays = sticky = False
    only: Place | None = None
    place: Place | None = None
    share: Share | None = None

    _socket: socket.socket | None = None
    _has_transport: bool = False

    async def _connect(self) -> None:
        limit = self.socket_connect_timeout
        reach = self.reach or Reach()
        async with asyncio.timeout(limit):
            places = [self.only] if self.only is not None else []
            places = places or await _places(self.host, self.port, reach.resolver)
            if not places:
                await super()._connect()
                return
            now = asyncio.get_running_loop().time()
            served = reach.served.get(self.host)
            if not (self.stays or (self.sticky and served in places)):
                served = None
            places = reach.in_order(places, now, served)
            tried = self.share.tried if self.share is not None else set()
            places = [each for each in places if each not in tried] or places
            slow = 0
            try:
                if len(places) == 1:
                    self._socket, self.place = await _connected(*places[0]), places[0]
                else:
                    head_start = (limit or 1.0) / (2 * len(places))
                    self._socket, self.place, places, slow = await _race(places, head_start)
            except ConnectionRefusedError:
                reach.hanging_since = math.inf
                raise
            reach.hanging_since = math.inf
            if self.share is not None and self.place is not None:
                others = (each for each in places if each not in (*reach.failed, self.place))
                self.share.accepted(len(list(others)), slow)
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


async def by_any_address(
    connection: RacingConnection, ends: float, attempt: Callable[[], Awaitable[T]]
) -> T:
    """Return what *attempt* does over *connection*; by the next address if a server fails at one.

    Each may be another server, so one that refuses us says nothing of the others.

    Args:
        connection: Connects whenever *attempt* does.
        ends: When its time is over, on the loop's clock.
        attempt: Connects, and returns once a server serves.
    """
    clock = asyncio.get_running_loop().time
    limit, met, tried = ends - clock(), None, set[Place]()
    reach = connection.reach = connection.reach or Reach()
    while True:
        connection.place = None
        # What was met before is told, rather than that the rest was too late.
        share = Share(asyncio.timeout_at(ends - limit / 50 if met else None), ends, tried)
        connection.share = share
        try:
            async with share.timeout:
                result = await attempt()
        except (RedisError, OSError, TimeoutError) as error:
            if connection.place is not None:
                reach.failed[connection.place] = clock()
                tried.add(connection.place)
                if share.others or share.slow:
                    met = met or error
                    continue
            late = isinstance(error, TimeoutError | RedisTimeoutError)
            if met is None or not (late or connection.place is None):
                raise
        else:
            if connection.place is not None:
                reach.has_served(connection.host, connection.place)
            return result
        try:
            raise met  # with its own cause and context: raised above, it would lose one
        finally:
            del met  # its traceback has this frame


async def _places(host: str, port: int, resolver: Resolver) -> list[Place]:
    """Return the addresses of *host*, by families in turn; none for one with a scope."""
    with suppress(ValueError):
        family = socket.AF_INET if ip_address(host).version == 4 else socket.AF_INET6
        return [] if "%" in host else [(family, (host, port))]
    found = await resolver.resolve(host, port)
    places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    first = [place for place in places if place[0] == places[0][0]]
    others = [place for place in places if place[0] != places[0][0]]
    mixed = chain.from_iterable(zip_longest(first, others))
    return [place for place in mixed if place is not None]


def place_of(peer: object) -> Place | None:
    """Return where a socket's other end is; None if that is no place to connect to by TCP."""
    if not isinstance(peer, tuple):
        return None
    return (socket.AF_INET if len(peer) == 2 else socket.AF_INET6), peer


async def _race(
    places: list[Place], head_start: float
) -> tuple[socket.socket, Place, list[Place], int]:
    """Return the first socket that is connected, where to, what was not tried for it.

    The last number is how many were being tried still.

    Raises:
        OSError: What the last address to fail met.
    """
    loop = asyncio.get_running_loop()
    ahead, tasks = list(places), set[asyncio.Task[socket.socket]]()
    tried: dict[asyncio.Task[socket.socket], Place] = {}
    won: asyncio.Task[socket.socket] | None = None
    failure: BaseException = OSError("no address")
    try:
        while won is None and (ahead or tasks):
            if ahead:
                place = ahead.pop(0)
                task = loop.create_task(_connected(*place))
                tasks.add(task)
                tried[task] = place
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
    return won.result(), tried[won], ahead, len(tasks)


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
