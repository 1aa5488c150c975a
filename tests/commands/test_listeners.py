"""What listens on a connection of its own, MONITOR and pub/sub, when it is refused."""

import asyncio

import pytest
from redis.exceptions import NoPermissionError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import RedisServer
from tests.managers import until
from tests.servers import needs

ACL = needs("ACL", redis="6.0")


async def enter(redis: Redis) -> None:
    """Begin to monitor, and end."""
    async with redis.monitor():
        pass


@ACL
async def test_monitor_that_is_refused_gives_its_connection_back(
    redis_server: RedisServer, redis_manager: RedisManager
) -> None:
    await redis_server.command("ACL", "SETUSER", "default", "-monitor")

    with pytest.raises(NoPermissionError):
        await enter(redis_manager.redis)

    assert redis_manager.stats().leased == 0


async def test_monitor_that_is_cancelled_gives_its_connection_back(
    redis_server: RedisServer, redis_manager: RedisManager
) -> None:
    await redis_manager.redis.info()
    redis_server.pause()
    try:
        entering = asyncio.create_task(enter(redis_manager.redis))
        await until(lambda: redis_manager.stats().leased == 1)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

        assert redis_manager.stats().leased == 0
    finally:
        redis_server.resume()
