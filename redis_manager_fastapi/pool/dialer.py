"""Making one connection that serves, within its limit, leaving nothing behind when it fails."""

import asyncio

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.pool.dedicated import (
    DedicatedConnection,
    DedicatedTCPConnection,
    DedicatedTLSConnection,
    DedicatedUnixConnection,
)
from redis_manager_fastapi.topology.failures import from_connect
from redis_manager_fastapi.topology.protocol import Target, Topology

_CLASSES: dict[str, type[DedicatedConnection]] = {
    "tcp": DedicatedTCPConnection,
    "tls": DedicatedTLSConnection,
    "unix": DedicatedUnixConnection,
}


class Dialer:
    """Opens connections to where the topology points.

    Attributes:
        connects: Attempts made, successful or not.
        beside: Held by whoever connects beside the supervisor's first attempt, so
            that two connects are in flight at most.
    """

    def __init__(self, topology: Topology, *, timeout: float, instance: str) -> None:
        self.connects = 0
        self.beside = asyncio.Lock()
        self._topology = topology
        self._timeout = timeout
        self._instance = instance
        self._target: Target | None = None

    async def dial(self) -> DedicatedConnection:
        """Find the server, connect, authenticate, PING and check the role.

        Raises:
            RedisUnavailableError: Or a subclass, with the reason.
        """
        return await self._attempt(None, None)

    async def dial_known(self) -> DedicatedConnection:
        """Do the same with the server that was found last: a generation has one server."""
        return await self._attempt(None, self._target)

    def forget(self) -> None:
        """Find the server anew at the next connect: another one may be the primary."""
        self._target = None

    async def revive(self, connection: DedicatedConnection) -> None:
        """Do the same with that server and a connection object that has served before."""
        await self._attempt(connection, self._target)

    async def _attempt(
        self, connection: DedicatedConnection | None, target: Target | None
    ) -> DedicatedConnection:
        try:
            async with asyncio.timeout(self._timeout):
                target = target or await self._topology.locate()
                if connection is None:
                    connection = _CLASSES[target.transport](**target.options)
                    connection.instance = self._instance
                connection.aim(target.options)
                await self._shake_hands(connection)
                self._target = target
        except BaseException as error:
            if connection is not None:
                connection.abort()
            if _cancelled(error) or not isinstance(error, Exception | asyncio.CancelledError):
                raise
            raise from_connect(error, self._instance, self._timeout) from error
        return connection

    async def _shake_hands(self, connection: DedicatedConnection) -> None:
        self.connects += 1
        await connection.establish()
        await connection.send_command("PING")
        if await connection.read_response() not in ("PONG", b"PONG"):
            message = "the server did not answer PING with PONG"
            raise RedisUnavailableError(message, instance=self._instance)
        await self._topology.confirm(connection)
        connection.session_starts()
        connection.opened_at = asyncio.get_running_loop().time()
        await connection.resubscribe()


def _cancelled(error: BaseException) -> bool:
    """Whether it is the caller who is cancelled, not something that it awaited."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())
