"""Cached reads on a real server: hits, joined reads, what is handed out, and for how long."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from redis_manager_fastapi import (
    CacheStats,
    Cause,
    ClientEndedError,
    CommandTimeoutError,
    PoolClosedError,
    RedisManager,
)
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import RedisServer
from tests.kit.caching import Key, cache_of, lane_of, until_cached
from tests.kit.servers import needs
from tests.kit.waiting import until

pytestmark = [
    needs("CLIENT TRACKING with RESP3", redis="7.0"),
    pytest.mark.usefixtures("pipelining"),
]


@pytest.fixture
async def manager(redis_server: RedisServer) -> AsyncIterator[RedisManager]:
    async with RedisManager(url=redis_server.url) as opened:
        yield opened


@pytest.fixture
async def cached(manager: RedisManager) -> Redis:
    client = manager.redis.with_options(cache=60.0)
    await until_cached(manager, client)
    return client


@pytest.fixture
async def other(redis_server: RedisServer) -> AsyncIterator[Any]:
    """A client of another process, as far as the manager knows."""
    async with redis_server.client() as client:
        yield client


def counted(manager: RedisManager, before: CacheStats) -> tuple[int, int, int]:
    """How many hits, misses and joined reads there have been since *before*."""
    now = cache_of(manager).stats()
    return now.hits - before.hits, now.misses - before.misses, now.joined - before.joined


async def test_second_read_asks_nobody(manager: RedisManager, cached: Redis, other: Any) -> None:
    await other.set("key", "value")
    before = cache_of(manager).stats()

    values = [await cached.get("key") for _ in range(3)]
    async with asyncio.timeout(5):
        values += await asyncio.gather(*(cached.get("key") for _ in range(3)))
        values.append(await asyncio.create_task(cached.get("key")))
        values.append(await asyncio.wait_for(cached.get("key"), 1))

    assert values == ["value"] * 8
    assert counted(manager, before) == (7, 1, 0)


async def test_change_by_another_process_ends_what_is_kept(cached: Redis, other: Any) -> None:
    await other.set("key", "old")
    assert await cached.get("key") == "old"

    await other.set("key", "new")

    await until(lambda: ("GET", "key") not in cached.session.cached.entries)  # type: ignore[union-attr]
    assert await cached.get("key") == "new"


async def test_change_of_a_key_that_is_a_member_of_an_enum_ends_it(
    cached: Redis, other: Any
) -> None:
    await other.set("key", "old")
    assert await cached.get(Key.KEY) == "old"

    await other.set("key", "new")

    await until(lambda: cache_empty(cached))
    assert await cached.get(Key.KEY) == "new"


async def test_missing_key_is_known_as_missing_until_it_is_made(
    manager: RedisManager, cached: Redis, other: Any
) -> None:
    assert await cached.get("key") is None
    before = cache_of(manager).stats()
    assert await cached.get("key") is None
    assert counted(manager, before) == (1, 0, 0)

    await other.set("key", "made")

    await until(lambda: ("GET", "key") not in cached.session.cached.entries)  # type: ignore[union-attr]
    assert await cached.get("key") == "made"


async def test_flush_by_another_process_ends_everything(cached: Redis, other: Any) -> None:
    await other.mset({"a": 1, "b": 2})
    assert await cached.mget("a", "b") == ["1", "2"]

    await other.flushall()

    await until(lambda: cache_empty(cached))
    assert await cached.mget("a", "b") == [None, None]


def cache_empty(client: Redis) -> bool:
    cached = client.session.cached
    assert cached is not None
    return not cached.cache.store.entries


async def test_callers_at_once_share_one_command(
    manager: RedisManager, cached: Redis, other: Any
) -> None:
    await other.hset("hash", mapping={"a": "1"})
    before = cache_of(manager).stats()

    values = await asyncio.gather(*(cached.hgetall("hash") for _ in range(50)))

    assert values == [{"a": "1"}] * 50
    assert len({id(each) for each in values}) == 50
    assert counted(manager, before) == (0, 1, 49)

    await other.set("key", "value")
    for each in await asyncio.gather(*(cached.mget("key", "hash") for _ in range(3))):
        assert each == ["value", None]
        each.append("mine")
    (await cached.mget("key", "hash")).append("mine")
    assert await cached.mget("key", "hash") == ["value", None]


async def test_first_caller_that_leaves_takes_nobody_along(
    manager: RedisManager, cached: Redis, other: Any
) -> None:
    await other.set("key", "value")
    before = cache_of(manager).stats()
    first, second = (asyncio.create_task(cached.get("key")) for _ in range(2))
    await asyncio.sleep(0)

    first.cancel()

    async with asyncio.timeout(5):
        assert await second == "value"
    assert first.cancelled()
    assert counted(manager, before)[1:] == (1, 1)
    assert await cached.get("key") == "value"


async def test_joined_caller_keeps_its_own_deadline(
    redis_server: RedisServer, manager: RedisManager, cached: Redis
) -> None:
    hasty = cached.with_options(timeout=0.1)
    redis_server.pause()
    patient = asyncio.create_task(cached.get("key"))
    await asyncio.sleep(0)

    async with asyncio.timeout(0.9):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(patient), 0.05)
        with pytest.raises(Exception, match="got no reply within"):
            await hasty.get("key")

    redis_server.resume()
    assert await patient is None


async def test_joined_caller_is_told_that_the_loop_was_blocked(
    redis_server: RedisServer, cached: Redis
) -> None:
    hasty, patient = (cached.with_options(timeout=each) for each in (0.1, 5.0))
    redis_server.pause()
    reads = [asyncio.create_task(each.get("key")) for each in (patient, hasty)]
    await asyncio.sleep(0)

    time.sleep(0.5)  # noqa: ASYNC251 (that is the fault)
    with pytest.raises(CommandTimeoutError, match=r"within 0\.1 s") as caught:
        await reads[1]

    assert caught.value.cause is Cause.LOOP_BLOCKED
    redis_server.resume()
    assert await reads[0] is None


async def test_time_of_a_late_read_is_the_caller_s(
    redis_server: RedisServer, cached: Redis
) -> None:
    redis_server.pause()

    with pytest.raises(CommandTimeoutError, match=r"GET .* within 0\.3 s"):
        await cached.with_options(timeout=0.3).get("key")

    redis_server.resume()


async def test_joined_caller_s_deadline_is_over_with_the_reply(cached: Redis) -> None:
    hasty = cached.with_options(timeout=0.1)
    loop, broken = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, context: broken.append(context))

    reads = [asyncio.ensure_future(client.get("key")) for client in (cached, hasty)]
    assert await asyncio.gather(*reads) == [None, None]
    await asyncio.sleep(0.15)

    assert broken == []


async def test_reply_that_waited_for_a_stalled_loop_is_not_joined(
    redis_server: RedisServer, other: Any
) -> None:
    """It has lain in the socket, and the key has changed since, longer than is allowed."""
    health: Any = {"interval": 0.2, "timeout": 0.2}
    async with RedisManager(url=redis_server.url, health=health) as manager:
        cached = manager.redis.with_options(cache=60.0)
        await until_cached(manager, cached)
        await other.set("key", "old")
        early = asyncio.ensure_future(cached.get("key"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        time.sleep(0.05)  # noqa: ASYNC251
        with redis.Redis(port=redis_server.port) as changing:
            changing.set("key", "new")
        time.sleep(0.5)  # noqa: ASYNC251
        late = await cached.get("key")

    assert (await early, late) == ("old", "new")


async def test_error_of_a_shared_command_is_each_caller_s_own(cached: Redis, other: Any) -> None:
    await other.rpush("key", "item")

    errors = await asyncio.gather(*(cached.get("key") for _ in range(3)), return_exceptions=True)

    assert all("WRONGTYPE" in str(error) for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert cached.session.cached.entries.get(("GET", "key")) is None  # type: ignore[union-attr]


async def test_kinds_of_clients_have_their_own_replies(
    manager: RedisManager, cached: Redis, other: Any
) -> None:
    await other.set("text", "é")
    await other.set("bytes", b"\xff")
    raw = cached.with_options(decode_responses=False)

    for _ in range(2):
        assert await cached.get("text") == "é"
        assert await raw.get("text") == "é".encode()
        assert await raw.get("bytes") == b"\xff"
        with pytest.raises(UnicodeDecodeError):
            await cached.get("bytes")


async def test_time_that_a_client_allows_is_its_own(
    manager: RedisManager, cached: Redis, other: Any
) -> None:
    await other.set("key", "value")
    await cached.get("key")
    await asyncio.sleep(0.02)
    before = cache_of(manager).stats()

    await cached.with_options(cache=0.01).get("key")
    await cached.get("key")
    await cached.with_options(cache=0).get("key")

    assert counted(manager, before) == (1, 1, 0)


async def test_numbers_that_are_equal_are_not_the_same_command(cached: Redis, other: Any) -> None:
    await other.set("key", "value")
    assert await cached.execute_command("GETRANGE", "key", 0, 1) == "va"
    assert await cached.execute_command("GETRANGE", "key", 0, 1) == "va"

    with pytest.raises(Exception, match="not an integer"):
        await cached.execute_command("GETRANGE", "key", 0.0, 1.0)
    with pytest.raises(Exception, match="Invalid input of type: 'bool'"):
        await cached.execute_command("GETRANGE", "key", False, True)


async def test_users_callback_runs_at_each_read(cached: Redis, other: Any) -> None:
    await other.set("key", "value")
    callback: Any = lambda reply: [reply]  # noqa: E731
    cached.set_response_callback("GET", callback)

    first, second = await cached.get("key"), await cached.get("key")

    assert str(first) == str(second) == "['value']"
    assert first is not second


async def test_exact_reply_ends_with_its_key(
    manager: RedisManager, cached: Redis, other: Any
) -> None:
    exact = cached.with_options(cache_exact=True)
    await other.set("short", "value", px=150)
    await other.set("long", "value")
    before = cache_of(manager).stats()

    for _ in range(2):
        assert await exact.mget("short", "long") == ["value", "value"]
        assert await exact.get("long") == "value"
    assert counted(manager, before) == (2, 2, 0)

    (_, _, until, *_) = exact.session.cached.entries["GET", "long"]  # type: ignore[misc,union-attr]
    assert until == float("inf")
    both: Any = exact.session.cached.entries["MGET", "short", "long"]  # type: ignore[union-attr]
    _, asked_at, until, *_ = both
    assert 0 < until - asked_at < 0.151
    await asyncio.sleep(0.15)
    assert await exact.mget("short", "long") == [None, "value"]


async def test_question_for_a_key_s_time_counts_as_no_command(
    manager: RedisManager, cached: Redis, other: Any
) -> None:
    exact = cached.with_options(cache_exact=True)
    await other.mset({f"key:{number}": number for number in range(30)})
    before = manager.stats()

    await asyncio.gather(*(exact.get(f"key:{number}") for number in range(30)))
    await exact.mget("key:0", "key:1")

    after = manager.stats()
    assert after.commands - before.commands == 31
    assert after.latency.count - before.latency.count == 31


async def test_ended_client_and_closed_manager_serve_nothing(
    redis_server: RedisServer, other: Any
) -> None:
    await other.set("key", "value")
    async with RedisManager(url=redis_server.url) as manager:
        lasting = manager.redis.with_options(cache=60.0)
        await until_cached(manager, lasting)
        async with manager.client() as scoped:
            cached = scoped.with_options(cache=60.0)
            assert [await cached.get("key") for _ in range(2)] == ["value"] * 2
        with pytest.raises(ClientEndedError):
            await cached.get("key")
        assert await lasting.get("key") == "value"
        lane = lane_of(manager)

    with pytest.raises(PoolClosedError):
        await lasting.get("key")
    assert (cache_of(manager).stats().entries, lane.link) == (0, None)

    async with manager:
        await until_cached(manager, lasting)
        assert [await lasting.get("key") for _ in range(2)] == ["value"] * 2


@pytest.mark.parametrize(
    "options",
    [
        *({"cache": wrong} for wrong in (-1, True, float("nan"), "1", 10**400)),
        {"stale": 1.0},
    ],
)
async def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    client: Any = RedisManager(url="redis://localhost:1").redis

    with pytest.raises(ValueError, match=r"cache"):
        client.with_options(**options)


async def test_others_read_as_without(manager: RedisManager, cached: Redis, other: Any) -> None:
    """A client that did not ask, a pipeline and a dedicated one go to the server."""
    await other.set("key", "value")
    await cached.get("key")
    before = cache_of(manager).stats()

    assert await manager.redis.get("key") == "value"
    assert await cached.with_options(dedicated=True).get("key") == "value"
    async with cached.pipeline() as pipe:
        assert await pipe.get("key").execute() == ["value"]

    assert counted(manager, before) == (0, 0, 0)
