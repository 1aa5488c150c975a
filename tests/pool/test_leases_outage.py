"""Leases through an outage, over a slow network, and when another server is named the primary."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi import (
    ClientEndedError,
    CommandTimeoutError,
    PoolState,
    RedisManager,
    RedisManagerError,
    ReplyLostError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.leasing import acquire, release
from tests.kit.managers import opened, pool_of, until_state
from tests.kit.waiting import eventually, until


async def subscribers(server: RedisServer, channel: str) -> int:
    _, count = await server.command("PUBSUB", "NUMSUB", channel)
    return int(count)


async def test_a_subscription_whose_lease_ends_in_an_outage_stays_ended(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """It was waiting to connect again: the connection would belong to nobody."""
    async with opened(fault_proxy.url) as manager:
        async with manager.client() as client:
            subscription: Any = client.pubsub()
            await subscription.subscribe("news")
            await subscription.get_message(timeout=1)
            await fault_proxy.refuse(cut=True)
            await until(lambda: not manager.is_ready)
            waiting = asyncio.ensure_future(subscription.get_message(timeout=None))
            await asyncio.sleep(0.05)
        await fault_proxy.pass_through()

        with pytest.raises(RedisManagerError):
            await waiting
        await until(lambda: manager.is_ready)
        with pytest.raises(ClientEndedError):
            await subscription.get_message(timeout=1)
        assert await subscribers(redis_server, "news") == 0


async def test_who_shares_a_subscription_connects_it_again_once(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    async with opened(fault_proxy.url) as manager, manager.redis.pubsub() as subscription:
        await subscription.subscribe("news")
        await fault_proxy.refuse(cut=True)
        await until(lambda: not manager.is_ready)
        adding = [asyncio.ensure_future(subscription.subscribe(f"{n}")) for n in range(10)]
        await asyncio.sleep(0.05)
        before = len((await fault_proxy.stats()).connect_times)
        await fault_proxy.pass_through()
        await asyncio.gather(*adding)
        await until_state(manager, PoolState.READY)

        async def all_heard() -> bool:
            return all([await subscribers(redis_server, f"{n}") == 1 for n in range(10)])

        await eventually(all_heard)
        # The supervisor's, one that may be beside it, and the subscription's own.
        assert len((await fault_proxy.stats()).connect_times) - before <= 3


async def test_a_pinned_client_s_deadline_holds_while_another_task_uses_its_connection(
    redis_url: str,
) -> None:
    async with opened(redis_url) as manager, manager.connection() as pinned:
        blocked = asyncio.ensure_future(pinned.xread({"nothing": "$"}, block=60_000))
        await asyncio.sleep(0.05)
        with pytest.raises(CommandTimeoutError) as raised:
            await pinned.with_options(timeout=0.1).set("key", "value")
        assert not raised.value.maybe_executed
        blocked.cancel()
        await asyncio.gather(blocked, return_exceptions=True)


async def test_a_cold_pool_far_away_serves_as_many_as_it_has_places(
    fault_proxy: FaultProxy,
) -> None:
    """`acquire_timeout` is for a place that somebody holds, not for a connect of one's own."""
    await fault_proxy.delay(to_client=0.01)
    limits: dict[str, Any] = {"acquire_timeout": 0.1, "max_connections": 12}
    async with opened(fault_proxy.url, pool=limits, timeout={"command": 10.0}) as manager:
        held = await asyncio.gather(*(acquire(manager) for _ in range(12)))
        assert len(set(held)) == 12
        for connection in held:
            await release(manager, connection)


async def test_a_move_that_is_heard_while_connecting_counts(fault_proxy: FaultProxy) -> None:
    """At the opening, and under a lease: what was being opened leads to the old server."""
    await fault_proxy.delay(to_client=0.1)
    manager = RedisManager(url=fault_proxy.url, startup={"policy": "degraded"})
    opening = asyncio.ensure_future(manager.open())
    await until(lambda: manager._deployment.opened is not None and manager.stats().connects == 1)
    pool = pool_of(manager)
    pool.moved("another server was named")
    await opening
    await until(lambda: manager.is_ready)
    assert manager.stats().connects == 2

    leasing = asyncio.ensure_future(acquire(manager))
    await until(lambda: manager.stats().opening == 1)
    pool.moved("another server was named")
    connection = await leasing
    assert connection.generation == pool.generation == 2
    await release(manager, connection)
    await manager.aclose()


async def test_a_lease_ends_when_a_heal_finds_another_primary_by_asking() -> None:
    """The Sentinels' news was lost, and the old primary is alive."""
    async with SentinelDeployment() as deployment:
        old = await deployment.primary()
        async with opened(deployment.url) as manager, manager.connection() as pinned:
            assert await pinned.set("key", "value")
            pool: Any = pool_of(manager)
            await pool.dialer._topology.aclose()
            await deployment.failover()
            await deployment.elected(old)
            host, port = pool.links[0]._transport.get_extra_info("sockname")[:2]
            await old.command("CLIENT", "KILL", "ADDR", f"{host}:{port}")
            await until(lambda: manager.stats().generation == 2, 10)

            with pytest.raises(ReplyLostError):
                await pinned.get("key")
