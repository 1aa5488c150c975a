"""Cached reads over a fail-over by Sentinels: the lane goes with the pool, and begins empty."""

import asyncio

import pytest

from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.caching import cache_of, lane_of, until_cached
from tests.kit.managers import opened, pool_of
from tests.kit.servers import needs
from tests.kit.waiting import until


@needs("CLIENT TRACKING with RESP3", redis="7.0")
@pytest.mark.usefixtures("pipelining")
async def test_lane_leaves_a_primary_that_was_replaced(deployment: SentinelDeployment) -> None:
    """The old primary lives on, and goes on telling of its own changes."""
    patient = {"grace": 10.0}
    async with opened(deployment.url, outage=patient, timeout={"command": 10.0}) as manager:
        cached = manager.redis.with_options(cache=60.0)
        await until_cached(manager, cached)
        await manager.redis.set("key", "old")
        await manager.redis.wait(1, 5000)
        assert await cached.get("key") == "old"
        life, old = lane_of(manager).life, await deployment.primary()

        await deployment.failover()
        await until(lambda: pool_of(manager).generation > 1, 15)

        assert not life.goes_on
        assert pool_of(manager).peer[1] != old.port  # type: ignore[index]
        await manager.redis.set("key", "new")
        assert await cached.get("key") == "new"
        async with asyncio.timeout(10):
            await until(lambda: cache_of(manager).stats().off_since is None, 10)
        assert lane_of(manager)._pool.peer == pool_of(manager).peer
        assert [await cached.get("key") for _ in range(2)] == ["new", "new"]
