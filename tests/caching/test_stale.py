"""Last known values: handed out while Redis is away, only then, only so old, and labelled."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from redis_manager_fastapi import (
    CacheStatusMiddleware,
    RedisManager,
    RedisOutageError,
    RedisUnavailableError,
)
from redis_manager_fastapi.caching.reads import CachedReads
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import RedisServer
from tests.kit.caching import cache_of, lane_of, until_cached
from tests.kit.fake_server import FakeServer
from tests.kit.servers import needs
from tests.kit.waiting import until

pytestmark = [
    needs("CLIENT TRACKING with RESP3", redis="7.0"),
    pytest.mark.usefixtures("pipelining"),
]


@pytest.fixture
async def manager(redis_server: RedisServer) -> AsyncIterator[RedisManager]:
    patient: Any = {"timeout": {"command": 20.0}, "outage": {"grace": 20.0}}
    async with RedisManager(url=redis_server.url, **patient) as opened:
        yield opened


async def filled(manager: RedisManager) -> Redis:
    """A client with a last known value for each of its keys, one kind for each way to read."""
    cached = manager.redis.with_options(cache=60.0, stale=60.0)
    await until_cached(manager, cached)
    await manager.redis.set("key", "value")
    await manager.redis.hset("hash", mapping={"a": "1"})
    assert await cached.get("key") == "value"
    assert await cached.hgetall("hash") == {"a": "1"}
    return cached


async def test_last_known_value_is_given_at_once_and_its_age_is_told(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    cached = await filled(manager)
    assert cached.stale_for == 0.0

    await redis_server.kill()
    async with asyncio.timeout(2):  # it does not wait for grace
        await until(lambda: not manager.is_ready)
        assert await cached.get("key") == "value"
        first = cached.stale_for
        await asyncio.sleep(0.05)
        values = await asyncio.gather(cached.get("key"), cached.hgetall("hash"))

    assert [str(each) for each in values] == ["value", "{'a': '1'}"]
    assert 0.0 < first < cached.stale_for
    assert manager.stats().cache.stale == 3  # type: ignore[union-attr]

    await redis_server.start()
    await manager.wait_ready(5)
    again = manager.redis.with_options(cache=60.0, stale=60.0)
    assert await again.get("key") is None  # the server began empty
    assert again.stale_for == 0.0


async def test_read_that_meets_the_outage_gets_it_too(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    cached = await filled(manager)
    hasty = cached.with_options(cache=1e-9)  # what is known is too old, so it is asked for again
    redis_server.pause()
    reads = [asyncio.ensure_future(hasty.get("key")) for _ in range(3)]
    reads.append(asyncio.create_task(hasty.get("key")))
    await asyncio.sleep(0.05)

    await redis_server.kill()

    async with asyncio.timeout(4):
        assert await asyncio.gather(*reads) == ["value"] * 4
        unready = asyncio.ensure_future(hasty.get("key"))
        assert await unready == "value"
    assert hasty.stale_for > 0.0
    stats = manager.stats()
    assert (stats.errors, stats.refused) == ({}, 0)  # no caller met one


async def test_error_that_nothing_is_given_for_is_counted_once(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    cached = (await filled(manager)).with_options(cache=1e-9, grace=0)
    redis_server.pause()
    reads = [asyncio.ensure_future(cached.get(name)) for name in ("key", "unknown")]
    await asyncio.sleep(0.05)

    await redis_server.kill()

    known, unknown = await asyncio.gather(*reads, return_exceptions=True)
    assert known == "value"
    assert isinstance(unknown, RedisOutageError)
    with pytest.raises(RedisOutageError):
        await cached.get("unknown")
    assert sum(manager.stats().errors.values()) == 2
    assert manager.stats().refused <= 2


async def test_value_whose_key_has_expired_is_not_given(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    cached = manager.redis.with_options(cache=60.0, stale=60.0, cache_exact=True, grace=0)
    await until_cached(manager, cached)
    await manager.redis.set("short", "value", px=400)
    assert await cached.get("short") == "value"
    redis_server.pause()
    await asyncio.sleep(0.4)
    reading = asyncio.ensure_future(cached.get("short"))
    await asyncio.sleep(0.05)

    await redis_server.kill()

    for read in (reading, cached.get("short")):
        with pytest.raises(RedisOutageError):
            await read


async def test_nothing_else_is_given(redis_server: RedisServer, manager: RedisManager) -> None:
    """Not what is unknown, was written, or is too old; not writes, nor to who did not ask."""
    cached = (await filled(manager)).with_options(grace=0.05)
    await cached.set("written", 1)
    await cached.get("written")
    await cached.set("written", 2)
    await redis_server.kill()
    await until(lambda: not manager.is_ready)

    for client, call in (
        (cached, ("GET", "unknown")),
        (cached, ("GET", "written")),
        (cached, ("SET", "key", 1)),
        (cached.with_options(stale=0.001), ("GET", "hash")),
        (cached.with_options(stale=0), ("HGETALL", "hash")),
        (manager.redis.with_options(grace=0.05), ("GET", "hash")),
    ):
        with pytest.raises(RedisUnavailableError):
            await client.execute_command(*call)
    assert cached.stale_for == 0.0


async def test_fresh_value_is_read_while_redis_is_there_however_the_lane_is(
    manager: RedisManager,
) -> None:
    cached = await filled(manager)
    await lane_of(manager).aclose()
    lane_of(manager).changed = lambda link, keys: None  # type: ignore[method-assign]

    assert await cached.get("key") == "value"
    assert cached.stale_for == 0.0
    assert manager.stats().cache.stale == 0  # type: ignore[union-attr]


async def test_last_known_values_are_let_go_when_nobody_may_have_them(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    cached = manager.redis.with_options(cache=60.0, stale=0.1)
    await until_cached(manager, cached)
    for number in range(20):
        await cached.get(f"key:{number}")
    await redis_server.kill()

    await until(lambda: cache_of(manager).stats().entries == 0)
    assert cache_of(manager).stats().bytes == 0


async def test_task_that_outlives_its_request_adds_nothing_to_the_report(
    manager: RedisManager,
) -> None:
    """It has the request's context, and may make clients for ever."""
    tasks: list[asyncio.Task[int]] = []

    async def poll() -> int:
        await asyncio.sleep(0)
        before = living()
        for _ in range(100):
            manager.redis.with_options(cache=1.0)
        return living() - before

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        tasks.append(asyncio.create_task(poll()))

    async def ignore(message: Any) -> None:
        pass

    await CacheStatusMiddleware(app)({"type": "http"}, ignore, ignore)  # type: ignore[arg-type]

    assert await tasks[0] < 10


async def test_report_of_a_long_request_keeps_no_client_that_it_made(manager: RedisManager) -> None:
    grown: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        before = living()
        for _ in range(100):
            manager.redis.with_options(cache=1.0)
        grown.append(living() - before)

    async def ignore(message: Any) -> None:
        pass

    await CacheStatusMiddleware(app)({"type": "http"}, ignore, ignore)  # type: ignore[arg-type]

    assert grown[0] < 10


def living() -> int:
    return sum(type(each) is CachedReads for each in gc.get_objects())


async def test_large_commands_of_a_cached_client_wait_for_redis_like_others(
    redis_server: RedisServer,
) -> None:
    """They take a connection of their own, and have no last known value."""
    async with RedisManager(url=redis_server.url, outage={"grace": 0.1}) as manager:
        cached = await filled(manager)
        await redis_server.kill()
        await until(lambda: not manager.is_ready)

        with pytest.raises(RedisUnavailableError):
            await cached.set("key", b"x" * 100_000)
        with pytest.raises(RedisUnavailableError):
            await asyncio.gather(cached.mget(["k" * 100_000]))


async def test_replies_of_a_stream_out_of_step_are_no_last_known_values() -> None:
    """But for those that a heartbeat has proved since."""
    settings: Any = {"health": {"interval": 0.1, "timeout": 5}, "outage": {"grace": 0.1}}
    async with FakeServer() as fake, RedisManager(url=fake.url, protocol=3, **settings) as manager:
        cached = manager.redis.with_options(cache=60.0, stale=60.0)
        await until_cached(manager, cached)
        assert await cached.get("proven") == "proven"
        asked_at = asyncio.get_running_loop().time()
        lane = lane_of(manager)
        await until(lambda: lane.life.confirmed_at > asked_at)
        life, fake.replies = lane.life, [b""]
        others = asyncio.gather(cached.get("mine"), cached.get("secret"))
        await until(lambda: not life.goes_on)
        assert (await others)[0] == "secret"  # it could not be told
        await fake.stop()

        assert await cached.get("proven") == "proven"
        with pytest.raises(RedisUnavailableError):
            await cached.get("mine")
