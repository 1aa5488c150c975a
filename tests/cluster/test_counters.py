"""A Cluster counts as one server does: over its nodes, those included that have left."""

import asyncio
from contextlib import suppress

import pytest
import redis.exceptions

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import cluster_of, node_at, shard_keys, stats_of
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("pipelining")


async def use(deployment: ClusterDeployment, manager: RedisManager) -> None:
    """Send ten commands to each shard, and two that fail to the first."""
    keys = [key for keys in shard_keys(deployment, 10) for key in keys]
    await asyncio.gather(*(manager.redis.set(key, key) for key in keys))
    with suppress(redis.exceptions.ResponseError):
        await manager.redis.lpush(keys[0], 1)
    with suppress(redis.exceptions.ResponseError):
        await manager.redis.blpop([keys[0]], timeout=1)


async def test_sums_over_nodes_go_on_when_one_leaves_and_when_it_is_opened_again(
    deployment: ClusterDeployment,
) -> None:
    manager, observed = RedisManager(url=deployment.url), 0

    @manager.on_answers
    def observe(seconds: float, count: int) -> None:
        nonlocal observed
        observed += count

    async with manager:
        await use(deployment, manager)
        pools = [node.pool for shard in stats_of(manager).shards for node in shard.nodes]
        first = stats_of(manager)

        assert sum(pool.commands for pool in pools if pool) == first.commands
        assert first.errors == {"WRONGTYPE": 2}
        assert first.own.errors == {"WRONGTYPE": 1}
        assert first.commands >= 32
        assert first.latency.count >= 31

        await deployment.replicated()
        old = node_at(manager, deployment.primaries[0])
        await deployment.primaries[0].kill()
        await deployment.promoted(deployment.replica_of(0))
        cluster = cluster_of(manager)
        await until(lambda: cluster.map.find(old.address) is not old, 30)
        await until(lambda: old not in cluster._closing.values())
        after = stats_of(manager)
        assert after.commands >= 32
        assert after.connects > first.connects
        assert after.latency.count >= 31

    async with manager:
        assert stats_of(manager).commands >= after.commands
        await manager.wait_ready(30)
        before = stats_of(manager)
        await manager.redis.get("key")
        again = stats_of(manager)
        assert again.commands == before.commands + 1
        assert again.errors["WRONGTYPE"] == 2
        assert again.connects > after.connects
        assert observed == again.latency.count


async def test_what_a_cluster_asks_for_itself_is_no_command_of_the_app_s(
    deployment: ClusterDeployment,
) -> None:
    manager = RedisManager(url=deployment.url, health={"interval": 0.02, "timeout": 1})
    async with manager:
        before = stats_of(manager)
        await until(lambda: stats_of(manager).refreshes >= before.refreshes + 4)
        after = stats_of(manager)

    assert after.bytes_sent > before.bytes_sent
    assert after.commands == 0
    assert after.latency.count == 0
