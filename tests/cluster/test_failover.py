"""A Cluster that loses nodes, under load (rows 37 and 39)."""

import asyncio
import statistics

import pytest

from redis_manager_fastapi import (
    PoolState,
    RedisAuthError,
    RedisManager,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import PATIENT, node_at, shard_keys, stats_of
from tests.kit.load import Outcomes, assert_counted_at_most_once, count, counter, read, steady_load
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import until

ALLOWED = {RedisUnavailableError, ReplyLostError}


async def fill(deployment: ClusterDeployment, manager: RedisManager, keys: list[str]) -> None:
    await asyncio.gather(*(manager.redis.set(key, key) for key in keys))
    await deployment.replicated()


def errors(outcomes: Outcomes) -> set[type[Exception]]:
    return {type(error) for _, error in outcomes.failed}


async def test_a_killed_primary_costs_its_shard_no_read_within_grace_and_the_others_nothing(
    deployment: ClusterDeployment,
) -> None:
    first, *others = shard_keys(deployment)
    rest = [key for keys in others for key in keys]

    async with opened(deployment.url, **PATIENT) as manager:
        await fill(deployment, manager, first + rest)
        generations = [node_at(manager, each).open().generation for each in deployment.primaries]
        async with (
            steady_load(manager.redis, first, read, count) as hit,
            steady_load(manager.redis, rest, read, count) as spared,
        ):
            await asyncio.sleep(0.5)
            await deployment.primaries[0].kill()
            await deployment.promoted(deployment.replica_of(0))
            await asyncio.sleep(1)
        assert errors(hit) <= {ReplyLostError}
        assert not spared.failed
        after = [node_at(manager, each).open().generation for each in deployment.primaries[1:]]
        assert after == generations[1:]
        await assert_counted_at_most_once(manager.redis, hit)
        await assert_counted_at_most_once(manager.redis, spared)
        assert stats_of(manager).serving


@pytest.mark.measures
async def test_a_killed_primary_s_shard_serves_again_within_a_second_of_the_election(
    deployment: ClusterDeployment,
) -> None:
    first, *_ = shard_keys(deployment)

    async with opened(deployment.url, outage={"grace": 0.1}) as manager:
        await fill(deployment, manager, first)
        loop = asyncio.get_running_loop()
        async with steady_load(manager.redis, first, read, count) as outcomes:
            await asyncio.sleep(0.3)
            killed = loop.time()
            await deployment.primaries[0].kill()
            await deployment.promoted(deployment.replica_of(0))
            elected = loop.time()
            await asyncio.sleep(1.5)
        assert outcomes.failed
        assert errors(outcomes) <= ALLOWED
        assert all(killed <= at <= elected + 1.0 for at, _ in outcomes.failed)
        await assert_counted_at_most_once(manager.redis, outcomes)


async def test_a_lost_shard_is_named_and_the_others_serve_on(
    deployment: ClusterDeployment,
) -> None:
    first, second, _ = shard_keys(deployment, 5)
    slots = deployment.slots_of(0)

    async with opened(deployment.url, outage={"grace": 0.1}) as manager:
        await deployment.replica_of(0).kill()
        await deployment.primaries[0].kill()
        await until(lambda: manager.stats().state is PoolState.DOWN)
        with pytest.raises(RedisUnavailableError):
            await manager.redis.get(first[0])
        assert await manager.redis.set(second[0], "value")
        stats = stats_of(manager)
        assert not manager.is_ready
        assert stats.reason.startswith(f"slots {slots.start}-{slots.stop - 1}: ")
        assert [shard.serving for shard in stats.shards] == [False, True, True]

        await deployment.primaries[0].start()
        await until(lambda: manager.is_ready)
        assert await manager.redis.get(first[0]) is None


async def test_a_known_lost_shard_fails_at_once(deployment: ClusterDeployment) -> None:
    first, *_ = shard_keys(deployment, 5)

    async with opened(deployment.url, outage={"grace": 0.1}) as manager:
        await deployment.replica_of(0).kill()
        await deployment.primaries[0].kill()
        with pytest.raises(RedisUnavailableError):
            await manager.redis.get(first[0])
        clock, spent = asyncio.get_running_loop().time, list[float]()
        for key in first * 4:
            started = clock()
            with pytest.raises(RedisUnavailableError):
                await manager.redis.get(key)
            spent.append(clock() - started)

        assert statistics.median(spent) < 0.005


async def test_a_manual_failover_costs_no_read_and_no_write(
    deployment: ClusterDeployment,
) -> None:
    keys = [key for shard in shard_keys(deployment) for key in shard]

    async with opened(deployment.url) as manager:
        await fill(deployment, manager, keys)
        async with steady_load(manager.redis, keys, read, count) as outcomes:
            await asyncio.sleep(0.3)
            await deployment.failover(deployment.replica_of(0))
            await asyncio.sleep(1)
        assert not outcomes.failed
        for key, told in outcomes.acknowledged.items():
            assert await manager.redis.get(counter(key)) == str(told)
        assert node_at(manager, deployment.replica_of(0)).is_primary


async def test_a_frozen_primary_is_that_shard_s_trouble_alone(
    deployment: ClusterDeployment,
) -> None:
    first, *others = shard_keys(deployment)
    rest = [key for keys in others for key in keys]

    async with opened(deployment.url, **PATIENT) as manager:
        await fill(deployment, manager, first + rest)
        async with (
            steady_load(manager.redis, first, read) as hit,
            steady_load(manager.redis, rest, read, count) as spared,
        ):
            await asyncio.sleep(0.3)
            deployment.primaries[0].pause()
            frozen = deployment.primaries[0]
            await deployment.promoted(deployment.replica_of(0), without=frozen)
            await asyncio.sleep(1)
            deployment.primaries[0].resume()
            await asyncio.sleep(0.5)
        assert not hit.failed
        assert not spared.failed


@pytest.mark.parametrize("dedicated", [False, True])
async def test_clusterdown_everywhere_is_waited_out_within_grace(dedicated: bool) -> None:
    """With full coverage required, one lost primary stops all shards until the election."""
    async with ClusterDeployment(full_coverage=True) as deployment:
        keys = [key for shard in shard_keys(deployment) for key in shard]
        async with opened(deployment.url, **PATIENT) as manager:
            await fill(deployment, manager, keys)
            client = manager.redis.with_options(dedicated=dedicated)
            async with steady_load(client, keys, read) as outcomes:
                await asyncio.sleep(0.3)
                await deployment.primaries[0].kill()
                await deployment.promoted(deployment.replica_of(0))
                await asyncio.sleep(1)
            assert not outcomes.failed


async def test_every_node_replaced_heals_from_the_seeds() -> None:
    """The old nodes are gone; a seed that was never part of the map leads to the new ones."""
    async with ClusterDeployment(replicas=0) as old, ClusterDeployment(replicas=0) as new:
        url = old.url_of([*old.primaries, new.primaries[0]])
        for seed in new.primaries:
            await seed.kill()
        async with opened(url, outage={"grace": 0.1}) as manager:
            await manager.redis.set("key", "old")
            for node in old.primaries:
                await node.kill()
            for node in new.primaries:
                await node.start()
            await until(lambda: manager.is_ready, 10)
            assert await manager.redis.set("key", "new")


async def test_with_all_seeds_dead_the_known_nodes_lead_on(
    deployment: ClusterDeployment,
) -> None:
    seed = deployment.primaries[0]

    async with opened(deployment.url_of([seed]), **PATIENT) as manager:
        await seed.kill()
        await deployment.promoted(deployment.replica_of(0))
        for key in (key for keys in shard_keys(deployment, 3) for key in keys):
            assert await manager.redis.set(key, "value")


async def test_refreshes_are_at_most_two_a_second(deployment: ClusterDeployment) -> None:
    first, *_ = shard_keys(deployment)

    async with opened(deployment.url, outage={"grace": 0.1}) as manager:
        await deployment.replica_of(0).kill()
        await deployment.primaries[0].kill()
        before = stats_of(manager).refreshes
        async with steady_load(manager.redis, first, read):
            await asyncio.sleep(2.2)

        assert stats_of(manager).refreshes - before <= 6


@needs("SSUBSCRIBE", redis="7.0")
async def test_sharded_subscriptions_follow_their_slots_through_a_failover(
    deployment: ClusterDeployment,
) -> None:
    channels = [key for keys in shard_keys(deployment, 2) for key in keys]

    async with opened(deployment.url, **PATIENT) as manager:
        redis = manager.cluster
        async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.ssubscribe(*channels)
            await deployment.failover(deployment.replica_of(0))
            heard: set[str] = set()
            async with asyncio.timeout(10):
                while heard != set(channels):
                    for channel in channels:
                        await redis.spublish(channel, channel)
                    message = await pubsub.get_sharded_message(timeout=0.05)
                    heard |= {message["data"]} if message else set()


async def test_a_cluster_with_a_password_fails_over_too() -> None:
    async with ClusterDeployment(password="secret") as deployment:
        keys = [key for shard in shard_keys(deployment, 3) for key in shard]
        async with opened(deployment.url, password="secret", **PATIENT) as manager:
            await fill(deployment, manager, keys)
            await deployment.primaries[0].kill()
            await deployment.promoted(deployment.replica_of(0))
            assert await asyncio.gather(*(manager.redis.get(key) for key in keys)) == keys
        keyless = RedisManager(url=deployment.url, startup={"policy": "fail"})
        with pytest.raises(RedisAuthError):
            await keyless.open()
