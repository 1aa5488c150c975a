"""A slot that no node serves."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from redis_manager_fastapi import RedisCluster, RedisUnavailableError
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.cluster.clusters import cluster_of, opened
from tests.managers import until
from tests.servers import needs

KEY = "key"


async def subscribe(client: RedisCluster) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(KEY)


async def ssubscribe(client: RedisCluster) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.ssubscribe(KEY)


async def pipeline(client: RedisCluster) -> None:
    pipe: Any = client.pipeline()
    await pipe.set(KEY, 1).execute()


async def pipeline_without_redirections(client: RedisCluster) -> None:
    pipe: Any = client.pipeline()
    await pipe.set(KEY, 1).execute(allow_redirections=False)


async def transaction(client: RedisCluster) -> None:
    pipe: Any = client.pipeline(transaction=True)
    await pipe.set(KEY, 1).execute()


async def watch(client: RedisCluster) -> None:
    async with client.pipeline(transaction=True) as pipe:
        await pipe.watch(KEY)


@pytest.mark.parametrize(
    "call",
    [
        subscribe,
        pytest.param(ssubscribe, marks=needs("SSUBSCRIBE", redis="7.0")),
        pipeline,
        pipeline_without_redirections,
        transaction,
        watch,
        lambda client: client.get(KEY),
        lambda client: client.blpop([KEY], timeout=1),
    ],
)
async def test_what_needs_the_slot_is_unavailable(
    call: Callable[[RedisCluster], Awaitable[Any]],
) -> None:
    settings: dict[str, Any] = {"startup": {"policy": "degraded"}, "outage": {"grace": 0.1}}
    async with ClusterDeployment(replicas=0) as deployment:
        for node in deployment.nodes:
            await node.command("CLUSTER", "DELSLOTS", slot_of(KEY))
        async with opened(deployment.url, **settings) as manager:
            await until(lambda: cluster_of(manager).map.nodes)
            with pytest.raises(RedisUnavailableError):
                await call(manager.cluster)


@pytest.mark.parametrize("call", [pipeline, transaction, watch])
async def test_a_slot_that_is_taken_away_costs_its_node_no_connection(
    call: Callable[[RedisCluster], Awaitable[Any]],
) -> None:
    async with (
        ClusterDeployment(replicas=0) as deployment,
        opened(deployment.url, outage={"grace": 0.1}) as manager,
    ):
        await call(manager.cluster)
        for node in deployment.nodes:
            await node.command("CLUSTER", "DELSLOTS", slot_of(KEY))
        with pytest.raises(RedisUnavailableError):
            await call(manager.cluster)

        pools = [node.pool for node in cluster_of(manager).map.nodes if node.pool]
        await until(lambda: all(pool.is_serving for pool in pools))
        assert [pool.generation for pool in pools] == [1, 1, 1]
