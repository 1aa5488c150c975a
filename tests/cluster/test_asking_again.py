"""A caller that asks a Cluster again at once, for ever, while it is refused: the loop turns."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import CrossSlotTransactionError, DataError, RedisClusterException

from redis_manager_fastapi import (
    PoolClosedError,
    RedisManager,
    RedisNotStartedError,
    RedisUnavailableError,
)
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.asking import (
    MOST,
    MOST_OF_NEW_TASKS,
    Call,
    asked_meanwhile,
    asking,
    assert_loop_turns,
)
from tests.kit.waiting import until

pytestmark = pytest.mark.timeout(60)


async def get(r: Any) -> None:
    await r.get("key")


async def pipeline(r: Any) -> None:
    await r.pipeline(transaction=False).get("key").set("key", 1).execute()


async def blpop_key(r: Any) -> None:
    await r.blpop(["key"], timeout=5)


async def script_on_key(r: Any) -> None:
    await r.eval("return 1", 1, "key")


async def transaction_on_key(r: Any) -> None:
    await r.pipeline(transaction=True).set("key", 1).execute()


async def watch_key(r: Any) -> None:
    async with r.pipeline(transaction=True) as pipe:
        await pipe.watch("key")


async def change_under_watch(r: Any) -> None:
    async def change(pipe: Any) -> None:
        pipe.multi()
        pipe.set("key", 1)

    await r.transaction(change, "key")


async def several_slots(r: Any) -> None:
    await r.mget_nonatomic("key", "other", "third")


async def subscribe(r: Any) -> None:
    async with r.pubsub() as pubsub:
        await pubsub.subscribe("news")


async def shard_channel(r: Any) -> None:
    async with r.pubsub() as pubsub:
        await pubsub.ssubscribe("news")


async def without_key(r: Any) -> None:
    await r.dbsize()


ON_KEY = [get, blpop_key, script_on_key, pipeline, transaction_on_key, watch_key]
ON_CLUSTER = [*ON_KEY, change_under_watch, several_slots, subscribe, shard_channel, without_key]


@pytest.mark.parametrize("call", ON_KEY)
async def test_on_a_lost_shard(call: Call) -> None:
    deployment = ClusterDeployment(shards=3, replicas=0, full_coverage=False)
    manager = RedisManager(url=deployment.url, outage={"grace": 0})
    async with deployment, manager:
        slot = manager.cluster.keyslot("key")
        owner = next(i for i in range(3) if slot in deployment.slots_of(i))
        await deployment.primaries[owner].kill()
        await until(lambda: not manager.is_ready)

        async with asking(call, manager.cluster) as errors:
            await until(lambda: errors[RedisUnavailableError] > 5)
            asked = await asked_meanwhile(errors)
        assert asked < MOST


@pytest.mark.parametrize("call", ON_CLUSTER)
async def test_before_the_manager_was_opened(call: Call) -> None:
    manager = RedisManager(url="redis+cluster://127.0.0.1:1")

    await assert_loop_turns(call, manager.cluster, RedisNotStartedError, most=MOST_OF_NEW_TASKS)


async def test_after_the_manager_was_closed(steady: ClusterDeployment) -> None:
    async with RedisManager(url=steady.url) as manager:
        node = manager.cluster.get_default_node()

    async def on_node(r: Any) -> None:
        await r.on(node).get("key")

    async def channel_of_node(r: Any) -> None:
        async with r.pubsub(node=node) as pubsub:
            await pubsub.subscribe("news")

    for call in (*ON_CLUSTER, on_node, channel_of_node):
        await assert_loop_turns(call, manager.cluster, PoolClosedError, most=MOST_OF_NEW_TASKS)


@pytest.mark.parametrize("call", [*ON_KEY, change_under_watch, several_slots])
async def test_on_a_slot_without_a_node(call: Call) -> None:
    deployment = ClusterDeployment(shards=3, replicas=0, full_coverage=False)
    async with deployment, RedisManager(url=deployment.url, outage={"grace": 0}) as manager:
        slot = manager.cluster.keyslot("key")
        for server in deployment.primaries:
            await server.command("CLUSTER", "DELSLOTS", slot)

        async with asking(call, manager.cluster) as errors:
            await until(lambda: errors[RedisUnavailableError] > 5)
            asked = await asked_meanwhile(errors)
        # A reply of the server's that refuses is looked into by a task of its own.
        assert asked < MOST_OF_NEW_TASKS


async def unpackable_key(r: Any) -> None:
    await r.get(object())


async def unpackable_blpop(r: Any) -> None:
    await r.blpop(["key"], timeout=object())


async def unpackable_pipeline(r: Any) -> None:
    await r.pipeline(transaction=False).set("key", object()).execute()


async def unpackable_transaction(r: Any) -> None:
    await r.pipeline(transaction=True).set("key", object()).execute()


async def unpackable_watch(r: Any) -> None:
    async with r.pipeline(transaction=True) as pipe:
        await pipe.watch(object())


async def unpackable_channel(r: Any) -> None:
    async with r.pubsub() as pubsub:
        await pubsub.subscribe(object())


async def several_slots_at_once(r: Any) -> None:
    await r.mget(["key", "other"])


async def several_slots_in_a_transaction(r: Any) -> None:
    await r.pipeline(transaction=True).set("key", 1).set("other", 1).execute()


async def several_slots_watched(r: Any) -> None:
    async with r.pipeline(transaction=True) as pipe:
        await pipe.watch("key")
        await pipe.watch("other")


async def about_its_connection(r: Any) -> None:
    await r.execute_command("SELECT", 0)


MISTAKES: dict[Call, type[Exception]] = {
    unpackable_key: DataError,
    unpackable_blpop: DataError,
    unpackable_pipeline: DataError,
    unpackable_transaction: DataError,
    unpackable_watch: DataError,
    unpackable_channel: DataError,
    several_slots_at_once: RedisClusterException,
    several_slots_in_a_transaction: CrossSlotTransactionError,
    several_slots_watched: CrossSlotTransactionError,
    about_its_connection: DataError,
}


async def test_a_mistake_of_the_caller_s(steady: ClusterDeployment) -> None:
    async with RedisManager(url=steady.url) as manager:
        await asyncio.gather(*(manager.cluster.get(f"key:{n}") for n in range(20)))
        for call, error in MISTAKES.items():
            await assert_loop_turns(call, manager.cluster, error)
