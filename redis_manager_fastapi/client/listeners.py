"""What listens on a connection of its own: redis-py's, under the outage contract."""

from typing import Any, Self

import redis.asyncio.client


class Monitor(redis.asyncio.client.Monitor):
    """A `redis.asyncio.client.Monitor` that keeps no connection when it cannot begin."""

    connection: Any  # a `DedicatedConnection`, or None

    async def __aenter__(self) -> Self:
        try:
            await super().__aenter__()
        except BaseException:
            await self._give_back()
            raise
        return self

    async def _give_back(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()
            await self.connection_pool.release(connection)
