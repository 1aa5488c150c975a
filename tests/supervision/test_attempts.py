"""A probe that hangs: a second attempt beside it, never a third."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi import PoolState
from redis_manager_fastapi.pool.state import Suspicion
from redis_manager_fastapi.testing.proxy import FaultProxy
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.managers import opened, pool_of, until_state
from tests.kit.waiting import eventually, until

HEALTH = {"interval": 0.1, "timeout": 0.1, "backoff_cap": 0.2}
PATIENT = {"timeout": {"connect": 30.0, "command": 30.0}, "outage": {"grace": 30.0}}


async def test_a_probe_that_hangs_does_not_hold_up_the_heal(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """The first attempt would hang for 30 s; one begun after the hole's end heals."""
    async with opened(fault_proxy.url, health=HEALTH, **PATIENT) as manager:
        await fault_proxy.black_hole()
        await until_state(manager, PoolState.SUSPECT)
        waiting: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.get("key"))
        await until(lambda: manager.stats().connects >= 4)
        await fault_proxy.pass_through()

        async with asyncio.timeout(5):
            assert await waiting is None
        assert manager.stats().generation == 2


async def test_at_most_two_attempts_hang_at_once(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """One replaces the younger of two; the first keeps its whole limit."""
    async with opened(fault_proxy.url, health=HEALTH, **PATIENT) as manager:
        await fault_proxy.black_hole()
        most = 0
        while manager.stats().connects < 8:
            hanging = [task for task in asyncio.all_tasks() if "HedgedConnect" in repr(task)]
            most = max(most, len(hanging))
            await asyncio.sleep(0.01)

        assert most == 2
        assert manager.stats().state is PoolState.SUSPECT  # nothing has failed yet


@pytest.mark.parametrize("delay", [0.3, 0.7])
async def test_a_slow_server_is_given_its_whole_limit(
    redis_server: RedisServer, fault_proxy: FaultProxy, delay: float
) -> None:
    """A handshake that takes longer than the backoff's cap ends well all the same."""
    limits = {**PATIENT, "health": {**HEALTH, "timeout": 5.0}}
    async with opened(fault_proxy.url, **limits) as manager:
        await fault_proxy.delay(to_client=delay)
        await fault_proxy.reset()

        assert await manager.redis.get("key") is None
        assert manager.stats().generation == 2


async def test_what_a_loser_made_is_closed(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """After the heal the server knows only the pool's own connections."""
    async with opened(fault_proxy.url, health=HEALTH, **PATIENT) as manager:
        await fault_proxy.delay(to_client=0.15)
        for _ in range(3):
            await fault_proxy.reset()
            assert await manager.redis.get("key") is None
        await fault_proxy.pass_through()
        stats = manager.stats()

        async with redis_server.client() as admin:

            async def only_ours() -> bool:
                return len(await admin.client_list()) == stats.links + stats.idle + 1

            await eventually(only_ours)
        assert len(pool_of(manager).links) == stats.links


async def test_a_lease_s_connect_counts_as_the_second(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """While a lease's own connect hangs, the probe's first attempt stays alone."""
    async with opened(fault_proxy.url, health=HEALTH, **PATIENT) as manager:
        pool, blocking = pool_of(manager), manager.redis.with_options(dedicated=True)
        await fault_proxy.black_hole(existing=False)
        leases = [asyncio.ensure_future(blocking.get("key")) for _ in range(5)]
        await until(lambda: pool.dialer.second_connect.locked())
        pool.suspect(pool.generation, Suspicion.REFUSING, "a test")
        most = 0
        ends = pool.loop.time() + 4 * HEALTH["backoff_cap"]
        while pool.loop.time() < ends:
            most = max(most, (await fault_proxy.stats()).open)
        for lease in leases:
            lease.cancel()
        await asyncio.gather(*leases, return_exceptions=True)

        assert most == 3  # the shared connection, the lease's and the probe's
