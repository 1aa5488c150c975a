"""What a manager counts: the same whichever connection a command takes, and never less."""

import asyncio
import contextlib
from dataclasses import fields
from typing import Any

import pytest
import redis.asyncio

from redis_manager_fastapi import (
    PoolTimeoutError,
    RedisManager,
    RedisUnavailableError,
)
from redis_manager_fastapi.pool.counters import BOUNDS, OTHER, Counters, Counts, added
from redis_manager_fastapi.pool.state import PoolStats
from redis_manager_fastapi.testing import RedisServer
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("pipelining")


def grown(before: PoolStats, after: PoolStats) -> dict[str, float]:
    """Return what has grown, of the plain counters."""
    differences = {
        each.name: getattr(after, each.name) - getattr(before, each.name)
        for each in fields(Counts)
        if each.name not in ("errors", "latency")
    }
    return {name: more for name, more in differences.items() if more}


async def test_every_command_is_counted_once_on_any_connection(redis_server: RedisServer) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        r = manager.redis
        foreign: Any = redis.asyncio.Redis(connection_pool=manager.redis.connection_pool)
        await r.rpush("queue", "entry")
        before = manager.stats()

        await r.set("key", "value")  # shared: 1
        await asyncio.gather(*(r.get("key") for _ in range(20)))  # shared: 20
        async with r.pipeline() as pipe:
            await pipe.get("key").get("key").execute()  # MULTI, two, EXEC: 4
        await r.blpop(["queue"], timeout=1)  # dedicated: 1
        async with manager.connection() as own:  # dedicated: 2
            await own.ping()
            await own.get("key")
        await foreign.get("key")  # dedicated: 1
        after = manager.stats()

        assert after.commands - before.commands == 1 + 20 + 4 + 1 + 2 + 1
        assert after.latency.count - before.latency.count == 1 + 20 + 1 + 2 + 1
        assert after.latency.total >= before.latency.total
        assert len(after.latency.buckets) == len(BOUNDS) + 1


async def test_heartbeats_and_the_parts_of_a_blocking_command_count_for_nothing(
    redis_server: RedisServer,
) -> None:
    async with RedisManager(
        url=redis_server.url, health={"interval": 0.02, "timeout": 1}
    ) as manager:
        before = manager.stats()

        assert await manager.redis.blpop(["nothing"], timeout=1) is None
        after = manager.stats()

        assert after.commands == before.commands + 1
        assert after.latency == before.latency
        assert after.bytes_sent > before.bytes_sent
        assert after.bytes_received > before.bytes_received


async def test_bytes_are_those_on_the_wire(redis_server: RedisServer) -> None:
    value = "x" * 10_000
    async with RedisManager(url=redis_server.url) as manager:
        r = manager.redis
        await r.set("key", "")
        before = manager.stats()

        await r.set("key", value)
        await r.get("key")
        sent = manager.stats()
        async with manager.connection() as own:
            await own.set("key", value)
            await own.get("key")
        after = manager.stats()

        for stats, start in ((sent, before), (after, sent)):
            assert 10_000 < stats.bytes_sent - start.bytes_sent < 11_000
            assert 10_000 < stats.bytes_received - start.bytes_received < 11_000


async def test_errors_are_counted_by_code_once_for_each_caller(redis_server: RedisServer) -> None:
    async with RedisManager(
        url=redis_server.url, pool={"max_connections": 1, "acquire_timeout": 0.05}
    ) as manager:
        r = manager.redis
        await r.set("key", "value")

        with pytest.raises(redis.ResponseError):
            await r.lpush("key", 1)
        with pytest.raises(redis.ResponseError):
            await r.with_options(dedicated=True).lpush("key", 1)
        async with r.pipeline(transaction=False) as pipe:
            await pipe.lpush("key", 1).get("key").execute(raise_on_error=False)
        async with manager.connection():
            with pytest.raises(PoolTimeoutError):
                await r.blpop(["queue"], timeout=1)
            with pytest.raises(PoolTimeoutError):
                async with manager.connection():
                    raise AssertionError
        with pytest.raises(redis.ResponseError):
            await r.eval("return redis.error_reply('MINE is not a code: /etc')", 0)
        with pytest.raises(redis.ResponseError):
            await r.eval("return redis.error_reply('secret-1 is no code')", 0)

        assert manager.stats().errors == {
            "WRONGTYPE": 3,
            "redis_pool_timeout": 2,
            "MINE": 1,
            OTHER: 1,
        }


def test_however_many_codes_a_script_invents_few_are_kept() -> None:
    counters = Counters()

    for number in range(500):
        letters = "".join(chr(ord("A") + int(digit)) for digit in f"{number:04}")
        counters.failed(redis.ResponseError(letters + " says the script"))

    assert len(counters.errors) <= 51
    assert sum(counters.errors.values()) == 500


async def test_an_outage_is_counted_as_callers_met_it(redis_server: RedisServer) -> None:
    async with RedisManager(url=redis_server.url, outage={"grace": 0.4}) as manager:
        r = manager.redis
        await r.set("key", "value")
        blocked = asyncio.create_task(r.blpop(["queue"], timeout=0))
        await until(lambda: manager.stats().leased == 1)
        await redis_server.kill()
        with pytest.raises(RedisUnavailableError):
            await blocked
        with pytest.raises(RedisUnavailableError):
            await r.get("key")
        during = manager.stats()
        await redis_server.start()
        await manager.wait_ready(10)
        await r.get("key")
        after = manager.stats()

        assert during.grace_used == pytest.approx(0.4)
        assert during.waited >= 1
        assert during.refused >= 1
        assert during.errors["redis_unavailable"] >= 1
        assert after.grace_used == 0.0
        assert after.grace_longest == pytest.approx(0.4)


async def test_a_read_that_was_lost_is_counted_as_retried_and_a_write_as_lost(
    redis_server: RedisServer,
) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        r = manager.redis
        await r.set("key", "value")
        redis_server.pause()
        read = asyncio.ensure_future(r.get("key"))
        write = asyncio.ensure_future(r.set("key", "other"))
        await asyncio.sleep(0)  # they leave at the end of a turn
        await redis_server.kill()
        await redis_server.start()

        outcomes = await asyncio.gather(read, write, return_exceptions=True)
        after = manager.stats()

        assert outcomes[1].code == "redis_reply_lost"  # type: ignore[union-attr]
        assert (after.retried, after.lost) == (1, 1)
        assert after.errors == {"redis_reply_lost": 1}


async def test_counters_go_on_when_a_manager_is_opened_again(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    seen: list[Counts] = []

    for _ in range(3):
        async with manager:
            await manager.redis.incr("key")
            with contextlib.suppress(redis.ResponseError):
                await manager.redis.lpush("key", 1)
            seen.append(manager.stats())

    assert [stats.commands for stats in seen] == [2, 4, 6]
    assert [stats.errors for stats in seen] == [{"WRONGTYPE": count} for count in (1, 2, 3)]
    assert seen[0].connects < seen[1].connects < seen[2].connects


def test_sums_have_every_counter() -> None:
    one, other = Counters(), Counters()
    for counters in (one, other):
        for name in Counters.__slots__:
            if isinstance(getattr(counters, name), int | float):
                setattr(counters, name, 2)
        counters.errors["ERR"] = 2
        counters.buckets[3] = 2
    one.observe = print

    total = Counts(**added((one, other)).fields())

    plain = {each.name: getattr(total, each.name) for each in fields(Counts)}
    assert plain.pop("errors") == {"ERR": 4}
    assert plain.pop("grace_longest") == 2
    latency = plain.pop("latency")
    assert (latency.total, latency.count, latency.buckets[3]) == (4, 4, 4)
    assert set(plain.values()) == {4}
