"""Listeners hold their places for as long as they like, and starve nobody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from redis_manager_fastapi import PoolTimeoutError, RedisManager
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import opened
from tests.kit.waiting import until

PLACES = 20
IMPATIENT: dict[str, Any] = {"max_connections": PLACES, "acquire_timeout": 0.2}
SET_IF = "return redis.call('SET', KEYS[1], ARGV[1])"


@asynccontextmanager
async def subscribers(redis: Redis) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for _ in range(PLACES):
            pubsub = await stack.enter_async_context(redis.pubsub())
            await pubsub.subscribe("news")
        yield


@asynccontextmanager
async def poppers(redis: Redis) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(redis.blpop(["jobs"], timeout=0)) for _ in range(PLACES)]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@asynccontextmanager
async def pinned(redis: Redis) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for _ in range(PLACES):
            await stack.enter_async_context(redis.client())
        yield


async def large_set(redis: Redis) -> None:
    assert await redis.set("large", "x" * 70_000)


async def watch(redis: Redis) -> None:
    async with redis.pipeline() as pipe:
        await pipe.watch("k")
        pipe.multi()
        pipe.set("k", "v")
        assert await pipe.execute() == [True]


async def release_lock(redis: Redis) -> None:
    lock = redis.lock("lock", timeout=10)
    assert await lock.acquire()
    await redis.script_flush()
    await lock.release()


async def wait_for_replicas(redis: Redis) -> None:
    assert await redis.wait(1, 20) == 0


async def many_at_once(redis: Redis) -> None:
    await asyncio.gather(*(large_set(redis) for _ in range(50)))


@pytest.mark.parametrize("listen", [subscribers, poppers, pinned])
@pytest.mark.parametrize("act", [large_set, watch, release_lock, wait_for_replicas, many_at_once])
async def test_listeners_on_every_place_starve_nobody(
    redis_url: str,
    listen: Callable[[Redis], Any],
    act: Callable[[Redis], Awaitable[None]],
) -> None:
    pool = IMPATIENT | {"acquire_timeout": 2.0}  # fifty take turns at what is left
    async with opened(redis_url, pool=pool) as manager, listen(manager.redis):
        await until(lambda: manager.stats().leased == PLACES)

        await act(manager.redis)


async def test_a_hundred_subscriptions_leave_room_for_commands(redis_url: str) -> None:
    """One that finds no place is told how many there are, and what has them."""
    async with (
        opened(redis_url, pool={"max_connections": 100, "acquire_timeout": 2.0}) as manager,
        AsyncExitStack() as stack,
    ):
        for _ in range(100):
            pubsub = await stack.enter_async_context(manager.redis.pubsub())
            await pubsub.subscribe("news")

        await asyncio.gather(
            *(large_set(manager.redis) for _ in range(50)),
            *(watch_own(manager, n) for n in range(50)),
        )
        with pytest.raises(PoolTimeoutError, match=r"100 of 100 leased, \d+ waiting"):
            await manager.redis.pubsub().subscribe("news")


async def watch_own(manager: RedisManager, number: int) -> None:
    async with manager.redis.pipeline() as pipe:
        await pipe.watch(f"key:{number}")
        pipe.multi()
        pipe.set(f"key:{number}", "v")
        assert await pipe.execute() == [True]


async def test_places_are_limited_for_listeners_and_for_commands(
    redis_server: RedisServer, redis_url: str
) -> None:
    """No listener takes a spare place, and commands take a quarter more at most."""
    async with opened(redis_url, pool=IMPATIENT) as manager, subscribers(manager.redis):
        with pytest.raises(PoolTimeoutError):
            await manager.redis.blpop(["jobs"], timeout=1)

        pipes = [manager.redis.pipeline() for _ in range(PLACES // 4)]
        for pipe in pipes:
            await pipe.watch("k")
        with pytest.raises(PoolTimeoutError):
            await large_set(manager.redis)
        assert manager.stats().leased == PLACES + PLACES // 4
        for pipe in pipes:
            await pipe.reset()


async def test_a_command_passes_a_listener_that_waits(redis_url: str) -> None:
    async with opened(redis_url, pool={"max_connections": 1}) as manager:
        redis = manager.redis
        async with redis.pubsub() as pubsub:
            await pubsub.subscribe("news")
            waiting = asyncio.ensure_future(redis.blpop(["jobs"], timeout=1))
            await until(lambda: manager.stats().waiting == 1)

            await large_set(redis)

            assert manager.stats().waiting == 1
            await redis.rpush("jobs", "job")
        assert tuple(await waiting or ()) == ("jobs", "job")
