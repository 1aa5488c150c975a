"""How long a pipeline on a connection of its own may take: as long as its client says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from redis_manager_fastapi import CommandTimeoutError, PoolTimeoutError, RedisManager
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import RedisServer
from tests.kit.waiting import until

SHORT, LONG = 0.15, 5.0
BLOCK = 300  # milliseconds


async def store(redis: Redis) -> Any:
    pipe = redis.pipeline()
    pipe.set("key", "value")
    return await pipe.execute()


async def watch(redis: Redis) -> Any:
    async with redis.pipeline() as pipe:
        return await pipe.watch("key")


@pytest.fixture
async def manager(redis_url: str) -> AsyncIterator[RedisManager]:
    """A manager with little time for a command, much for a place, and one place."""
    settings: dict[str, Any] = {
        "timeout": {"command": SHORT},
        "pool": {"max_connections": 1, "acquire_timeout": LONG},
        "health": {"interval": 30.0},
    }
    async with RedisManager(url=redis_url, **settings) as manager:
        yield manager


async def test_blocking_command_has_the_time_of_the_pipeline(manager: RedisManager) -> None:
    pipe = manager.redis.with_options(timeout=LONG).pipeline(transaction=False)
    pipe.xread({"nothing": "$"}, block=BLOCK)
    pipe.set("key", "value")

    assert [bool(reply) for reply in await pipe.execute()] == [False, True]


async def test_blocking_command_under_watch_has_its_own_time(manager: RedisManager) -> None:
    async with manager.redis.pipeline() as pipe:
        await pipe.watch("key")

        assert not await pipe.xread({"nothing": "$"}, block=BLOCK)
        assert await pipe.set("key", "value") is True


async def test_pipeline_waits_for_a_place_as_long_as_its_client_says(
    manager: RedisManager,
) -> None:
    held = manager.redis.pipeline()
    await held.watch("another key")
    client = manager.redis.with_options(timeout=LONG, dedicated=True)
    calls = [asyncio.ensure_future(act(client)) for act in (store, watch)]
    await until(lambda: manager.stats().waiting == 2)
    await asyncio.sleep(2 * SHORT)
    await held.reset()

    assert await asyncio.gather(*calls) == [[True], True]


async def test_pipeline_that_found_no_place_was_not_executed(manager: RedisManager) -> None:
    held = manager.redis.pipeline()
    await held.watch("another key")
    client = manager.redis.with_options(dedicated=True)

    with pytest.raises(PoolTimeoutError) as raised:
        await store(client)

    assert not raised.value.maybe_executed
    assert manager.stats().waiting == 0
    await held.reset()


async def test_silence_under_watch_is_no_changed_key(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    """A `WatchError` asks for the same once more, which would be as silent."""
    async with manager.redis.pipeline() as pipe:
        await pipe.watch("key")
        redis_server.pause()
        try:
            with pytest.raises(CommandTimeoutError):
                await pipe.get("key")
        finally:
            redis_server.resume()

    assert manager.stats().leased == 0


async def test_block_that_watches_ends_in_time_beside_a_silent_server(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    pipe = manager.redis.pipeline()
    await pipe.watch("key")
    redis_server.pause()
    try:
        async with asyncio.timeout(LONG):
            with pytest.raises(CommandTimeoutError):
                await pipe.reset()
    finally:
        redis_server.resume()

    assert manager.stats().leased == 0


async def count_apart(redis: Redis) -> Any:
    return await redis.pipeline(transaction=False).incr("n").incr("n").execute()


@pytest.mark.parametrize("dedicated", [False, True])
@pytest.mark.parametrize(("act", "name"), [(store, "transaction"), (count_apart, "pipeline")])
async def test_a_late_one_is_named_by_what_it_is(
    redis_server: RedisServer,
    pipelining: None,
    manager: RedisManager,
    act: Any,
    name: str,
    dedicated: bool,
) -> None:
    client = manager.redis.with_options(dedicated=dedicated)
    await act(client)
    redis_server.pause()
    try:
        with pytest.raises(CommandTimeoutError, match=f"^a {name} on redis 'default' "):
            await act(client)
    finally:
        redis_server.resume()
