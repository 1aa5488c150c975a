"""What other libraries ask of a pool, and of a client's class."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from redis_manager_fastapi import Redis, RedisManager
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.managers import opened


def address(manager: RedisManager) -> dict[str, Any]:
    """Where the pool says that its server is."""
    kwargs = manager.connection_pool.connection_kwargs
    return {name: kwargs[name] for name in ("host", "port", "path", "db") if name in kwargs}


@pytest.fixture
async def sentinels() -> AsyncIterator[SentinelDeployment]:
    async with SentinelDeployment(replicas=0) as deployment:
        yield deployment


def test_a_server_s_address_is_that_of_the_settings() -> None:
    assert address(RedisManager("redis://h:7/2")) == {"host": "h", "port": 7, "db": 2}


def test_a_socket_has_no_host() -> None:
    assert address(RedisManager("unix:///tmp/redis.sock?db=3")) == {
        "path": "/tmp/redis.sock",  # noqa: S108 (never opened)
        "db": 3,
    }


async def test_behind_sentinels_it_is_the_primary_that_serves(
    sentinels: SentinelDeployment,
) -> None:
    unopened = RedisManager(sentinels.url)
    async with opened(sentinels.url) as manager:
        primary = sentinels.servers[0]

        assert address(unopened) == {"db": 0}
        assert address(manager) == {"host": primary.host, "port": primary.port, "db": 0}


async def test_a_client_of_redis_py_is_made_of_the_pool(redis_server: RedisServer) -> None:
    async with opened(redis_server.url, pool={"max_connections": 7}) as manager:
        foreign: Any = redis.asyncio.Redis
        async with manager.connection_pool as pool, foreign.from_pool(pool) as client:
            assert pool.max_connections == 7
            assert await client.ping()

        assert await manager.redis.ping()


async def test_a_client_of_ours_is_made_of_the_pool(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as manager:
        raw = manager.redis.with_options(decode_responses=False)
        await manager.redis.set("k", "v")

        client = Redis.from_pool(raw.connection_pool)

        assert await client.get("k") == b"v"


def test_a_client_of_ours_is_not_made_without_a_manager() -> None:
    with pytest.raises(TypeError, match=r"`RedisManager\(url\).redis`"):
        Redis.from_url("redis://localhost")
    with pytest.raises(TypeError, match="a ConnectionPool is no manager's pool"):
        Redis.from_pool(redis.asyncio.ConnectionPool())
