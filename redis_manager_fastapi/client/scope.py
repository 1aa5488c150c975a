"""A client's life: from the start of a request, or an `async with` block, to its end."""

import logging
from types import TracebackType
from typing import TYPE_CHECKING, cast

from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.errors import ClientEndedError
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.pool import Pool

if TYPE_CHECKING:
    from redis_manager_fastapi.client.cluster.redis_cluster import RedisCluster
    from redis_manager_fastapi.client.redis import Redis

logger = logging.getLogger("redis_manager_fastapi")


class ClientScope:
    """The context manager that hands out a client and closes what was left open.

    Entering counts the client and refuses a closed pool; it takes no
    connection.  Leaving never waits for the network.  As neither waits, `with`
    does the same as `async with`.
    """

    __slots__ = ("_client", "_leases", "_pool", "ended")

    def __init__(self, client: "Redis | RedisCluster") -> None:
        self.ended = False
        self._client = client
        self._pool: Pool | Cluster | None = None
        self._leases: list[DedicatedConnection] | None = None

    def __enter__(self) -> "Redis":
        pool: Pool | Cluster = self._client.binding.require()
        pool.check_usable()
        pool.clients += 1
        self._pool = pool
        # With a Cluster it is a RedisCluster, which has the same commands.
        return cast("Redis", self._client.scoped(self))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ended = True
        if self._pool is not None:
            self._pool.clients -= 1
            if self._leases:
                self._take_back(self._pool)

    async def __aenter__(self) -> "Redis":
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def check(self) -> None:
        """Raise `ClientEndedError` once the scope has ended."""
        if self.ended:
            message = (
                "this Redis client was used after its request or `async with` block had ended;"
                " take a new one: `async with manager.client() as r:`"
            )
            raise ClientEndedError(message, instance=self._client.binding.instance)

    def note(self, connection: DedicatedConnection) -> None:
        """Remember a connection that was leased through this client."""
        if self._leases is None:
            self._leases = []
        self._leases.append(connection)

    def forget(self, connection: DedicatedConnection) -> None:
        """The connection was given back."""
        if self._leases is not None and connection in self._leases:
            self._leases.remove(connection)

    def _take_back(self, pool: Pool | Cluster) -> None:
        forgotten = pool.revoke(self._leases or ())
        if forgotten:
            purposes = ", ".join(sorted(set(forgotten)))
            logger.warning(
                "redis %r: closed what a request or `async with` block left open: %s;"
                " close it yourself, ideally with `async with`",
                pool.instance,
                purposes,
            )
