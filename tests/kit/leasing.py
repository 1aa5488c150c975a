"""What tests of leases share."""

from redis_manager_fastapi import (
    RedisManager,
)
from redis_manager_fastapi.pool.dedicated import DedicatedConnection


async def acquire(manager: RedisManager) -> DedicatedConnection:
    return await manager.connection_pool.get_connection()


def unread(connection: DedicatedConnection) -> int:
    """How many bytes lie unread in the connection's stream."""
    return len(getattr(connection._reader, "_buffer"))  # noqa: B009 (mypy does not know it)


async def waited(manager: RedisManager, key: str) -> object:
    """A command on a dedicated connection: XREAD, which blocks for milliseconds on any server."""
    return await manager.redis.xread({key: "$"}, block=10)


async def release(manager: RedisManager, connection: DedicatedConnection) -> None:
    await manager.connection_pool.release(connection)
