"""Pipelines of very many commands: packed, sent and read in slices."""

import asyncio
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import DataError, ResponseError, WatchError

from redis_manager_fastapi import RedisManager, ReplyLostError
from redis_manager_fastapi.commands.packing import SLICE
from redis_manager_fastapi.testing import RedisServer
from tests.kit.lag import Turns
from tests.kit.managers import opened, pool_of

MANY = 100_000

# In seconds: it takes 5 to 10 ms, and in one piece 0.4 s at least.
LONGEST_TURN = 0.015


@pytest.mark.measures
@pytest.mark.parametrize("kind", ["set", "get", "transaction", "fails"])
async def test_a_pipeline_of_very_many_commands_lets_the_loop_turn(
    redis_url: str, kind: str
) -> None:
    async with opened(redis_url, timeout={"command": 20}) as manager:
        await manager.redis.set("text", "no number")
        longest = []
        for _ in range(3):  # the least of them, because other processes make turns longer
            pipe = manager.redis.pipeline(transaction=kind in ("transaction", "fails"))
            for number in range(MANY):
                if kind == "get":
                    pipe.get(f"key {number}")
                else:
                    pipe.set(f"key {number}", number)
                if kind == "fails" and number == MANY // 2:
                    pipe.incr("text")
            async with Turns() as turns:
                try:
                    await pipe.execute()
                except ResponseError:
                    assert kind == "fails"
            longest.append(turns.longest)
            if turns.longest <= LONGEST_TURN:
                break

        assert min(longest) <= LONGEST_TURN


def filled(manager: RedisManager, transaction: bool, thousands: int = 1) -> Any:
    pipe = manager.redis.pipeline(transaction=transaction)
    for number in range(1000 * thousands):
        pipe.hset("hash", f"field {number}", number)
        pipe.hgetall("empty")
        pipe.incr("text" if number == 700 else "counter")
    return pipe


@pytest.mark.parametrize("transaction", [False, True])
async def test_replies_are_those_of_a_small_one(redis_url: str, transaction: bool) -> None:
    async with opened(redis_url) as manager:
        await manager.redis.set("text", "no number")
        with pytest.raises(ResponseError, match=r"Command # 2103 .*not an integer"):
            await filled(manager, transaction).execute()
        replies = await filled(manager, transaction).execute(raise_on_error=False)

        assert isinstance(replies[2102], ResponseError)
        assert replies[:3] == [0, {}, 1000]
        assert replies[-1] == 1998
        assert len(replies) == 3000
        assert manager.stats().generation == 1


@pytest.mark.parametrize("transaction", [False, True])
async def test_nothing_is_sent_when_a_late_one_cannot_be_packed(
    redis_url: str, transaction: bool
) -> None:
    async with opened(redis_url) as manager:
        pipe: Any = manager.redis.pipeline(transaction=transaction)
        for _ in range(1000):
            pipe.incr("counter")
        pipe.set("key", object())
        with pytest.raises(DataError):
            await pipe.execute()

        assert await manager.redis.get("counter") is None


@pytest.mark.parametrize("transaction", [False, True])
async def test_very_many_have_the_replies_of_a_small_one(redis_url: str, transaction: bool) -> None:
    async with opened(redis_url) as manager:
        await manager.redis.set("text", "no number")
        with pytest.raises(ResponseError, match=r"Command # 2103 .*not an integer"):
            await filled(manager, transaction, 4).execute()
        replies = await filled(manager, transaction, 4).execute(raise_on_error=False)

        assert isinstance(replies[2102], ResponseError)
        assert replies[:3] == [0, {}, 4000]
        assert replies[-1] == 7998
        assert len(replies) == 12_000


async def test_very_many_under_watch(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        for touched in (True, False):
            async with manager.redis.pipeline() as pipe:
                await pipe.watch("watched")
                pipe.multi()
                for number in range(6000):
                    pipe.set(f"key {number}", number)
                if touched:
                    await manager.redis.incr("watched")
                    with pytest.raises(WatchError):
                        await pipe.execute()
                else:
                    assert await pipe.execute() == [True] * 6000


async def test_a_refused_one_of_very_many_discards_the_transaction(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        pipe: Any = manager.redis.pipeline()
        for number in range(6000):
            pipe.set(f"key {number}", number)
        pipe.execute_command("HSET", "hash", "field")
        with pytest.raises(ResponseError, match=r"Command # 6001 .*wrong number of arguments"):
            await pipe.execute()

        assert await manager.redis.get("key 0") is None


@pytest.mark.parametrize("foreign", [False, True])
async def test_a_loss_between_two_slices_may_have_run(
    redis_server: RedisServer, redis_url: str, foreign: bool
) -> None:
    """What was sent before is executed: nothing of it goes out again."""
    async with opened(redis_url, timeout={"command": 10}) as manager:
        client: Any = manager.redis
        if foreign:
            client = redis.asyncio.Redis(connection_pool=client.connection_pool)
        pipe: Any = client.pipeline(transaction=False)
        for _ in range(10 * SLICE):
            pipe.incr("n")
        pool = pool_of(manager)
        before = pool.counters.bytes_sent
        executing = asyncio.ensure_future(pipe.execute())
        while pool.counters.bytes_sent == before:  # noqa: ASYNC110  # until the first slice left
            await asyncio.sleep(0)
        for held in list(pool.leases.capacity.leased.values()):
            assert held.connection is not None
            held.connection.drop()

        with pytest.raises(ReplyLostError) as raised:
            await executing
        assert raised.value.maybe_executed
        assert int(await redis_server.command("GET", "n") or 0) <= 10 * SLICE
