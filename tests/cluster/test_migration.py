"""Slots that move under load: MOVED, ASK and TRYAGAIN (row 38)."""

import asyncio
import os
from typing import Any

import pytest
from redis.exceptions import WatchError

from redis_manager_fastapi import CommandTimeoutError, RedisCluster
from redis_manager_fastapi.testing.cluster import (
    ClusterDeployment,
    begin_move,
    end_move,
    migrate,
    move_slot,
    node_id,
)
from tests.kit.clusters import PATIENT, keys_in, node_at, ports_of
from tests.kit.load import Outcomes, count, counter, read, steady_load
from tests.kit.managers import opened
from tests.kit.servers import has, needs
from tests.kit.waiting import until

MOVED_SLOTS = int(os.environ.get("MOVED_SLOTS", "100"))


async def read_pair(client: Any, outcomes: Outcomes, key: str) -> None:
    """Two keys of one slot at once: between two nodes they meet TRYAGAIN."""
    assert await client.mget(key, f"{{{key}}}:twin") == [key, key]


async def redirects(deployment: ClusterDeployment) -> dict[str, int]:
    """How often the nodes sent a command elsewhere, by error."""
    total = {"MOVED": 0, "ASK": 0, "TRYAGAIN": 0}
    for node in deployment.nodes:
        stats = await node.command("INFO", "errorstats")
        for name in total:
            total[name] += int(stats.get(f"errorstat_{name}", {}).get("count", 0))
    return total


@pytest.mark.timeout(60 + MOVED_SLOTS * 0.3)
async def test_slots_moved_under_load_cost_no_error_and_lose_or_double_no_write(
    steady: ClusterDeployment,
) -> None:
    source, target = steady.primaries[:2]
    slots = steady.slots_of(0)[:MOVED_SLOTS]
    keys = [keys_in(range(slot, slot + 1), 1)[0] for slot in slots]

    async with opened(steady.url) as manager:
        redis = manager.redis
        for key in keys:
            await redis.mset({key: key, f"{{{key}}}:twin": key})
        async with steady_load(redis, keys, read, count, read_pair, rate=900) as outcomes:
            for slot, key in zip(slots, keys, strict=True):
                await slowly_move(slot, key, steady, redis)
            await until(lambda: outcomes.acknowledged.total() > 2 * len(keys))
        assert not outcomes.failed
        for key in keys:
            assert await redis.get(counter(key)) == str(outcomes.acknowledged[key])
        assert await source.command("CLUSTER", "COUNTKEYSINSLOT", slots[0]) == 0
        assert await target.command("CLUSTER", "COUNTKEYSINSLOT", slots[0]) == 3
    if has(redis="6.2"):  # older servers do not count their errors
        seen = await redirects(steady)
        assert all(seen.values()), seen


async def slowly_move(slot: int, key: str, deployment: ClusterDeployment, redis: Any) -> None:
    """Move a slot key by key, and meet it half moved: ASK for one key, TRYAGAIN for two."""
    twin = f"{{{key}}}:twin"
    source, target = deployment.primaries[:2]
    async with source.client() as old, target.client() as new:
        names = await node_id(source), await node_id(target)
        await begin_move(slot, old, new, names)
        await migrate(old, target, [twin])
        pair = asyncio.ensure_future(redis.mget(key, twin))
        assert await redis.get(twin) == key
        while keys := await old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
            await migrate(old, target, keys)
        await end_move(slot, old, new, names)
        assert await pair == [key, key]


async def half_moved(deployment: ClusterDeployment, slot: int, keys: list[str]) -> None:
    """Open *slot* and move *keys* of it from the first primary to the second."""
    source, target = deployment.primaries[:2]
    async with source.client() as old, target.client() as new:
        await begin_move(slot, old, new, (await node_id(source), await node_id(target)))
        if keys:
            await migrate(old, target, keys)


def slot_and_keys(deployment: ClusterDeployment) -> tuple[int, list[str]]:
    slot = deployment.slots_of(0)[7]
    return slot, keys_in(range(slot, slot + 1), 4)


@pytest.mark.usefixtures("pipelining")
async def test_asking_and_its_command_go_to_the_target_together(
    steady: ClusterDeployment,
) -> None:
    slot, keys = slot_and_keys(steady)

    async with opened(steady.url) as manager:
        for key in keys:
            await manager.redis.set(key, key)
        await half_moved(steady, slot, keys[:2])

        answers = await asyncio.gather(*(manager.redis.get(key) for key in keys * 50))
        assert answers == keys * 50
        assert await manager.redis.incr(keys_in(range(slot, slot + 1), 1, "new")[0]) == 1
        assert node_at(manager, steady.primaries[1]).open().generation == 1


async def test_large_and_dedicated_commands_follow_ask_too(
    steady: ClusterDeployment,
) -> None:
    slot, keys = slot_and_keys(steady)
    large = "x" * 100_000

    async with opened(steady.url) as manager:
        await half_moved(steady, slot, [])
        assert await manager.redis.set(keys[0], large)
        assert await manager.redis.get(keys[0]) == large
        await manager.redis.rpush(keys[1], "item")
        assert await manager.redis.blpop([keys[1]], timeout=1) == (keys[1], "item")
        dedicated = manager.cluster.with_options(dedicated=True)
        assert await dedicated.get(keys[0]) == large


@pytest.mark.parametrize("dedicated", [False, True])
async def test_pipelines_and_transactions_follow_ask_and_moved(
    steady: ClusterDeployment, dedicated: bool
) -> None:
    slot, keys = slot_and_keys(steady)
    elsewhere = keys_in(steady.slots_of(2), 1)[0]

    async with opened(steady.url) as manager:
        for key in keys:
            await manager.redis.set(key, 1)
        await half_moved(steady, slot, keys)
        client = manager.cluster.with_options(dedicated=dedicated)
        assert await pipelined(client, [*keys, elsewhere]) == [2, 2, 2, 2, 1]
        assert await in_transaction(client, keys) == [3, 3, 3, 3]
        source, target = steady.primaries[:2]
        async with source.client() as old, target.client() as new:
            await end_move(slot, old, new, (await node_id(source), await node_id(target)))
        assert await in_transaction(client, keys) == [4, 4, 4, 4]
        assert await pipelined(client, [*keys, elsewhere]) == [5, 5, 5, 5, 2]


async def pipelined(client: RedisCluster, keys: list[str]) -> list[Any]:
    pipe = client.pipeline()
    for key in keys:
        pipe.incr(key)
    return await pipe.execute()


async def in_transaction(client: RedisCluster, keys: list[str]) -> list[Any]:
    pipe = client.pipeline(transaction=True)
    for key in keys:
        pipe.incr(key)
    return await pipe.execute()


async def test_a_command_on_two_nodes_waits_until_the_slot_has_moved(
    steady: ClusterDeployment,
) -> None:
    """TRYAGAIN: one key has moved and the other has not."""
    slot, keys = slot_and_keys(steady)
    source, target = steady.primaries[:2]

    async with opened(steady.url, **PATIENT) as manager:
        await manager.redis.mset({key: key for key in keys})
        await half_moved(steady, slot, keys[:2])
        waiting = asyncio.ensure_future(manager.redis.mget(keys))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await move_slot(slot, source, target)
        assert await waiting == keys


async def test_watching_a_key_that_is_moving_waits_until_it_has_moved(
    steady: ClusterDeployment,
) -> None:
    """WATCH is for a connection, and ASKING would have to go ahead of each command on it."""
    slot, keys = slot_and_keys(steady)
    source, target = steady.primaries[:2]

    async with opened(steady.url, **PATIENT) as manager:
        await manager.redis.mset({key: key for key in keys})
        await half_moved(steady, slot, keys[:2])
        async with manager.redis.pipeline(transaction=True) as pipe:
            watching = asyncio.ensure_future(pipe.watch(keys[0]))
            await asyncio.sleep(0.2)
            assert not watching.done()
            await move_slot(slot, source, target)
            await watching
            assert await pipe.get(keys[0]) == keys[0]
            await move_slot(slot, target, source)
            with pytest.raises(WatchError):
                await pipe.get(keys[0])


async def test_watching_a_key_that_moves_for_too_long_is_late(
    steady: ClusterDeployment,
) -> None:
    slot, keys = slot_and_keys(steady)

    async with opened(steady.url, timeout={"command": 0.3}) as manager:
        await manager.redis.mset({key: key for key in keys})
        await half_moved(steady, slot, keys[:2])
        async with manager.redis.pipeline(transaction=True) as pipe:
            with pytest.raises(CommandTimeoutError) as raised:
                await pipe.watch(keys[0])
            assert not raised.value.maybe_executed


async def test_a_slot_that_moves_to_a_new_node_is_followed(
    steady: ClusterDeployment,
) -> None:
    keys = keys_in(range(5), 10)
    newcomer = steady.new_node()
    url = steady.url
    await steady.add(newcomer)

    async with opened(url) as manager:
        for key in keys:
            await manager.redis.set(key, key)
        async with steady_load(manager.redis, keys, read, count, rate=300) as outcomes:
            for slot in range(5):
                await move_slot(slot, steady.primaries[0], newcomer)
            await until(lambda: ports_of(manager, range(5)) == {newcomer.port})
        assert not outcomes.failed
        assert node_at(manager, newcomer).serving


@needs("CLUSTER SHARDS", redis="7.0")
@pytest.mark.parametrize("dedicated", [False, True])
async def test_a_redirect_without_a_host_is_to_a_port_of_the_same_one(
    steady: ClusterDeployment, dedicated: bool
) -> None:
    slot, keys = slot_and_keys(steady)
    moved = steady.slots_of(0)[3]
    for node in steady.nodes:
        await node.config_set("cluster-preferred-endpoint-type", "unknown-endpoint")

    async with opened(steady.url) as manager:
        client = manager.redis.with_options(dedicated=dedicated)
        await client.set(keys[0], "value")
        await half_moved(steady, slot, keys[:1])
        assert await client.get(keys[0]) == "value"
        await move_slot(moved, *steady.primaries[:2])
        assert await client.set(keys_in(range(moved, moved + 1), 1)[0], "value")
