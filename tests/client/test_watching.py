"""Commands that a pipeline executes at once, because it watches, fail as any other does."""

from typing import Any

import pytest
from redis.exceptions import ResponseError, WatchError

from redis_manager_fastapi import (
    PoolState,
    RedisManager,
    RedisPermissionError,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.servers import needs

# Heartbeats would count among the bytes.
STILL: dict[str, Any] = {"health": {"interval": 30.0}}


async def test_write_that_a_replica_refuses_is_not_the_caller_s_mistake(
    redis_server: RedisServer, redis_manager: RedisManager
) -> None:
    await redis_server.command("REPLICAOF", "127.0.0.1", 1)

    async with redis_manager.redis.pipeline() as pipe:
        await pipe.watch("key")
        with pytest.raises(RedisUnavailableError, match="READONLY") as raised:
            await pipe.set("key", "value")
        assert redis_manager.stats().state is PoolState.SUSPECT

    assert not raised.value.maybe_executed


async def test_wrong_command_is_the_caller_s_mistake(redis_manager: RedisManager) -> None:
    await redis_manager.redis.set("key", "value")

    async with redis_manager.redis.pipeline() as pipe:
        await pipe.watch("key")
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await pipe.lpush("key", "value")
        assert await pipe.get("key") == "value"


@needs("ACL", redis="6.0")
async def test_watch_that_the_acl_forbids_keeps_no_connection(
    redis_server: RedisServer, redis_manager: RedisManager
) -> None:
    await redis_server.command("ACL", "SETUSER", "default", "-watch")
    pipe = redis_manager.redis.pipeline()

    with pytest.raises(RedisPermissionError):
        await pipe.watch("key")

    assert redis_manager.stats().leased == 0


async def test_lost_write_is_no_changed_key(fault_proxy: FaultProxy) -> None:
    """A `WatchError` asks for the same once more, and this may have run; a read may be repeated."""
    async with RedisManager(url=fault_proxy.url, **STILL) as manager:
        async with manager.redis.pipeline() as pipe:
            await pipe.watch("key")
            await fault_proxy.reset_at(0, once=True)
            with pytest.raises(ReplyLostError) as raised:
                await pipe.set("key", "value")
        async with manager.redis.pipeline() as pipe:
            await pipe.watch("key")
            await fault_proxy.reset_at(0, once=True)
            with pytest.raises(WatchError):
                await pipe.get("key")

    assert raised.value.maybe_executed
