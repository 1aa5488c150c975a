"""A full shared connection: who waits is served first in, first out."""

import asyncio
import time
from typing import Any

import pytest

from redis_manager_fastapi import CommandTimeoutError, RedisManager, TooManyWaitersError
from redis_manager_fastapi.delivery.shared import wait_for_room
from redis_manager_fastapi.pool.request import new_request
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import opened, pool_of
from tests.kit.waiting import until


@pytest.mark.parametrize("connections", [1, 2])
async def test_closed_loops_do_not_overtake_those_who_wait(
    redis_url: str, connections: int
) -> None:
    """Row 62."""
    limits: Any = {
        "pipelining": {"enabled": True, "max_in_flight": 10, "connections": connections},
        "timeout": {"command": 1.0},
    }
    async with opened(redis_url, **limits) as manager:
        ends = asyncio.get_running_loop().time() + 1.5
        counts = [0] * 200

        async def loops(number: int) -> None:
            while asyncio.get_running_loop().time() < ends:
                await manager.redis.get("key")
                counts[number] += 1

        await asyncio.gather(*(loops(number) for number in range(200)))

        assert min(counts) > max(counts) / 2


async def test_those_who_wait_go_in_the_order_in_which_they_came(
    redis_server: RedisServer,
) -> None:
    async with opened(
        redis_server.url, pipelining={"enabled": True, "max_in_flight": 3}
    ) as manager:
        redis_server.pause()
        callers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(manager.redis.rpush("came", n)) for n in range(20)
        ]
        await until(lambda: manager.stats().waiting == 17)
        redis_server.resume()
        await asyncio.gather(*callers)

        assert await manager.redis.lrange("came", 0, -1) == [str(n) for n in range(20)]


async def leave(callers: list[asyncio.Future[Any]]) -> None:
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


@pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "late"])
async def test_who_left_a_full_connection_does_not_count(
    redis_server: RedisServer, cancelled: bool
) -> None:
    """Row 62: no TooManyWaitersError with nobody waiting."""
    settings: Any = {
        "pipelining": {"enabled": True, "max_in_flight": 1},
        "pool": {"max_waiting": 5},
    }
    health = {"interval": 9, "timeout": 9}
    async with opened(redis_server.url, health=health, **settings) as manager:
        redis_server.pause()
        seconds = 5 if cancelled else 0.1
        first: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.get("key"))
        await asyncio.sleep(0)
        hasty = manager.redis.with_options(timeout=seconds)
        callers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(hasty.get("key")) for _ in range(5)
        ]
        await until(lambda: manager.stats().waiting == 5)
        with pytest.raises(TooManyWaitersError):
            await manager.redis.get("key")
        if cancelled:
            await leave(callers)
        else:
            outcomes: list[Any] = await asyncio.gather(*callers, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {CommandTimeoutError}
            assert not any(outcome.maybe_executed for outcome in outcomes)

        assert manager.stats().waiting == 0
        patient: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.get("key"))
        await until(lambda: manager.stats().waiting == 1)
        redis_server.resume()
        assert (await first, await patient) == (None, None)


async def test_who_runs_out_of_time_as_room_is_made_is_told_so(redis_url: str) -> None:
    """It was passed over, not sent: nobody else would ever tell it anything."""
    async with opened(redis_url) as manager:
        pool = pool_of(manager)
        deadline = pool.loop.time() + 0.02
        ping, reply = b"*1\r\n$4\r\nPING\r\n", pool.loop.create_future()
        request = new_request(ping, reply, deadline, decode=True, read_only=True)
        waiting = asyncio.create_task(wait_for_room(pool, request))
        await until(lambda: manager.stats().waiting == 1)
        pool.loop.call_at(deadline + 1e-6, pool.link_set.room.next)
        time.sleep(0.05)  # noqa: ASYNC251 (both timers are due in the same turn)

        with pytest.raises(CommandTimeoutError, match="PING on redis 'default' could not be sent"):
            await waiting


async def test_who_left_the_queue_for_leases_does_not_count(redis_url: str) -> None:
    """Row 62, behind one who goes on waiting."""
    pool = {"max_connections": 1, "max_waiting": 5, "acquire_timeout": 5}
    async with opened(redis_url, pool=pool) as manager:
        deadline = asyncio.get_running_loop().time() + 5
        leases = pool_of(manager).leases

        async def wait() -> None:
            async with leases.acquire("waiting", deadline):
                pass

        async with leases.acquire("holding", deadline):
            patient = asyncio.create_task(wait())
            callers: list[asyncio.Future[Any]] = [asyncio.create_task(wait()) for _ in range(4)]
            await until(lambda: manager.stats().waiting == 5)
            with pytest.raises(TooManyWaitersError):
                await wait()
            await leave(callers)

            assert manager.stats().waiting == 1
            another = asyncio.create_task(wait())
            await until(lambda: manager.stats().waiting == 2)
        await asyncio.gather(patient, another)


async def test_who_waits_for_room_goes_on_over_the_next_connection(
    redis_server: RedisServer,
) -> None:
    async with opened(
        redis_server.url, pipelining={"enabled": True, "max_in_flight": 2}
    ) as manager:
        redis_server.pause()
        callers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(manager.redis.incr("counter")) for _ in range(12)
        ]
        await until(lambda: manager.stats().waiting == 10)
        await redis_server.kill()
        await redis_server.start()

        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert sorted(each for each in outcomes if isinstance(each, int)) == list(range(1, 11))


async def test_who_waits_for_room_learns_that_the_app_shuts_down(
    redis_server: RedisServer,
) -> None:
    settings: Any = {
        "pipelining": {"enabled": True, "max_in_flight": 1},
        "shutdown": {"drain": 0.1},
    }
    async with RedisManager(url=redis_server.url, **settings) as manager:
        redis_server.pause()
        callers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(manager.redis.incr("counter")) for _ in range(5)
        ]
        await until(lambda: manager.stats().waiting == 4)
        began = asyncio.get_running_loop().time()
    outcomes: list[Any] = await asyncio.gather(*callers, return_exceptions=True)
    took = asyncio.get_running_loop().time() - began
    redis_server.resume()

    assert [outcome.code for outcome in outcomes[1:]] == ["redis_closed"] * 4
    assert took < 1.0
