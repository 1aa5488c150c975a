"""Subscriptions on a Cluster whose nodes change their roles, leave, and hand over slots."""

import asyncio
import gc
from typing import Any

import pytest

from redis_manager_fastapi import PoolClosedError, RedisManager, Resubscribed
from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot
from tests.kit.clusters import PATIENT, keys_in
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import until


async def until_heard(manager: Any, subscription: Any, message: str) -> None:
    async with asyncio.timeout(5):
        while True:
            await manager.cluster.publish("news", message)
            heard = await subscription.get_message(ignore_subscribe_messages=True, timeout=0.05)
            if heard is not None and heard["data"] == message:
                return


# Redis 5.0.6 answers nobody any more after a CLUSTER FAILOVER beside a subscription.
DEMOTED = pytest.param("demoted", marks=needs("demotion beside a subscription", redis="6.2"))


@pytest.mark.parametrize("fault", [DEMOTED, "killed"])
async def test_an_ordinary_subscription_outlives_its_node_s_role_and_its_node(
    deployment: ClusterDeployment, fault: str
) -> None:
    async with opened(deployment.url, **PATIENT) as manager, manager.cluster.pubsub() as heard:
        await heard.subscribe("news")
        await until_heard(manager, heard, "before")
        index = [each.port for each in deployment.primaries].index(heard.node.port)
        old = manager.cluster.nodes_manager.current(heard.node)
        assert old is not None
        if fault == "killed":
            await deployment.primaries[index].kill()
            await deployment.promoted(deployment.replica_of(index))
        else:
            await deployment.failover(deployment.replica_of(index))
        key = keys_in(deployment.slots_of(index), 1)[0]
        await manager.cluster.set(key, "value")  # it meets MOVED
        while not old.pool or old.pool.state.value != "closed":
            await until_heard(manager, heard, "meanwhile")

        await until_heard(manager, heard, "after")
        # Who waits without a limit is served too.
        waiting = asyncio.ensure_future(heard.get_message(timeout=None))
        await manager.cluster.publish("news", "last")
        assert await asyncio.wait_for(waiting, 5)
        await manager.aclose()
        with pytest.raises(PoolClosedError):
            await heard.get_message(timeout=1)


@needs("SSUBSCRIBE", redis="7.0")
async def test_a_shard_channel_follows_its_slot_although_nobody_else_asks(
    deployment: ClusterDeployment,
) -> None:
    slot = deployment.slots_of(0)[5]
    channel = keys_in(range(slot, slot + 1), 1)[0]
    source, target = deployment.primaries[:2]
    async with opened(deployment.url) as manager, manager.cluster.pubsub() as subscription:
        await subscription.ssubscribe(channel)
        await subscription.get_sharded_message(timeout=1)
        await move_slot(slot, source, target)

        async with asyncio.timeout(5):
            while True:
                await target.command("SPUBLISH", channel, "moved")
                heard = await subscription.get_sharded_message(timeout=0.05)
                if heard is not None and heard["data"] == "moved":
                    break


async def test_a_node_whose_channels_are_being_moved_has_no_message(
    deployment: ClusterDeployment,
) -> None:
    """redis-py lets go of a node's connection for a moment when it moves its channels."""
    async with opened(deployment.url) as manager, manager.cluster.pubsub() as subscription:
        await subscription.ssubscribe("channel")
        assert await subscription.get_sharded_message(timeout=1)
        (node,) = subscription.node_pubsub_mapping.values()
        connection, node.connection = node.connection, None
        assert await subscription.get_sharded_message(timeout=0.01) is None
        node.connection = connection


async def test_a_subscription_whose_node_stays_away_is_taken_up_by_another(
    steady: ClusterDeployment,
) -> None:
    events: list[Any] = []
    async with (
        opened(steady.url, listeners=[events.append]) as manager,
        manager.cluster.pubsub(ignore_subscribe_messages=True) as heard,
    ):
        await heard.subscribe("news")
        await heard.psubscribe("room:*")
        await heard.get_message(timeout=1)
        await heard.get_message(timeout=1)
        node = next(each for each in steady.primaries if each.port == heard.node.port)
        hearing = asyncio.ensure_future(anext(heard.listen()))
        await asyncio.sleep(0.1)
        await node.kill()
        await until(lambda: manager.stats().resubscribed == 1)
        other = next(each for each in steady.primaries if each is not node)
        await other.command("PUBLISH", "room:1", "after")

        assert (await asyncio.wait_for(hearing, 5))["data"] == "after"
        (event,) = [each for each in events if isinstance(each, Resubscribed)]
        assert event.channels == 2
        assert event.node
        assert 1.5 < event.seconds < 4
        assert manager.stats().missed == event.seconds


@pytest.mark.parametrize(
    "sharded", [False, pytest.param(True, marks=needs("SSUBSCRIBE", redis="7.0"))]
)
async def test_a_restart_of_its_node_is_no_error_for_a_subscription(
    steady: ClusterDeployment, sharded: bool
) -> None:
    async with opened(steady.url) as manager, manager.cluster.pubsub() as pubsub:
        receive: Any = pubsub.get_sharded_message if sharded else pubsub.get_message
        await (pubsub.ssubscribe("news") if sharded else pubsub.subscribe("news"))
        assert await receive(timeout=1)
        port = manager.cluster.get_node_from_key("news").port
        node = next(each for each in steady.primaries if each.port == port)
        heard: list[Any] = []

        async def hear() -> None:
            while True:
                message = await receive(ignore_subscribe_messages=True, timeout=0.1)
                heard.extend([message["data"]] if message else [])

        hearing = asyncio.ensure_future(hear())
        await node.kill()
        await asyncio.sleep(0.7)
        await node.start()
        await until(lambda: manager.stats().resubscribed == 1)
        await node.command("SPUBLISH" if sharded else "PUBLISH", "news", "again")
        await until(lambda: hearing.done() or heard == ["again"])
        assert not hearing.done()
        hearing.cancel()


async def test_a_subscription_that_is_forgotten_gives_its_connection_back(
    shared: ClusterDeployment,
) -> None:
    async with opened(shared.url) as manager:
        pubsub = manager.cluster.pubsub()
        await pubsub.subscribe("news")
        listening = asyncio.ensure_future(anext(pubsub.listen()))
        await listening
        listening = asyncio.ensure_future(anext(pubsub.listen()))
        await asyncio.sleep(0.7)
        listening.cancel()
        await asyncio.wait([listening])
        del pubsub, listening
        gc.collect()
        await until(lambda: manager.stats().leased == 0)


@needs("SSUBSCRIBE", redis="7.0")
async def test_a_subscription_that_is_older_than_the_map(steady: ClusterDeployment) -> None:
    """It is made before the manager opens, and follows the slots of its channels after that."""
    manager = RedisManager(url=steady.url)
    heard = manager.cluster.pubsub()
    async with manager, heard:
        slot = manager.cluster.keyslot("news")
        source = next(i for i in range(3) if slot in steady.slots_of(i))
        await heard.ssubscribe("news")
        await move_slot(slot, steady.primaries[source], steady.primaries[source - 1])

        async with asyncio.timeout(10):
            data = None
            while data != "news":
                await manager.cluster.spublish("news", "news")
                message = await heard.get_sharded_message(
                    ignore_subscribe_messages=True, timeout=0.05
                )
                data = message["data"] if message else None
