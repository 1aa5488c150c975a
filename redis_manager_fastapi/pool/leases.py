"""Leasing dedicated connections: first in first out, healed with the pool, never lost.

`Capacity` decides; this module awaits.  A place changes hands only in synchronous
code, so a cancellation at any await finds the count in order.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

from redis.asyncio.retry import Retry
from redis.himport import HImportRegistry

from redis_manager_fastapi.errors import PoolTimeoutError, RedisManagerError, RedisUnavailableError
from redis_manager_fastapi.pool.capacity import Capacity, HandOver, Held, Open, Waiter
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.dialer import ConnectBackoff, Dialer
from redis_manager_fastapi.pool.lease_events import LeaseEvents
from redis_manager_fastapi.pool.links import LinkSet
from redis_manager_fastapi.pool.revival import Revival
from redis_manager_fastapi.pool.state import Suspicion
from redis_manager_fastapi.pool.watched import Watch
from redis_manager_fastapi.redis_py import ONCE, abort_stream
from redis_manager_fastapi.settings import RedisSettings

logger = logging.getLogger("redis_manager_fastapi")


class Lease:
    """A dedicated connection that a caller holds, set up for that caller.

    It is given back once: what is done to a lease that has ended does nothing,
    whoever holds the connection by then.

    Attributes:
        connection: The connection.
    """

    __slots__ = ("_held", "_leases", "connection")

    def __init__(self, leases: "Leases", held: Held, connection: DedicatedConnection) -> None:
        self.connection = connection
        self._leases = leases
        self._held = held

    @property
    def purpose(self) -> str:
        """What it was taken for, in words."""
        return self._held.purpose

    @property
    def ended(self) -> bool:
        """Whether it was given back or revoked."""
        return self._held.returned

    async def release(self) -> None:
        """Give the connection back; the next caller gets it unless something is left on it."""
        if self.ended:
            return
        try:
            reusable = await self.connection.reusable()
        except BaseException:
            self._leases.give_back(self.connection, reusable=False)
            raise
        self._leases.give_back(self.connection, reusable=reusable)

    def give_back(self, *, reusable: bool) -> None:
        """Give the connection back at once; it is closed unless *reusable* and clean."""
        if not self.ended:
            self._leases.give_back(self.connection, reusable=reusable and self.connection.clean)

    def set_decoding(self, decode: bool) -> None:
        """Have replies decoded, or not, until the lease ends."""
        if not self.ended:
            self.connection.decode = decode

    def set_retry(self, retry: Retry) -> None:
        """Have redis-py's code make its attempts by *retry*, until the lease ends."""
        if not self.ended:
            self.connection.retry = retry

    def lift_limit(self) -> None:
        """Have redis-py set no limit for each read, until the lease ends."""
        if not self.ended:
            self.connection.socket_timeout = None


class Acquisition:
    """A lease to come: `await` it, or have `async with` release it at the end of the block."""

    __slots__ = ("_acquire", "_lease")

    def __init__(self, acquire: Coroutine[Any, Any, Lease]) -> None:
        self._acquire = acquire
        self._lease: Lease | None = None

    def __await__(self) -> Generator[Any, Any, Lease]:
        return self._acquire.__await__()

    async def __aenter__(self) -> Lease:
        self._lease = lease = await self._acquire
        return lease

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lease is not None:
            await self._lease.release()


class Leases:
    """The dedicated connections of one pool.

    Args:
        events: The pool.
        links: Its multiplexed connections: leases serve when they do.
        dialer: Makes connections.
        settings: The manager's.
        instance: The manager's name.

    Attributes:
        capacity: Who has which place.
        revival: Connects again what a pub/sub holds.
        when_returned: Called when a lease has ended; set while the pool drains.
    """

    def __init__(
        self,
        events: LeaseEvents,
        links: LinkSet,
        dialer: Dialer,
        settings: RedisSettings,
        *,
        instance: str,
    ) -> None:
        pool = settings.pool
        self.when_returned: Callable[[], None] | None = None
        self._links = links
        self.capacity = Capacity(pool.max_connections, pool.max_idle, pool.max_lifetime)
        self._events = events
        self._dialer = dialer
        self._instance = instance
        self._acquire_timeout = pool.acquire_timeout
        self._command_timeout = settings.timeout.command
        self._grace = settings.outage.grace
        health = settings.health
        self._watch = Watch(health.interval, health.timeout, lambda: links.last_heard)
        self._loop = asyncio.get_running_loop()
        self._backoff = ConnectBackoff(self._loop, settings.health.backoff_cap, self._grace)
        self.revival = Revival(
            events,
            self.capacity,
            dialer,
            self._backoff,
            grace=self._grace,
            command_timeout=self._command_timeout,
            instance=instance,
        )

    def acquire(
        self,
        purpose: str,
        deadline: float,
        *,
        grace: float | None = None,
        decode: bool = True,
        unlimited: bool = False,
        lasting: bool = False,
        registry: HImportRegistry | None = None,
    ) -> Acquisition:
        """Lease a connection that serves: `await` it, or enter it by `async with`.

        Args:
            purpose: What for, in words.
            deadline: On the loop's clock; waiting for a free place ends earlier,
                after `pool.acquire_timeout`.
            grace: How long it waits in an outage, in seconds; `outage.grace` if left out.
            decode: Whether replies are decoded.
            unlimited: Whether redis-py sets no limit for each read; else it is
                `timeout.command`.
            lasting: Whether it may be held for longer than a command's time, by a listener.
            registry: What redis-py knows of the client's HIMPORT fieldsets.

        Raises:
            PoolTimeoutError: No place became free in time.
            TooManyWaitersError: `pool.max_waiting` callers wait already.
            RedisUnavailableError: The pool does not serve, or no connection could be made.
        """

        async def acquire() -> Lease:
            held, connection = await self._take(purpose, deadline, grace, lasting=lasting)
            self._set_up(connection, decode=decode, unlimited=unlimited, registry=registry)
            connection.when_dropped = partial(self._dropped, held)
            held.kept = None
            return Lease(self, held, connection)

        return Acquisition(acquire())

    def of(self, connection: DedicatedConnection) -> Lease:
        """Return the lease on *connection*; one that has ended when nobody holds it."""
        held = self.capacity.find(connection)
        return Lease(self, held or Held(connection, "", returned=True), connection)

    def _set_up(
        self,
        connection: DedicatedConnection,
        *,
        decode: bool = True,
        unlimited: bool = False,
        registry: HImportRegistry | None = None,
    ) -> None:
        """Set a connection up for its holder, or by default for nobody."""
        connection.decode = decode
        connection.socket_timeout = None if unlimited else self._command_timeout
        connection.himport_registry, connection.retry = registry, ONCE
        connection.for_one_command = False

    async def _take(
        self, purpose: str, deadline: float, grace: float | None, *, lasting: bool
    ) -> tuple[Held, DedicatedConnection]:
        while True:
            if not self._links.serving:
                await self._events.wait_serving(deadline, grace)
            now = self._loop.time()
            grant: HandOver | None
            generation = self._events.generation
            grant, closing = self.capacity.take(purpose, generation, now, lasting=lasting)
            if closing:
                self.close_all(closing)
            if grant is None:
                limit = max(0.0, deadline - now)
                if len(self.capacity.waiting) >= self.capacity.room(lasting=lasting):
                    limit = min(self._acquire_timeout, limit)  # it counts while no place is free
                grant = await self._wait(purpose, limit, lasting=lasting)
            held = await self._use(grant, purpose, deadline, grace, lasting=lasting)
            if held is not None and held.kept is not None:
                return held, held.kept

    def give_back(self, connection: DedicatedConnection, *, reusable: bool) -> None:
        """End the lease at once; keep the connection if it is *reusable* and not of before."""
        if id(connection) not in self.capacity.leased:
            return
        self._set_up(connection)
        connection.when_dropped = None
        current = connection.generation == self._events.generation
        if current and not reusable and connection.broken:
            reason = "a dedicated connection was lost"
            self._events.suspect(connection.generation, Suspicion.LEASE_LOST, reason)
        reusable = reusable and current
        if not self.capacity.give_back(connection, self._loop.time(), reusable=reusable):
            self._end(connection)
        if self.when_returned is not None:
            self.when_returned()

    def revoke(self, connections: Iterable[DedicatedConnection]) -> list[str]:
        """Release leases that were never returned; return their purposes."""
        purposes = []
        for connection in connections:
            if (held := self.capacity.find(connection)) is not None:
                self.give_back(connection, reusable=False)
                purposes.append(held.purpose)
        return purposes

    def _dropped(self, held: Held) -> None:
        """A holder dropped its connection: this may run in any thread, at any moment."""
        with suppress(RuntimeError):  # the loop is closed, and its sockets with it
            self._loop.call_soon_threadsafe(self._take_back_dropped, held)

    def _take_back_dropped(self, held: Held) -> None:
        if held.stream is not None:
            abort_stream(held.stream)
        if self.capacity.strike(held):
            logger.warning(
                "redis %r: gave back the connection of %s, which was dropped while it was open;"
                " close it yourself, ideally with `async with`",
                self._instance,
                held.purpose,
                extra={
                    "event": "redis_left_open",
                    "instance": self._instance,
                    "left": [held.purpose],
                },
            )
        if self.when_returned is not None:
            self.when_returned()

    def _held(self) -> list[DedicatedConnection]:
        """The connections in use, oldest first."""
        connections = (held.connection for held in self.capacity.held())
        return [connection for connection in connections if connection is not None]

    def close_stale(self, *, leased: bool, moved: bool = False) -> None:
        """Close what belongs to an old generation; with *leased*, also what callers hold.

        If only the server has *moved*, they keep it unless it is as good to them elsewhere.
        """
        self.close_all(self.capacity.weed(self._events.generation, self._loop.time()))
        for connection in self._held() if leased or moved else ():
            if connection.generation != self._events.generation:
                (connection.drop if leased else connection.move_on)()

    def say_goodbye(
        self, farewell: Callable[[], RedisManagerError], ends: float
    ) -> list[DedicatedConnection]:
        """Have listeners get the error of *farewell*; return those that block beyond *ends*."""
        held = self._held()
        for connection in held:
            connection.say_goodbye(farewell, ends)
        return [each for each in held if each.alive and each.blocks_beyond(ends)]

    @property
    def at_work(self) -> bool:
        """Whether a holder may be in the middle of something; listeners are not."""
        return any(connection.alive and not connection.listens for connection in self._held())

    def abort_all(self) -> None:
        """Drop every connection at once; holders keep their place until they give it back."""
        self.close_all(self.capacity.weed(-1, self._loop.time()))
        for connection in self._held():
            connection.drop()

    def close(self) -> None:
        """Close every connection, held or not."""
        self.close_all(self.capacity.weed(-1, self._loop.time()))
        self.revoke(self._held())

    def close_all(self, connections: list[DedicatedConnection]) -> None:
        """Close connections that capacity no longer counts."""
        for connection in connections:
            self._end(connection)

    def _end(self, connection: DedicatedConnection) -> None:
        """Close a connection for good; a pub/sub that still holds it cannot reconnect it."""
        connection.reconnect = self.revival.refuse
        connection.leave()

    async def _wait(self, purpose: str, timeout: float, *, lasting: bool) -> HandOver:
        self._events.check_crowd()
        waiter = Waiter(self._loop.create_future(), purpose, lasting)
        self.capacity.waiting[waiter] = None
        try:
            async with asyncio.timeout(timeout):
                return await waiter.future
        except BaseException as error:
            self._pass_on(waiter)
            if isinstance(error, TimeoutError):
                raise self.no_place(timeout) from None
            raise

    def _pass_on(self, waiter: Waiter) -> None:
        """Pass on what a waiter was handed in the same turn of the loop in which it left."""
        self.capacity.leave(waiter)
        if not waiter.future.cancel() and not waiter.future.cancelled():
            grant = waiter.future.result()
            if isinstance(grant, Open):
                self.capacity.opening -= 1
            elif isinstance(grant, Held) and grant.kept is not None:
                self.give_back(grant.kept, reusable=grant.kept.clean)
        self.capacity.serve()

    def no_place(self, timeout: float) -> PoolTimeoutError:
        """Return the error for a caller who got none within *timeout* seconds."""
        capacity = self.capacity
        message = (
            f"no dedicated connection to redis {self._instance!r} became free"
            f" within {timeout:.3g} s ({len(capacity.leased)} of {capacity.places} leased,"
            f" {len(capacity.waiting)} waiting){self._backoff.reason}"
        )
        return PoolTimeoutError(message, instance=self._instance)

    async def _use(
        self, grant: HandOver, purpose: str, deadline: float, grace: float | None, *, lasting: bool
    ) -> Held | None:
        """Return a place with a usable connection; None means that the caller has to ask again."""
        if isinstance(grant, Exception):
            raise grant
        if isinstance(grant, Open):
            return await self._open(purpose, deadline, grace, lasting=lasting)
        connection = grant.kept
        if connection is None:
            return None
        try:
            usable = await connection.reusable()
        except BaseException:
            self.give_back(connection, reusable=False)
            raise
        if usable:
            return grant
        self.give_back(connection, reusable=False)
        return None

    async def _open(
        self, purpose: str, deadline: float, grace: float | None, *, lasting: bool
    ) -> Held | None:
        connection = None
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._dial(deadline, grace)
        except TimeoutError:
            message = (
                f"no dedicated connection to redis {self._instance!r} could be opened before"
                f" the deadline{self._backoff.reason}"
            )
            raise PoolTimeoutError(message, instance=self._instance) from None
        finally:
            held = self._opened(connection, purpose, lasting=lasting)
        return held

    async def _dial(self, deadline: float, grace: float | None) -> DedicatedConnection | None:
        """Connect, again after a pause while grace lasts; None when the pool has moved on."""
        generation, moves = self._events.generation, self._events.moves
        while True:
            refusal = self._backoff.fresh(self._events.generation)
            if refusal is None:
                try:
                    async with self._dialer.second_connect:
                        if generation != self._events.generation:
                            return None
                        connection = await self._dial_usable()
                except RedisUnavailableError as error:
                    refusal = self._backoff.remember(error, generation)
                    self._events.suspect(generation, Suspicion.LEASE_LOST, str(error))
                else:
                    if moves != self._events.moves:
                        connection.abort()
                        return None
                    connection.generation = generation
                    connection.watch = self._watch
                    connection.why_late = self._events.why_late
                    self.revival.care_for(connection)
                    return connection
            if not await self._events.wait_resolved(generation, deadline, grace):
                return None
            now = self._loop.time()
            ends = refusal.since + (self._grace if grace is None else grace)
            if refusal.final or now >= ends:
                raise refusal.repeated()
            await asyncio.sleep(max(0.0, min(refusal.until, ends) - now))

    async def _dial_usable(self) -> DedicatedConnection:
        connection = await self._dialer.dial_known()
        try:
            self._events.check_usable()
        except RedisManagerError:
            connection.abort()
            raise
        return connection

    def _opened(
        self, connection: DedicatedConnection | None, purpose: str, *, lasting: bool
    ) -> Held | None:
        """Settle the place that an attempt to open had taken."""
        held = None
        self.capacity.opening -= 1
        if connection is not None:
            self._backoff.forget()
            held = self.capacity.lend(connection, purpose, lasting=lasting)
        self.capacity.serve()
        return held
