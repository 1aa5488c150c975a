"""Pipelines of very many commands: packed, sent and read in slices."""

import asyncio
import time
from typing import Any

import pytest
from redis.exceptions import DataError, ResponseError

from redis_manager_fastapi import RedisManager
from tests.kit.managers import opened

MANY = 100_000


async def longest_turn(work: Any) -> float:
    """Await *work*; return how long one turn of the loop has computed at most, in seconds."""
    turns = [0.0]

    async def watch() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            turns.append(now - last)
            last = now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await work
    watching.cancel()
    return max(turns)


@pytest.mark.measures
@pytest.mark.parametrize("kind", ["set", "get"])
async def test_a_pipeline_of_very_many_commands_lets_the_loop_turn(
    redis_url: str, kind: str
) -> None:
    async with opened(redis_url, timeout={"command": 20}) as manager:
        turns = []
        for _ in range(3):  # the least of them, because other processes make turns longer
            pipe = manager.redis.pipeline(transaction=False)
            for number in range(MANY):
                if kind == "set":
                    pipe.set(f"key {number}", number)
                else:
                    pipe.get(f"key {number}")
            turns.append(await longest_turn(pipe.execute()))

        # 10 to 18 ms on a busy machine; in one piece 0.4 s at least.
        assert min(turns) <= 0.03


def filled(manager: RedisManager, transaction: bool) -> Any:
    pipe = manager.redis.pipeline(transaction=transaction)
    for number in range(1000):
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
