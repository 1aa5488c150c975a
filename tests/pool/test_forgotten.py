"""Leases that their holder has dropped are given back, outside a request as well."""

import asyncio
import gc
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import RedisError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import assert_at_rest, opened
from tests.kit.servers import needs
from tests.kit.waiters import foreign, own
from tests.kit.waiting import until

Hold = Callable[[RedisManager], Awaitable[Any]]
Act = Callable[[], Awaitable[Any]]


async def subscribed(manager: RedisManager) -> Any:
    pubsub = manager.redis.pubsub()
    await pubsub.subscribe("news")
    return pubsub


async def subscribed_with_a_handler(manager: RedisManager) -> Any:
    pubsub = manager.redis.pubsub()
    await pubsub.psubscribe(**{"news.*": print})
    return pubsub


async def watching(manager: RedisManager) -> Any:
    pipeline = manager.redis.pipeline()
    await pipeline.watch("k")
    return pipeline


async def monitoring(manager: RedisManager) -> Any:
    monitor = manager.redis.monitor()
    await monitor.__aenter__()
    return monitor


async def pinned(manager: RedisManager) -> Any:
    client = manager.redis.client()
    await client.__aenter__()
    await client.ping()
    return client


async def leased(manager: RedisManager) -> Any:
    return await manager.connection_pool.get_connection()


HOLDERS = [subscribed, subscribed_with_a_handler, watching, monitoring, pinned, leased]


@pytest.mark.parametrize("protocol", [2, pytest.param(3, marks=needs("RESP3", redis="6.0"))])
@pytest.mark.parametrize("hold", HOLDERS)
async def test_a_dropped_lease_is_given_back_with_one_warning(
    redis_url: str, caplog: pytest.LogCaptureFixture, hold: Hold, protocol: int
) -> None:
    """Row 66: dropped without being closed, by as many as there are places, twice."""
    url = f"{redis_url}?protocol={protocol}"
    async with opened(url, pool={"max_connections": 2}) as manager:
        for number in range(4):
            holder = await hold(manager)
            with caplog.at_level(logging.WARNING):
                del holder
                await until(lambda: manager.stats().leased == 0)
            assert len(caplog.records) == number + 1
        assert "was dropped while it was open" in caplog.text


async def test_what_a_dropped_holder_was_waiting_for_goes_to_who_waits(redis_url: str) -> None:
    async with opened(redis_url, pool={"max_connections": 1}) as manager:
        holder = await subscribed(manager)
        next_one = asyncio.ensure_future(subscribed(manager))
        await until(lambda: manager.stats().waiting == 1)

        del holder

        async with await next_one:
            assert manager.stats().leased == 1


async def test_a_lease_may_be_dropped_in_a_cycle_that_another_thread_collects(
    redis_url: str,
) -> None:
    async with opened(redis_url) as manager:
        cycle: list[Any] = [await subscribed(manager)]
        cycle.append(cycle)
        collector = threading.Thread(target=gc.collect)
        gc.disable()
        try:
            del cycle
            collector.start()
            collector.join()
        finally:
            gc.enable()

        await until(lambda: manager.stats().leased == 0)
        assert_at_rest(manager)


async def test_a_lease_that_was_closed_is_not_missed(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(redis_url) as manager:
        for hold in (subscribed, watching, pinned):
            holder = await hold(manager)
            await (holder.reset() if hold is watching else holder.aclose())
            del holder
        gc.collect()

    assert not caplog.records


async def test_a_subscription_whose_listener_was_cancelled_gives_its_connection_back(
    redis_url: str,
) -> None:
    """Its own PING, sent while it was listening, does not keep it."""
    async with opened(redis_url) as manager:
        pubsub: Any = manager.redis.pubsub(ignore_subscribe_messages=True)
        await pubsub.subscribe("news")
        listening = asyncio.ensure_future(anext(pubsub.listen()))
        await asyncio.sleep(0.7)
        listening.cancel()
        await asyncio.wait([listening])
        del pubsub, listening
        gc.collect()
        await until(lambda: manager.stats().leased == 0)


async def listening_at(client: Any) -> tuple[Any, Act]:
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    await pubsub.subscribe("news")
    return pubsub, lambda: pubsub.get_message(timeout=None)


async def watching_at(client: Any) -> tuple[Any, Act]:
    pipeline = client.pipeline()
    await pipeline.watch("text")
    return pipeline, lambda: pipeline.lpush("text", "v")


async def monitoring_at(client: Any) -> tuple[Any, Act]:
    monitor = client.monitor()
    await monitor.__aenter__()
    return monitor, monitor.next_command


async def pinned_at(client: Any) -> tuple[Any, Act]:
    one = client.client()
    await one.__aenter__()
    return one, lambda: one.lpush("text", "v")


async def kill(server: RedisServer) -> None:
    await server.stop()


async def leave_alone(server: RedisServer) -> None:
    """The command has the server's own error."""


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    ("client", "hold", "disturb"),
    [
        (own, listening_at, kill),
        (foreign, listening_at, kill),
        (own, monitoring_at, kill),
        (foreign, monitoring_at, kill),
        (own, pinned_at, kill),
        (own, pinned_at, leave_alone),
        (own, watching_at, leave_alone),
    ],
)
async def test_who_gives_up_after_an_error_keeps_no_connection(
    redis_server: RedisServer,
    client: Any,
    hold: Callable[[Any], Awaitable[tuple[Any, Act]]],
    disturb: Callable[[RedisServer], Awaitable[None]],
) -> None:
    """The error's own frames are in no reference cycle, though its handler has ended."""
    settings: Any = {"pool": {"max_connections": 2}, "outage": {"grace": 0.1}}
    async with opened(redis_server.url, **settings) as manager:
        await manager.redis.set("text", "v")
        for _ in range(3):
            holder, act = await hold(client(manager))
            await disturb(redis_server)
            for _ in range(2):
                with suppress(RedisError):
                    await act()
            if disturb is kill:
                await redis_server.start()
                await manager.wait_ready(10)

            del holder, act

            await until(lambda: manager.stats().leased == 0)
