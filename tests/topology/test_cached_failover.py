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


@needs("CLIENT TRACKING with RESP3", redis="7.0")
@pytest.mark.usefixtures("pipelining")
async def test_lane_that_connects_again_meanwhile_leaves_the_news_to_the_pool(
    deployment: SentinelDeployment,
) -> None:
    """A Sentinel names the promoted replica before it tells of the fail-over."""
    async with opened(deployment.url, outage={"grace": 10.0}) as manager:
        await until_cached(manager, manager.redis.with_options(cache=60.0))
        old = await deployment.primary()
        names = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", deployment.service)

        async with old.client() as admin, deployment.sentinels[0].client() as sentinel:
            await deployment.failover()
            async with asyncio.timeout(15):
                while int((await sentinel.execute_command(*names))[1]) == old.port:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            for each in await admin.client_list():
                if "t" in each["flags"]:
                    await admin.client_kill_filter(_id=each["id"])
            await deployment.elected(old)

        await until(lambda: pool_of(manager).peer[1] != old.port)  # type: ignore[index]
        await until(lambda: lane_of(manager)._pool.peer == pool_of(manager).peer)
