"""Connecting again what a pub/sub holds, ahead of the commands that wait for the same server.

What waited through an outage to be published may be for those who listen here.
"""

import asyncio
from typing import NoReturn
from weakref import WeakSet, ref

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.pool import errors
from redis_manager_fastapi.pool.capacity import Capacity
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.dialer import ConnectBackoff, Dialer, Refusal
from redis_manager_fastapi.pool.lease_events import LeaseEvents
from redis_manager_fastapi.pool.pacing import paced
from redis_manager_fastapi.pool.state import Suspicion


class Revival:
    """Connects leased connections again, one at a time.

    Attributes:
        missing: Those of pub/subs that were lost, until their channels are back.
        ahead: Those that were connected to a server which the pool does not serve yet.

    Args:
        events: The pool.
        capacity: Who holds which connection.
        dialer: Makes connections.
        backoff: Why none could be made.
        grace: Seconds for which it is tried, at least.
        command_timeout: Likewise.
        instance: The manager's name.
    """

    def __init__(
        self,
        events: LeaseEvents,
        capacity: Capacity,
        dialer: Dialer,
        backoff: ConnectBackoff,
        *,
        grace: float,
        command_timeout: float,
        instance: str,
    ) -> None:
        self._events = events
        self._capacity = capacity
        self._dialer = dialer
        self._backoff = backoff
        self._grace = grace
        self._patience = max(grace, command_timeout)
        self._instance = instance
        self._loop = asyncio.get_running_loop()
        # Holders alone keep their connections alive.
        self.missing: WeakSet[DedicatedConnection] = WeakSet()
        self.ahead: WeakSet[DedicatedConnection] = WeakSet()
        self._all_back = asyncio.Event()

    def care_for(self, connection: DedicatedConnection) -> None:
        """Have *connection* come here when it is lost and its holder listens."""
        missing, resubscribed = ref(connection), self._events.resubscribed

        def back(channels: int, seconds: float) -> None:
            self._end(missing())
            resubscribed(channels, seconds)

        connection.reconnect, connection.when_resubscribed = self.connect, back

    async def wait_all_back(self) -> None:
        """Return once everybody is subscribed who waits to be connected again."""
        self.ahead.clear()
        self._all_back.clear()
        for connection in list(self.missing):
            if connection.alive and connection.confirmed:  # its channels were refused
                self._end(connection)
        if self.missing:
            await self._all_back.wait()

    def adopt(self, generation: int) -> None:
        """Count what was connected ahead of *generation* as a part of it."""
        for connection in self.ahead:
            connection.generation = generation
        self.ahead.clear()

    @paced
    async def connect(self, connection: DedicatedConnection) -> None:
        """Connect a leased connection again, for redis-py's code that holds it, within grace."""
        if not connection.listens:
            await self._connect(connection, listens=False)
            return
        self.missing.add(connection)
        try:
            await self._connect(connection, listens=True)
        except BaseException:
            self._end(connection)
            raise
        if connection.confirmed:  # it has no channel
            self._end(connection)

    def _end(self, connection: DedicatedConnection | None) -> None:
        if connection is not None:
            self.missing.discard(connection)
        if not self.missing:
            self._all_back.set()

    async def _connect(self, connection: DedicatedConnection, *, listens: bool) -> None:
        deadline = self._loop.time() + self._patience
        while True:
            await self._events.wait_serving(deadline, listens=listens)
            refusal = await self._revive(connection)
            if refusal is None:
                return
            generation = self._events.generation
            self._events.suspect(generation, Suspicion.LEASE_LOST, str(refusal.error))
            await self._events.wait_resolved(generation, deadline)
            now = self._loop.time()
            if refusal.final or now >= min(deadline, refusal.since + self._grace):
                raise refusal.repeated()
            await asyncio.sleep(max(0.0, refusal.until - now))

    async def _revive(self, connection: DedicatedConnection) -> Refusal | None:
        """Connect it once, one at a time; return why it could not be."""
        async with self._dialer.second_connect:
            self._check_held(connection)
            if connection.alive:  # another task of the holder was faster
                return None
            generation, moves = self._events.generation, self._events.moves
            refusal = self._backoff.fresh(generation)
            if refusal is not None:
                return refusal
            connection.generation = generation
            if self._events.lets_listen:
                self.ahead.add(connection)  # it is of the next generation
            try:
                await self._dialer.revive(connection)
            except RedisUnavailableError as error:
                self.ahead.discard(connection)
                return self._backoff.remember(error, generation)
            self._check_held(connection)
            if moves != self._events.moves:
                connection.abort()
        return None

    def _check_held(self, connection: DedicatedConnection) -> None:
        """Drop a connection whose lease ended while it was waiting to be connected again."""
        held = self._capacity.find(connection)
        if held is None:
            connection.abort()
            self._raise_ended()
        held.stream = connection.stream

    @paced
    async def refuse(self, connection: DedicatedConnection) -> NoReturn:
        """Raise what a pub/sub sees that holds on to a connection whose lease has ended."""
        self._raise_ended()

    def _raise_ended(self) -> NoReturn:
        self._events.check_usable()
        raise errors.lease_ended(self._instance)
