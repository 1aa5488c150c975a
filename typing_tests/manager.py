"""What a manager hands out."""

from typing import assert_type

from starlette.requests import Request

from redis_manager_fastapi import (
    Redis,
    RedisCluster,
    RedisManager,
    RedisSettings,
    get_manager,
    get_redis_manager,
)


async def clients(manager: RedisManager) -> None:
    assert_type(manager.redis, Redis)
    assert_type(manager.cluster, RedisCluster)
    async with manager.client() as r:
        assert_type(r, Redis)
        assert_type(await r.get("k"), str | None)
    with manager.client() as r:
        assert_type(r, Redis)
    async with manager.connection() as pinned:
        assert_type(pinned, Redis)
    async with RedisManager() as opened:
        assert_type(opened, RedisManager)


async def manager_of_a_request(request: Request) -> None:
    manager = get_manager(request)
    assert_type(manager, RedisManager)
    assert_type(await get_redis_manager(request), RedisManager)
    assert_type(manager.redis, Redis)
    assert_type(manager.cluster, RedisCluster)
    await manager.wait_ready(1)


def arguments() -> None:
    RedisManager("redis://localhost", name="cache", pool={"max_connections": 50})
    RedisManager(RedisSettings(_env_prefix="REDIS_CACHE_"), name="cache")
    RedisManager(sentinel={"nodes": "h1,h2:26380", "service": "mymaster", "reads": "any"})
    RedisManager(cluster={"nodes": ["h1", ("h2", 6380)]})
    RedisManager(startup={"policy": "degraded"}, timeout={"command": 1}, protocol=3)
