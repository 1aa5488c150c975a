"""A caller that asks again at once, for ever, while it is refused (row 57): the loop turns."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis as PlainRedis
from redis.exceptions import DataError

from redis_manager_fastapi import (
    ClientEndedError,
    PoolClosedError,
    PoolState,
    RedisManager,
    RedisManagerError,
    RedisNotStartedError,
    RedisOutOfMemoryError,
    RedisUnavailableError,
    TooManyWaitersError,
)
from redis_manager_fastapi.pool import pacing
from redis_manager_fastapi.testing import RedisServer
from tests.kit.asking import MOST, MOST_OF_NEW_TASKS, Call, asking
from tests.kit.asking import assert_loop_turns as assert_turns
from tests.kit.managers import until_state
from tests.kit.waiting import until

pytestmark = pytest.mark.timeout(30)


async def get(r: Any) -> None:
    await r.get("key")


async def gathered(r: Any) -> None:
    await asyncio.gather(r.get("key"), r.get("other"))


async def unpackable(r: Any) -> None:
    await r.set("key", object())


async def blpop(r: Any) -> None:
    await r.blpop(["jobs"], timeout=5)


async def script(r: Any) -> None:
    await r.eval("return 1", 0)


async def pipeline(r: Any) -> None:
    await r.pipeline(transaction=False).get("key").set("key", 1).execute()


async def transaction(r: Any) -> None:
    await r.pipeline().set("key", 1).execute()


async def watch(r: Any) -> None:
    async with r.pipeline() as pipe:
        await pipe.watch("key")


async def subscribe(r: Any) -> None:
    async with r.pubsub() as pubsub:
        await pubsub.subscribe("news")


async def monitor(r: Any) -> None:
    async with r.monitor():
        pass


async def pinned(r: Any) -> None:
    async with r.client() as client:
        await client.get("key")


async def lock(r: Any) -> None:
    await r.lock("lock").acquire(blocking=False)


async def blpop_pushes(r: Any) -> None:
    await r.blmove("jobs", "taken", 5)


SHARED = [get, gathered, script, pipeline, transaction]
LEASED = [blpop, watch, subscribe, monitor, pinned]
CALLS = [*SHARED, *LEASED, lock]


async def assert_loop_turns(call: Call, client: Any, error: type[Exception]) -> None:
    await assert_turns(call, client, error, most=MOST_OF_NEW_TASKS if call is gathered else MOST)


@pytest.mark.parametrize("call", CALLS)
async def test_while_redis_is_known_to_be_down(redis_server: RedisServer, call: Call) -> None:
    async with RedisManager(url=redis_server.url, outage={"grace": 0}) as manager:
        await redis_server.kill()
        await until_state(manager, PoolState.DOWN)

        await assert_loop_turns(call, manager.redis, RedisUnavailableError)


@pytest.mark.parametrize("call", CALLS)
async def test_after_the_manager_was_closed(redis_server: RedisServer, call: Call) -> None:
    """A worker that the app forgot to cancel at its shutdown."""
    async with RedisManager(url=redis_server.url) as manager:
        client = manager.redis

    await assert_loop_turns(call, client, PoolClosedError)


@pytest.mark.parametrize("call", CALLS)
async def test_before_the_manager_was_opened(call: Call) -> None:
    manager = RedisManager(url="redis://127.0.0.1:1")

    await assert_loop_turns(call, manager.redis, RedisNotStartedError)


@pytest.mark.parametrize("call", [call for call in CALLS if call is not monitor])
async def test_after_the_client_has_ended(redis_server: RedisServer, call: Call) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        async with manager.client() as client:
            pass

        await assert_loop_turns(call, client, ClientEndedError)


@pytest.mark.parametrize("call", [call for call in LEASED if call is not watch])
async def test_while_too_many_callers_wait(redis_server: RedisServer, call: Call) -> None:
    """WATCH has a spare place, which those that hold theirs for long leave free."""
    pool = {"max_connections": 1, "max_waiting": 1, "acquire_timeout": 60}
    settings: dict[str, Any] = {"pool": pool, "timeout": {"command": 60}}
    async with AsyncExitStack() as stack:
        manager = await stack.enter_async_context(RedisManager(url=redis_server.url, **settings))
        await stack.enter_async_context(manager.connection())
        waiting = asyncio.create_task(manager.redis.blpop(["jobs"], timeout=60))
        await until(lambda: manager.stats().waiting == 1)

        await assert_loop_turns(call, manager.redis, TooManyWaitersError)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize("call", LEASED)
async def test_at_maxclients(redis_server: RedisServer, call: Call) -> None:
    """The shared connection serves, and no other one can be made."""
    manager = RedisManager(url=redis_server.url, outage={"grace": 0})
    async with manager, redis_server.client() as other:
        await other.config_set("maxclients", 1)

        await assert_loop_turns(call, manager.redis, RedisUnavailableError)


async def test_entering_a_closed_manager(redis_server: RedisServer) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        pass

    async def enter(_: Any) -> None:
        async with manager.client():
            pass

    await assert_loop_turns(enter, None, PoolClosedError)


async def test_waiting_for_a_manager_that_nobody_opened() -> None:
    manager = RedisManager(url="redis://127.0.0.1:1")

    await assert_loop_turns(lambda _: manager.wait_ready(1), None, RedisNotStartedError)


async def unpackable_blpop(r: Any) -> None:
    await r.blpop(["key"], timeout=object())


async def unpackable_pipeline(r: Any) -> None:
    await r.pipeline(transaction=False).set("key", object()).execute()


async def unpackable_transaction(r: Any) -> None:
    await r.pipeline(transaction=True).set("key", object()).execute()


async def unpackable_script(r: Any) -> None:
    await r.eval("return 1", 1, object())


async def unpackable_watch(r: Any) -> None:
    async with r.pipeline(transaction=True) as pipe:
        await pipe.watch(object())


async def unpackable_channel(r: Any) -> None:
    async with r.pubsub() as pubsub:
        await pubsub.subscribe(object())


async def unpackable_dedicated(r: Any) -> None:
    await r.with_options(dedicated=True).set("key", object())


async def unpackable_pinned(r: Any) -> None:
    async with r.client() as client:
        await client.set("key", object())


async def unpackable_foreign(r: Any) -> None:
    client: Any = PlainRedis(connection_pool=r.connection_pool)
    await client.set("key", object())


async def unpackable_foreign_pipeline(r: Any) -> None:
    client: Any = PlainRedis(connection_pool=r.connection_pool)
    await client.pipeline().set("key", object()).execute()


MISTAKES = [
    *(unpackable, unpackable_blpop, unpackable_pipeline, unpackable_transaction),
    *(unpackable_script, unpackable_watch, unpackable_channel, unpackable_dedicated),
    *(unpackable_pinned, unpackable_foreign, unpackable_foreign_pipeline),
]


@pytest.mark.usefixtures("pipelining")
@pytest.mark.parametrize("call", MISTAKES)
async def test_what_cannot_be_packed(redis_server: RedisServer, call: Call) -> None:
    """A mistake of the caller's, and no less a loop."""
    async with RedisManager(url=redis_server.url) as manager:
        await assert_loop_turns(call, manager.redis, DataError)


@pytest.mark.usefixtures("pipelining")
@pytest.mark.parametrize("call", [transaction, blpop_pushes])
async def test_a_condition_of_the_server(redis_server: RedisServer, call: Call) -> None:
    """It refuses every write, by its own word."""
    async with RedisManager(url=redis_server.url) as manager:
        await redis_server.config_set("maxmemory", 1)

        await assert_loop_turns(call, manager.redis, RedisOutOfMemoryError)


async def test_opening_what_is_open(redis_server: RedisServer) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        await assert_loop_turns(lambda _: manager.open(), None, RedisManagerError)


async def test_an_attempt_that_takes_a_while_is_no_fresh_start() -> None:
    """As a connect on a busy machine: those that follow are not all free again."""
    loop, turnstile = asyncio.get_running_loop(), pacing.turnstile()
    began = loop.time()
    for number in range(300):
        if number % 10 == 0:
            await asyncio.sleep(0.012)
        await turnstile.refused()

    assert loop.time() - began > 1.0


@pytest.mark.parametrize("call", [get, blpop, pipeline, watch])
async def test_it_heals_under_a_caller_that_asks_again(
    redis_server: RedisServer, call: Call
) -> None:
    async with RedisManager(url=redis_server.url, outage={"grace": 0}) as manager:
        await manager.redis.rpush("jobs", *range(1000))
        async with asking(call, manager.redis) as errors:
            await redis_server.kill()
            await until(lambda: errors[RedisUnavailableError] > 5)
            await redis_server.start()
            await until(lambda: manager.is_ready)
