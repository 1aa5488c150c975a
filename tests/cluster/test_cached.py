"""Cached reads of a Cluster: a lane for each node, and what is let go with a slot or a role."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import DataError

from redis_manager_fastapi import CacheStats, RedisManager
from redis_manager_fastapi.client.cluster.redis_cluster import RedisCluster
from redis_manager_fastapi.testing.cluster import (
    ClusterDeployment,
    begin_move,
    end_move,
    migrate,
    move_slot,
    node_id,
)
from tests.kit.caching import cache_of
from tests.kit.clusters import PATIENT, keys_in, node_at, shard_keys
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import until

pytestmark = [
    needs("CLIENT TRACKING with RESP3", redis="7.0"),
    pytest.mark.usefixtures("pipelining"),
]


def caching(manager: RedisManager, **options: Any) -> RedisCluster:
    return manager.cluster.with_options(**{"cache": 60.0, **options})


async def until_hit(manager: RedisManager, cached: RedisCluster, key: str) -> None:
    """Wait until a read of *key* comes from the process."""
    async with asyncio.timeout(5):
        while True:
            hits = cache_of(manager).stats().hits
            await cached.get(key)
            if cache_of(manager).stats().hits > hits:
                return
            await asyncio.sleep(0.005)


async def test_each_shard_is_cached_and_changes_are_heard(steady: ClusterDeployment) -> None:
    keys = [first for first, *_ in shard_keys(steady, 1)]
    async with opened(steady.url) as manager, RedisManager(url=steady.url) as others:
        cached = caching(manager)
        for key in keys:
            await manager.cluster.set(key, "old")
            await until_hit(manager, cached, key)
        assert [await cached.get(key) for key in keys] == ["old"] * len(keys)
        before: CacheStats = cache_of(manager).stats()

        assert await cached.mget_nonatomic(keys) == ["old"] * len(keys)
        for key in keys:
            await manager.cluster.set(key, "mine")
            assert await cached.get(key) == "mine"
            async with manager.cluster.pipeline() as pipe:
                await pipe.set(key, "piped").execute()
            assert await cached.get(key) == "piped"
            await others.cluster.set(key, "theirs")
        await until(lambda: cache_of(manager).stats().invalidations > before.invalidations + 2)
        await asyncio.sleep(0.05)
        assert [await cached.get(key) for key in keys] == ["theirs"] * len(keys)
        with pytest.raises(Exception, match="WRONGTYPE"):
            await cached.llen(keys[0])
        assert await cached.hgetall(f"{keys[0]}:missing") == {}


async def test_gathered_reads_need_no_tasks(
    steady: ClusterDeployment, made: list[asyncio.Task[Any]]
) -> None:
    """Neither those that are known, nor those that are asked, nor several keys of one slot."""
    keys = [key for keys in shard_keys(steady, 10) for key in keys]
    async with opened(steady.url) as manager:
        cached = caching(manager)
        for key in keys:
            await manager.cluster.set(key, key)
        for key in keys[::10]:
            await until_hit(manager, cached, key)
        slot = cached.keyslot(keys[0])
        twins = keys_in(range(slot, slot + 1), 2, "twin")
        before: CacheStats = cache_of(manager).stats()
        made.clear()

        asked = asyncio.gather(*map(cached.get, keys))
        joined = asyncio.gather(*map(cached.get, keys))
        together = asyncio.gather(cached.mget(twins), cached.mget(twins))

        assert made == []
        assert await asked == await joined == keys
        assert list(await together) == [[None, None]] * 2
        known = asyncio.gather(*map(cached.get, keys), cached.mget(twins))
        assert made == []
        assert await known == [*keys, [None, None]]
        assert [await cached.get(key) for key in keys] == keys
        stats: CacheStats = cache_of(manager).stats()
        assert stats.misses - before.misses == 27 + 1
        assert stats.joined - before.joined == 27 + 1
        assert stats.hits - before.hits == 3 + 3 + 30 + 1 + 30


async def test_keys_of_several_slots_are_not_cached_together(steady: ClusterDeployment) -> None:
    keys = [first for first, *_ in shard_keys(steady, 1)]
    async with opened(steady.url) as manager:
        cached = caching(manager)
        for key in keys:
            await manager.cluster.set(key, key)
            await until_hit(manager, cached, key)
        for gathered in (False, True):
            call = cached.mget(keys)
            with pytest.raises(Exception, match="same key slot"):
                await (asyncio.gather(call) if gathered else call)
        with pytest.raises(DataError):
            await cached.get({})  # type: ignore[arg-type]
        with pytest.raises(DataError):
            await asyncio.gather(cached.get({}))  # type: ignore[arg-type]


async def test_slot_that_moves_takes_its_entries_along(steady: ClusterDeployment) -> None:
    """While it moves too: a key that is made at the new place is not taken for missing for long."""
    source, target = steady.primaries[:2]
    slot = steady.slots_of(0)[0]
    key, made, untold = keys_in(range(slot, slot + 1), 3)
    async with opened(steady.url, health={"interval": 0.1, "timeout": 0.2}) as manager:
        cached = caching(manager)
        await manager.cluster.set(key, "old")
        await until_hit(manager, cached, key)
        await until_hit(manager, cached, made)
        await manager.cluster.set(untold, "old")
        await until_hit(manager, cached, untold)
        await until_hit(manager, cached, keys_in(steady.slots_of(1), 1)[0])
        lane = node_at(manager, source).deployment.lane
        assert lane is not None
        lane.changed = lambda link, keys: None  # type: ignore[method-assign]
        names = await node_id(source), await node_id(target)

        async with (
            source.client() as old,
            target.client() as new,
            RedisManager(url=steady.url) as others,
        ):
            await begin_move(slot, old, new, names)
            await migrate(old, target, [key, untold])
            await manager.cluster.set(key, "moved")
            assert await cached.get(key) == "moved"
            await others.cluster.set(made, "made")
            await asyncio.sleep(0.35)
            assert await cached.get(made) == "made"
            await end_move(slot, old, new, names)
            await others.cluster.set(key, "theirs")
            await others.cluster.set(untold, "theirs")
        assert await manager.cluster.get(untold) == "theirs"
        assert await cached.get(untold) == "theirs"
        await until_hit(manager, cached, key)

        assert await cached.get(key) == "theirs"
        assert await cached.get(made) == "made"
        await move_slot(slot, target, source)
        await manager.cluster.set(key, "back")
        assert await cached.get(key) == "back"


async def test_fail_over_begins_empty_and_a_lost_shard_gives_its_last_known_values(
    deployment: ClusterDeployment,
) -> None:
    (key, *_), (other, *_), _ = shard_keys(deployment, 1)
    async with opened(deployment.url, **PATIENT) as manager:
        cached = caching(manager, stale=60.0)
        for each in (key, other):
            await manager.cluster.set(each, "value")
            await until_hit(manager, cached, each)
        await deployment.replicated()
        node = node_at(manager, deployment.primaries[0])
        lane = node.deployment.lane
        assert lane is not None

        deployment.primaries[0].pause()
        hasty = cached.with_options(cache=1e-9)
        reading = asyncio.ensure_future(hasty.get(key))
        await asyncio.sleep(0.05)
        await deployment.primaries[0].kill()
        async with asyncio.timeout(2):
            assert await reading == "value"
        assert hasty.stale_for > 0.0
        await until(lambda: not node.serving)
        async with asyncio.timeout(1):
            assert await cached.get(key) == "value"
        assert cached.stale_for > 0.0
        assert not lane.life.goes_on
        assert (manager.stats().errors, manager.stats().refused) == ({}, 0)
        fresh = caching(manager, stale=60.0)
        assert await fresh.get(other) == "value"
        assert fresh.stale_for == 0.0

        await deployment.promoted(deployment.replica_of(0))
        await manager.cluster.set(key, "new")
        assert await fresh.get(key) == "new"
        await until_hit(manager, fresh, key)
        assert fresh.stale_for == 0.0
        assert manager.stats().cache.stale == 2  # type: ignore[union-attr]
