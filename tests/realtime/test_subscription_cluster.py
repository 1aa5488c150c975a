"""`manager.subscribe` on a Cluster: nodes that go, and slots that move."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from redis_manager_fastapi import (
    Event,
    Gap,
    Message,
    RedisManager,
    SubscriptionsBroken,
    SubscriptionsHealed,
)
from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.clusters import PATIENT, keys_in, shard_keys
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import until
from tests.realtime.test_subscriptions import counts, next_of

SHARDED = needs("a sharded channel", redis="7.0")


@pytest.fixture
async def deployment() -> AsyncIterator[ClusterDeployment]:
    async with ClusterDeployment() as running:
        yield running


def home_of(manager: RedisManager, name: str) -> int:
    """The port of the server that a channel is heard from."""
    subscriptions = manager._subscriptions
    channel = next(each for key, each in subscriptions._channels.items() if key[1] == name)
    pool = subscriptions._places[channel].pool
    deployment: Any = manager._deployment.require()
    return int(next(node.address.port for node in deployment.map.nodes if node.pool is pool))


async def heard_again(messages: Any, publish: Any) -> list[Any]:
    """Publish until something is heard after a gap; return what came."""
    heard: list[Any] = []
    async with asyncio.timeout(15):
        while not any(isinstance(each, Message) for each in heard):
            await publish()
            try:
                async with asyncio.timeout(0.1):
                    heard.append(await anext(messages))
            except TimeoutError:
                pass
    return heard


async def test_ordinary_channels_share_one_node(deployment: ClusterDeployment) -> None:
    async with (
        opened(deployment.url) as manager,
        manager.subscribe("a", "b", "c", patterns=["room:*"]) as messages,
    ):
        assert counts(manager).connections == 1
        for each in ("a", "b", "c", "room:1"):
            await manager.redis.publish(each, "x")
            assert (await next_of(messages)).channel == each


@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_ordinary_channels_go_to_another_node(fault: str) -> None:
    """They need no election: nobody takes the slots over here."""
    async with (
        ClusterDeployment(elections=False) as deployment,
        opened(deployment.url, **PATIENT) as manager,
        manager.subscribe("news") as messages,
    ):
        port = home_of(manager, "news")
        index = [each.port for each in deployment.primaries].index(port)
        if fault == "killed":
            await deployment.primaries[index].kill()
        else:
            deployment.primaries[index].pause()
        other = deployment.primaries[(index + 1) % 3]
        gap = await next_of(messages, 4.0)
        heard = await heard_again(messages, lambda: other.command("PUBLISH", "news", "x"))
        if fault == "paused":
            deployment.primaries[index].resume()

    assert type(gap) is Gap
    assert heard == [Message("news", "x")]


@SHARDED
async def test_sharded_channels_have_one_connection_for_each_node(
    deployment: ClusterDeployment,
) -> None:
    names = [name for shard in shard_keys(deployment, 2) for name in shard]
    async with (
        opened(deployment.url) as manager,
        manager.subscribe(*names, sharded=True) as messages,
    ):
        assert counts(manager).connections == 3
        for index, shard in enumerate(shard_keys(deployment, 2)):
            for name in shard:
                await deployment.primaries[index].command("SPUBLISH", name, "x")
                assert await next_of(messages) == Message(name, "x")


@SHARDED
async def test_a_sharded_channel_follows_its_slot(deployment: ClusterDeployment) -> None:
    slot = deployment.slots_of(0)[5]
    name = keys_in(range(slot, slot + 1), 1)[0]
    source, target = deployment.primaries[:2]
    async with (
        opened(deployment.url) as manager,
        manager.subscribe(name, sharded=True) as messages,
    ):
        for server in (target, source, target):
            origin = source if server is target else target
            await move_slot(slot, origin, server)
            gap = await next_of(messages)
            await server.command("SPUBLISH", name, "x")
            assert (type(gap), await next_of(messages)) == (Gap, Message(name, "x"))
            assert home_of(manager, name) == server.port
        assert counts(manager).deaf == ()


@SHARDED
async def test_all_channels_of_a_moved_slot_are_one_break(deployment: ClusterDeployment) -> None:
    events: list[Event] = []
    slot = deployment.slots_of(0)[5]
    tag = keys_in(range(slot, slot + 1), 1)[0]
    names = [f"{{{tag}}}{number}" for number in range(5)]
    async with (
        RedisManager(url=deployment.url, listeners=[events.append]) as manager,
        manager.subscribe(*names, sharded=True) as messages,
    ):
        await move_slot(slot, *deployment.primaries[:2])
        assert type(await next_of(messages)) is Gap
        stats = counts(manager)

    assert (stats.gaps, stats.deaf) == (1, ())
    assert [each.channels for each in events if isinstance(each, SubscriptionsBroken)] == [5]
    assert len([each for each in events if isinstance(each, SubscriptionsHealed)]) == 1


@SHARDED
async def test_breaks_of_two_nodes_at_once_are_both_counted_and_healed(
    deployment: ClusterDeployment,
) -> None:
    events: list[Event] = []
    names = [shard[0] for shard in shard_keys(deployment, 1)]
    async with (
        RedisManager(url=deployment.url, listeners=[events.append]) as manager,
        manager.subscribe(*names[:2], sharded=True) as messages,
    ):
        for source in manager._subscriptions._sources.values():
            assert source._flow is not None
            source._flow.lose("lost in the same turn")
        assert type(await next_of(messages)) is Gap
        stats = counts(manager)

    assert (stats.gaps, stats.deaf) == (2, ())
    assert len([each for each in events if isinstance(each, SubscriptionsBroken)]) == 2
    assert len([each for each in events if isinstance(each, SubscriptionsHealed)]) == 2


@SHARDED
async def test_a_sharded_channel_outlives_its_primary(deployment: ClusterDeployment) -> None:
    name, other = shard_keys(deployment, 1)[0][0], shard_keys(deployment, 1)[1][0]
    async with (
        opened(deployment.url, **PATIENT) as manager,
        manager.subscribe(name, sharded=True) as messages,
        manager.subscribe(other, sharded=True) as others,
    ):
        await deployment.primaries[0].kill()
        await until(lambda: counts(manager).deaf == (name,))
        assert not manager.is_ready
        await deployment.promoted(deployment.replica_of(0))
        heir: RedisServer = deployment.replica_of(0)
        heard = await heard_again(messages, lambda: heir.command("SPUBLISH", name, "x"))
        await until(lambda: manager.is_ready, 10)
        await deployment.primaries[1].command("SPUBLISH", other, "y")
        assert await next_of(others) == Message(other, "y")

    assert [type(each) for each in heard] == [Gap, Message]
    assert heard[1] == Message(name, "x")


async def test_what_a_process_publishes_to_itself_after_a_restart_is_heard(
    deployment: ClusterDeployment,
) -> None:
    """Its subscription goes to another node; the command that waits comes after it."""
    async with opened(deployment.url, **PATIENT) as manager:
        for _ in range(3):
            async with manager.subscribe("news") as messages:
                port = home_of(manager, "news")
                server = next(each for each in deployment.nodes if each.port == port)
                await server.restart()
                heard = await heard_again(messages, lambda: manager.redis.publish("news", "x"))
                assert [type(each) for each in heard] == [Gap, Message]
            await until(lambda: manager.is_ready, 20)
