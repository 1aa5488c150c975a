"""Reading one's own writes, whichever connection they take: what is kept goes before the answer.

Each round reads a key into the cache, writes it, and reads it: the push that would drop it
may come later than the write's reply, so it is not what the tests rely on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.commands.written import EVERYTHING, keys_written
from redis_manager_fastapi.testing import RedisServer
from tests.kit.caching import Key, cache_of, lane_of, until_cached
from tests.kit.servers import needs

pytestmark = [
    needs("CLIENT TRACKING with RESP3", redis="7.0"),
    pytest.mark.usefixtures("pipelining"),
]

Write = Callable[[RedisManager, int], Awaitable[Any]]
WRITES: dict[str, Write] = {}


def write(function: Write) -> Write:
    WRITES[function.__name__] = function
    return function


@write
async def shared(manager: RedisManager, value: int) -> None:
    await manager.redis.set("key", value)


@write
async def gathered(manager: RedisManager, value: int) -> None:
    await asyncio.gather(manager.redis.mset({"other": 1, "key": value}))


@write
async def cached_client_s(manager: RedisManager, value: int) -> None:
    await manager.redis.with_options(cache=60.0).set("key", value)


@write
async def dedicated(manager: RedisManager, value: int) -> None:
    await manager.redis.with_options(dedicated=True).set("key", value)


@write
async def pipeline(manager: RedisManager, value: int) -> None:
    async with manager.redis.pipeline(transaction=False) as pipe:
        await pipe.get("other").set("key", value).execute()


@write
async def transaction(manager: RedisManager, value: int) -> None:
    async with manager.redis.pipeline(transaction=True) as pipe:
        await pipe.set("other", 1).set("key", value).execute()


@write
async def watched(manager: RedisManager, value: int) -> None:
    async with manager.redis.pipeline() as pipe:
        await pipe.watch("other")
        pipe.multi()
        await pipe.set("key", value).execute()


@write
async def pinned_transaction(manager: RedisManager, value: int) -> None:
    async with manager.connection() as pinned:
        await pinned.execute_command("MULTI")
        await pinned.set("key", value)
        await pinned.execute_command("EXEC")


@write
async def script(manager: RedisManager, value: int) -> None:
    text = "return redis.call('SET', KEYS[1], ARGV[1])"
    await manager.redis.eval(text, 1, "key", value)


@write
async def large(manager: RedisManager, value: int) -> None:
    await manager.redis.mset({"other": "x" * 70_000, "key": value})


@write
async def lower_case(manager: RedisManager, value: int) -> None:
    await manager.redis.execute_command("set", b"key", value)


@write
async def flushed(manager: RedisManager, value: int) -> None:
    async with manager.redis.pipeline(transaction=True) as pipe:
        await pipe.flushdb().execute()
    await manager.redis.setnx("key", value)


@write
async def of_another_library(manager: RedisManager, value: int) -> None:
    import redis.asyncio

    pool: Any = manager.connection_pool
    await redis.asyncio.Redis(connection_pool=pool).set("key", value)


@write
async def member_of_an_enum(manager: RedisManager, value: int) -> None:
    await manager.redis.with_options(dedicated=True).set(Key.KEY, value)


@pytest.fixture
async def manager(redis_server: RedisServer) -> AsyncIterator[RedisManager]:
    async with RedisManager(url=redis_server.url) as opened:
        yield opened


@pytest.mark.parametrize("name", WRITES)
async def test_written_value_is_read_back(manager: RedisManager, name: str) -> None:
    """Pushes are ignored here, so that nothing but the writer drops what it wrote."""
    cached = manager.redis.with_options(cache=60.0)
    await until_cached(manager, cached)
    lane_of(manager).changed = lambda link, keys: None  # type: ignore[method-assign]

    for value in range(5):
        await cached.get("key")
        await WRITES[name](manager, value)
        assert await cached.get("key") == str(value)


async def test_pop_of_a_blocked_command_is_noticed(manager: RedisManager) -> None:
    cached = manager.redis.with_options(cache=60.0)
    await until_cached(manager, cached)
    lane_of(manager).changed = lambda link, keys: None  # type: ignore[method-assign]
    blocked = asyncio.create_task(manager.redis.blpop(["queue"], timeout=10))
    await asyncio.sleep(0.6)  # the command has gone on to its second part
    assert await cached.llen("queue") == 0

    await manager.redis.rpush("queue", "item")
    assert await blocked is not None

    assert await cached.llen("queue") == 0


async def test_read_that_was_sent_before_the_answer_is_not_joined_after_it(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    """The server answers the reader late: who has written by then must not wait with it."""
    cached = manager.redis.with_options(cache=60.0)
    await until_cached(manager, cached)
    link = lane_of(manager).link
    assert link is not None
    await manager.redis.set("key", "old")
    link._transport.pause_reading()
    early = asyncio.create_task(cached.get("key"))
    await asyncio.sleep(0.05)

    await manager.redis.set("key", "new")
    late = asyncio.create_task(cached.get("key"))
    await asyncio.sleep(0)
    link._transport.resume_reading()

    assert (await early, await late, await cached.get("key")) == ("old", "new", "new")


async def test_read_between_a_write_and_its_answer_is_not_kept(manager: RedisManager) -> None:
    """The write is held back in this process, so what is read meanwhile is the old value."""
    cached = manager.redis.with_options(cache=60.0)
    await until_cached(manager, cached)
    lane_of(manager).changed = lambda link, keys: None  # type: ignore[method-assign]
    await manager.redis.set("key", "old")
    assert await cached.get("key") == "old"
    link = manager._deployment.require().link_set.only
    link.pause_writing()

    writing = asyncio.create_task(manager.redis.set("key", "new"))
    await asyncio.sleep(0)
    dropped = ("GET", "key") not in cached.session.cached.entries  # type: ignore[union-attr]
    meanwhile = await cached.get("key")
    link.resume_writing()
    await writing

    assert (dropped, meanwhile) == (True, "old")
    assert await cached.get("key") == "new"


async def test_connections_are_as_ever_until_somebody_caches(manager: RedisManager) -> None:
    await manager.redis.set("key", 1)
    pool = manager._deployment.require()
    assert type(pool.link_set.only).__name__ == "MultiplexedConnection"

    manager.redis.with_options(cache=60.0)

    assert type(pool.link_set.only).__name__ == "NotingLink"
    await manager.redis.with_options(dedicated=True).set("key", 2)
    assert await manager.redis.get("key") == "2"


async def test_pipeline_of_very_many_commands_names_each_key_once_more(
    manager: RedisManager,
) -> None:
    cached = manager.redis.with_options(cache=60.0)
    await until_cached(manager, cached)
    await cached.mget(*(f"key:{number}" for number in range(10)))
    count = 0
    wrote = cache_of(manager).store.wrote

    def counting(keys: Any) -> None:
        nonlocal count
        count += len(keys)
        wrote(keys)

    cache_of(manager).store.wrote = counting  # type: ignore[method-assign]
    async with manager.redis.pipeline(transaction=False) as pipe:
        for number in range(6000):
            pipe.set(f"key:{number}", 1)
        await pipe.execute()

    assert await cached.mget("key:1", "key:9") == ["1", "1"]
    assert count == 12_000


def test_keys_that_commands_write() -> None:
    assert keys_written(("GET", "a")) == ()
    assert keys_written(("SET", "a", "b")) == [b"a"]
    assert keys_written((b"set", "a", "b")) == [b"a"]
    assert keys_written(("RENAME", "a", b"b")) == [b"a", b"b"]
    assert keys_written(("EVAL", "script", 1, "a", 2)) == [b"a", b"2"]
    assert keys_written(("UNKNOWN", "a", memoryview(b"b"))) == [b"a", b"b"]
    assert keys_written(("FLUSHALL", "ASYNC")) is EVERYTHING
