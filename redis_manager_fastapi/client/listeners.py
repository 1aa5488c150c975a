"""What listens on a connection of its own: redis-py's, under the outage contract."""

from typing import Any, Self

import redis.asyncio.client
from redis.exceptions import RedisError

from redis_manager_fastapi.errors import RedisManagerError


class PubSub(redis.asyncio.client.PubSub):
    """A `redis.asyncio.client.PubSub` that raises this library's errors."""

    connection_pool: Any  # a `LeasedConnections`

    async def parse_response(self, block: bool = True, timeout: float = 0) -> Any:
        """Read one message; a subscription that the server refuses is told here."""
        try:
            return await super().parse_response(block, timeout)
        except RedisManagerError:
            raise
        except RedisError as error:
            translated = self.connection_pool.translated(error)
            raise translated from translated.__cause__


class Monitor(redis.asyncio.client.Monitor):
    """A `redis.asyncio.client.Monitor` that keeps no connection when it cannot begin.

    It waits for the next command for as long as nobody sends one.
    """

    connection_pool: Any  # a `LeasedConnections`
    connection: Any  # a `DedicatedConnection`, or None

    async def __aenter__(self) -> Self:
        try:
            await super().__aenter__()
        except BaseException as error:
            await self._give_back()
            if isinstance(error, RedisError) and not isinstance(error, RedisManagerError):
                translated = self.connection_pool.translated(error)
                raise translated from translated.__cause__
            raise
        self.connection.socket_timeout = None  # a quiet server is not a late one
        return self

    async def _give_back(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()
            await self.connection_pool.release(connection)
