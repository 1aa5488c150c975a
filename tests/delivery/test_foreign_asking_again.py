"""Another project's client that asks again at once, for ever, with what it has kept (row 57)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis as PlainRedis

from redis_manager_fastapi import (
    ClientEndedError,
    PoolClosedError,
    PoolState,
    RedisManager,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.testing import RedisServer
from tests.kit.asking import Call, assert_loop_turns
from tests.kit.managers import until_state

pytestmark = pytest.mark.timeout(30)


class Kept:
    """What was made while all was well: a subscribed pub/sub, and a client with a connection."""

    def __init__(self, connections: Any) -> None:
        client: Any = PlainRedis(connection_pool=connections)
        self.pubsub: Any = client.pubsub()
        self.single: Any = PlainRedis(connection_pool=connections, single_connection_client=True)


@asynccontextmanager
async def kept(connections: Any) -> AsyncIterator[Kept]:
    made = Kept(connections)
    await made.pubsub.subscribe("news")
    await made.pubsub.get_message(timeout=1)
    await made.single.get("key")
    yield made
    await made.pubsub.aclose()
    await made.single.aclose()


async def message(made: Kept) -> None:
    await made.pubsub.get_message(timeout=1)


async def any_message(made: Kept) -> None:
    await made.pubsub.get_message(timeout=None)


async def listen(made: Kept) -> None:
    async for _ in made.pubsub.listen():
        pass


async def subscribe(made: Kept) -> None:
    await made.pubsub.subscribe("more")


async def get(made: Kept) -> None:
    await made.single.get("key")


async def blpop(made: Kept) -> None:
    await made.single.blpop(["key"], timeout=5)


LISTENING = [message, any_message, listen, subscribe]
OTHER = [get, blpop]


@pytest.mark.parametrize("call", [*LISTENING, *OTHER])
async def test_while_redis_is_known_to_be_down(redis_server: RedisServer, call: Call) -> None:
    manager = RedisManager(url=redis_server.url, outage={"grace": 0})
    async with manager, kept(manager.connection_pool) as made:
        await redis_server.kill()
        await until_state(manager, PoolState.DOWN)

        await assert_loop_turns(call, made, RedisUnavailableError)


@pytest.mark.parametrize("call", [*LISTENING, *OTHER])
async def test_after_the_manager_was_closed(redis_server: RedisServer, call: Call) -> None:
    manager = RedisManager(url=redis_server.url)
    async with kept_over_the_end(manager) as made:
        error = ReplyLostError if call is get else PoolClosedError
        await assert_loop_turns(call, made, error)


@asynccontextmanager
async def kept_over_the_end(manager: RedisManager) -> AsyncIterator[Kept]:
    await manager.open()
    async with kept(manager.connection_pool) as made:
        await manager.aclose()
        yield made


@pytest.mark.parametrize("call", [*LISTENING, *OTHER])
async def test_after_the_client_has_ended(redis_server: RedisServer, call: Call) -> None:
    async with RedisManager(url=redis_server.url) as manager, AsyncExitStack() as stack:
        client = manager.client()
        async with client as r:
            made = await stack.enter_async_context(kept(r.connection_pool))

        error = ClientEndedError if call in LISTENING else ReplyLostError
        await assert_loop_turns(call, made, error)


async def test_a_pub_sub_that_was_never_subscribed(redis_server: RedisServer) -> None:
    """As one that could not subscribe while Redis was away; it is redis-py's own error."""
    async with RedisManager(url=redis_server.url) as manager:
        pubsub = manager.redis.pubsub()

        async def get_message(_: Any) -> None:
            await pubsub.get_message(timeout=1)

        await assert_loop_turns(get_message, None, RuntimeError)
