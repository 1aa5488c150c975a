"""How many callers may wait for a Cluster, and that none opens a node once it is closed."""

import asyncio
from collections import Counter

import pytest

from redis_manager_fastapi import (
    PoolClosedError,
    RedisManager,
    RedisUnavailableError,
    TooManyWaitersError,
)
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.managers import opened
from tests.kit.waiting import until


async def test_no_more_callers_than_allowed_wait_for_the_map(
    deployment: ClusterDeployment,
) -> None:
    settings = {"startup": {"policy": "degraded"}, "pool": {"max_waiting": 10}}
    for node in deployment.nodes:
        await node.kill()

    async with opened(deployment.url, outage={"grace": 1.0}, **settings) as manager:
        callers = [asyncio.ensure_future(manager.redis.get(f"key:{n}")) for n in range(30)]
        await until(lambda: sum(caller.done() for caller in callers) == 20)
        assert manager.stats().waiting == 10
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert Counter(map(type, outcomes)) == {TooManyWaitersError: 20, RedisUnavailableError: 10}


async def test_a_closed_cluster_opens_no_node(deployment: ClusterDeployment) -> None:
    async with RedisManager(url=deployment.url) as manager:
        replica, *_ = manager.cluster.get_replicas()
    tasks = asyncio.all_tasks()

    with pytest.raises(PoolClosedError):
        await manager.cluster.on(replica).ping()
    assert asyncio.all_tasks() == tasks
