"""What listens on a connection of its own, MONITOR and pub/sub, when it is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import RedisError

from redis_manager_fastapi import (
    PoolState,
    RedisManager,
    RedisPermissionError,
    RedisUnavailableError,
)
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.settings.arguments import HealthArguments
from redis_manager_fastapi.testing import RedisServer
from tests.kit.servers import is_busy, needs
from tests.kit.waiting import eventually, until

Listen = Callable[[Redis], Awaitable[None]]


async def monitor(redis: Redis) -> None:
    async with redis.monitor():
        pass


async def subscribe(redis: Redis) -> None:
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("news")
        await pubsub.get_message(timeout=1)


LISTENERS = pytest.mark.parametrize("listen", [monitor, subscribe])


@needs("ACL", redis="6.0")
@LISTENERS
async def test_listening_that_the_acl_forbids_says_so_and_keeps_no_connection(
    redis_server: RedisServer, redis_manager: RedisManager, listen: Listen
) -> None:
    await redis_server.command("ACL", "SETUSER", "default", "-monitor", "-subscribe")

    with pytest.raises(RedisPermissionError):
        await listen(redis_manager.redis)

    assert redis_manager.stats().leased == 0
    assert redis_manager.stats().state is PoolState.READY


@LISTENERS
async def test_listening_while_a_script_runs_is_refused_as_a_command_is(
    redis_server: RedisServer, redis_url: str, listen: Listen
) -> None:
    await redis_server.config_set("lua-time-limit", 20)
    still: HealthArguments = {"interval": 30}
    async with RedisManager(url=redis_url, health=still) as manager, redis_server.client() as admin:
        await manager.redis.info()
        looping = asyncio.ensure_future(admin.execute_command("EVAL", "while true do end", 0))
        await eventually(lambda: is_busy(redis_server))

        with pytest.raises(RedisUnavailableError, match="BUSY"):
            await listen(manager.redis)

        assert manager.stats().state is PoolState.SUSPECT
        await redis_server.command("SCRIPT", "KILL")
        with pytest.raises(RedisError):
            await looping


async def test_monitor_that_is_cancelled_gives_its_connection_back(
    redis_server: RedisServer, redis_manager: RedisManager
) -> None:
    await redis_manager.redis.info()
    redis_server.pause()
    try:
        entering = asyncio.ensure_future(monitor(redis_manager.redis))
        await until(lambda: redis_manager.stats().leased == 1)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

        assert redis_manager.stats().leased == 0
    finally:
        redis_server.resume()


async def test_monitor_waits_as_long_as_nothing_happens(
    redis_server: RedisServer, redis_url: str
) -> None:
    limits: dict[str, Any] = {"timeout": {"command": 0.1}, "health": {"interval": 30}}
    async with RedisManager(url=redis_url, **limits) as manager, manager.redis.monitor() as watched:
        next_one = asyncio.ensure_future(watched.next_command())
        await asyncio.sleep(0.3)
        assert not next_one.done()
        await redis_server.command("ECHO", "now")
        while "ECHO" not in (await next_one)["command"]:
            next_one = asyncio.ensure_future(watched.next_command())
