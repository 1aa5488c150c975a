"""What listens on a connection of its own: redis-py's, under the outage contract."""

from typing import Any, Self

import redis.asyncio.client

from redis_manager_fastapi.pool.pacing import paced


class PubSub(redis.asyncio.client.PubSub):
    """A `redis.asyncio.client.PubSub` that raises this library's errors."""

    connection_pool: Any  # a `LeasedConnections`

    @paced
    async def parse_response(self, block: bool = True, timeout: float = 0) -> Any:
        """Read one message; a subscription that the server refuses is told here."""
        with self.connection_pool.translating():
            return await super().parse_response(block, timeout)

    @paced
    async def execute_command(self, *args: Any) -> None:
        """Send a subscription command; arguments are redis-py's."""
        await super().execute_command(*args)


class Monitor(redis.asyncio.client.Monitor):
    """A `redis.asyncio.client.Monitor` that keeps no connection when it cannot begin.

    It waits for the next command for as long as nobody sends one.
    """

    connection_pool: Any  # a `LeasedConnections`
    connection: Any  # a `DedicatedConnection`, or None

    async def __aenter__(self) -> Self:
        try:
            with self.connection_pool.translating():
                await super().__aenter__()
        except BaseException:
            await self._give_back()
            raise
        # A quiet server is not a late one.
        self.connection_pool.lease_of(self.connection).lift_limit()
        return self

    async def _give_back(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()
            await self.connection_pool.release(connection)
