"""A slot that no node serves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from redis_manager_fastapi import RedisCluster, RedisManager, RedisUnavailableError
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.cluster.clusters import cluster_of, opened
from tests.managers import until
from tests.servers import needs

KEY = "key"


async def take_away(deployment: ClusterDeployment, slot: int) -> None:
    """Have no node serve *slot*."""
    for node in deployment.nodes:
        await node.command("CLUSTER", "DELSLOTS", slot)


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
        await take_away(deployment, slot_of(KEY))
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
        await take_away(deployment, slot_of(KEY))
        with pytest.raises(RedisUnavailableError):
            await call(manager.cluster)

        pools = [node.pool for node in cluster_of(manager).map.nodes if node.pool]
        await until(lambda: all(pool.is_serving for pool in pools))
        assert [pool.generation for pool in pools] == [1, 1, 1]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.mget(KEY, KEY),
        lambda client: client.blpop([KEY], timeout=1),
        lambda client: client.eval("return 1", 1, KEY),
        lambda client: client.set(KEY, "x" * 100_000),
    ],
    ids=["MGET", "BLPOP", "EVAL", "large"],
)
async def test_every_command_waits_for_its_slot_within_grace(
    call: Callable[[RedisCluster], Awaitable[Any]],
) -> None:
    async with (
        ClusterDeployment(replicas=0) as deployment,
        opened(deployment.url) as manager,
    ):
        await manager.cluster.eval("return 1", 1, KEY)
        cluster, slot = cluster_of(manager), slot_of(KEY)
        await take_away(deployment, slot)
        cluster.doubt()
        await until(lambda: cluster.map.slots[slot] is None)
        waiting = asyncio.ensure_future(call(manager.cluster))
        await asyncio.sleep(0.3)
        await deployment.primaries[0].command("CLUSTER", "ADDSLOTS", slot)
        await waiting


async def test_a_command_that_blocks_for_ever_waits_for_its_slot_no_longer_than_grace() -> None:
    async with (
        ClusterDeployment(replicas=0) as deployment,
        opened(deployment.url, outage={"grace": 1.0}) as manager,
    ):
        await manager.cluster.get(KEY)
        await take_away(deployment, slot_of(KEY))
        async with asyncio.timeout(5):
            with pytest.raises(RedisUnavailableError):
                await manager.cluster.blpop([KEY], timeout=0)


async def test_without_a_map_no_node_can_be_picked() -> None:
    settings: dict[str, Any] = {"startup": {"policy": "degraded"}, "outage": {"grace": 0.0}}
    async with RedisManager(url="redis+cluster://127.0.0.1:1", **settings) as manager:
        cluster = manager.cluster
        picks = (cluster.get_random_node, cluster.get_random_primary_node, cluster.get_default_node)
        for pick in (*picks, lambda: cluster.get_node_from_key(KEY)):
            with pytest.raises(RedisUnavailableError):
                pick()
