"""What listens begins again at once, for ever, while it is refused or has ended: the loop turns."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from redis_manager_fastapi import (
    ListenerTooSlowError,
    PoolClosedError,
    PoolState,
    RedisManager,
    RedisNotStartedError,
    RedisUnavailableError,
)
from redis_manager_fastapi.testing import RedisServer
from tests.kit.asking import MOST, WATCHED, Call, asked_meanwhile, asking, assert_loop_turns
from tests.kit.managers import until_state
from tests.kit.waiting import until

pytestmark = pytest.mark.timeout(30)


async def listen(manager: RedisManager) -> None:
    async with manager.subscribe("news") as messages:
        async for _ in messages:
            pass


async def tail(manager: RedisManager) -> None:
    async with manager.tail("stream") as entries:
        async for _ in entries:
            pass


async def consume(manager: RedisManager) -> None:
    async with manager.consume("stream", group="group") as entries:
        async for _ in entries:
            pass


LISTENERS = [listen, tail, consume]


@pytest.mark.parametrize("call", LISTENERS)
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1"])
async def test_listening_before_the_manager_was_opened(url: str, call: Call) -> None:
    await assert_loop_turns(call, RedisManager(url=url), RedisNotStartedError)


@pytest.mark.parametrize("call", LISTENERS)
async def test_listening_over_the_end_of_the_manager(redis_server: RedisServer, call: Call) -> None:
    """A worker that the app forgot to cancel: its iteration ends, and it begins another one."""
    async with RedisManager(url=redis_server.url) as manager:
        asked = asking(call, manager)
        errors = await asked.__aenter__()
        await until(lambda: sum_of_listeners(manager) == 1)

    await until(lambda: errors.total() > 0)
    assert 0 < await asked_meanwhile(errors) < MOST
    assert set(errors) == {PoolClosedError}
    await asked.__aexit__(None, None, None)


def sum_of_listeners(manager: RedisManager) -> int:
    realtime = manager.stats().realtime
    assert realtime is not None
    return realtime.subscriptions.listeners + realtime.tails.tails + len(realtime.consumers)


@pytest.mark.parametrize("call", [listen, tail])
async def test_listening_while_redis_is_known_to_be_down(
    redis_server: RedisServer, call: Call
) -> None:
    async with RedisManager(url=redis_server.url, outage={"grace": 0}) as manager:
        await redis_server.kill()
        await until_state(manager, PoolState.DOWN)

        async with asking(call, manager) as errors:
            assert await asked_meanwhile(errors) < MOST
        assert set(errors) <= {RedisUnavailableError}


@pytest.mark.parametrize("what", ["subscribe", "tail", "consume", "events"])
async def test_an_iteration_that_has_ended(redis_server: RedisServer, what: str) -> None:
    """Asked for one more item again and again, it says each time that there is none."""
    manager = RedisManager(url=redis_server.url)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(manager)
        items: Any
        if what == "events":
            items = manager.events()
        elif what == "consume":
            items = await stack.enter_async_context(manager.consume("name", group="group"))
        else:
            items = await stack.enter_async_context(getattr(manager, what)("name"))
        manager._told_to_stop()
        ends = 0

        async def iterate() -> None:
            nonlocal ends
            while True:
                async for _ in items:
                    pass
                ends += 1

        task = asyncio.create_task(iterate())
        await asyncio.sleep(WATCHED)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert 0 < ends < MOST


@pytest.mark.parametrize("what", ["subscribe", "tail", "consume"])
async def test_a_block_that_is_entered_again(redis_server: RedisServer, what: str) -> None:
    """Made once, outside of the loop that begins anew after each error."""
    group = {"group": "group"} if what == "consume" else {}
    async with RedisManager(url=redis_server.url) as manager:
        block: Any = getattr(manager, what)("name", **group)
        await assert_loop_turns(lambda _: anext(block), None, RuntimeError)
        async with block:
            pass

        await assert_loop_turns(lambda _: block.__aenter__(), None, RuntimeError)


async def test_a_listener_that_was_too_slow(redis_server: RedisServer) -> None:
    """It is told so each time that it asks, and not in one turn of the loop."""
    manager = RedisManager(url=redis_server.url)
    async with manager, manager.subscribe("name", buffer=1, overflow="end") as messages:
        for number in range(5):
            await manager.redis.publish("name", number)
        await asyncio.sleep(0.1)

        await assert_loop_turns(lambda _: messages.__anext__(), None, ListenerTooSlowError)


async def test_a_tail_that_was_too_slow(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    async with manager, manager.tail("name", buffer=1, overflow="end") as entries:
        await manager.redis.xadd("name", {"number": 0})
        await anext(entries)
        for number in range(5):
            await manager.redis.xadd("name", {"number": number})
        await until(lambda: read(manager) == 6)

        await assert_loop_turns(lambda _: anext(entries), None, ListenerTooSlowError)


def read(manager: RedisManager) -> int:
    realtime = manager.stats().realtime
    assert realtime is not None
    return realtime.tails.entries
