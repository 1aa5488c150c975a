"""Reading one's own writes, whichever way they take: `scripts/client-cache writes`.

Each of many tasks has a key of its own: it reads it by way of the cache, writes it in one of
the ways that there are, and reads it again.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer

CHANCE = random.Random()  # noqa: S311 (a load, no secret)
TASKS = 16
SCRIPT = "return redis.call('SET', KEYS[1], ARGV[1])"

Write = Callable[[RedisManager, str, int], Awaitable[Any]]


async def pipeline(manager: RedisManager, key: str, value: int) -> None:
    """Write in a pipeline."""
    async with manager.redis.pipeline(transaction=False) as pipe:
        await pipe.get(key).set(key, value).execute()


async def transaction(manager: RedisManager, key: str, value: int) -> None:
    """Write between MULTI and EXEC."""
    async with manager.redis.pipeline(transaction=True) as pipe:
        await pipe.set(f"{key}:other", 1).set(key, value).execute()


async def watched(manager: RedisManager, key: str, value: int) -> None:
    """Write under WATCH."""
    async with manager.redis.pipeline() as pipe:
        await pipe.watch(key)
        pipe.multi()
        await pipe.set(key, value).execute()


async def pinned(manager: RedisManager, key: str, value: int) -> None:
    """Write on a connection of one's own."""
    async with manager.connection() as client:
        await client.set(key, value)


async def renamed(manager: RedisManager, key: str, value: int) -> None:
    """Write another key, and give it this one's name."""
    await manager.redis.set(f"{key}:other", value)
    await manager.redis.rename(f"{key}:other", key)


async def blocked(manager: RedisManager, key: str, value: int) -> None:
    """Write by what a blocking command moves."""
    await manager.redis.delete(key)
    await manager.redis.rpush(f"{key}:list", value)
    popped = await manager.redis.blpop([f"{key}:list"], timeout=5)
    await manager.redis.set(key, popped[1] if popped else "nothing came")


async def foreign(manager: RedisManager, key: str, value: int) -> None:
    """Write by redis-py's own client over the manager's connections."""
    pool: Any = manager.connection_pool
    await redis.asyncio.Redis(connection_pool=pool).set(key, value)


WRITES: dict[str, Write] = {
    "shared": lambda m, k, v: m.redis.set(k, v),
    "several": lambda m, k, v: m.redis.mset({f"{k}:other": 1, k: v}),
    "dedicated": lambda m, k, v: m.redis.with_options(dedicated=True).set(k, v),
    "large": lambda m, k, v: m.redis.mset({f"{k}:other": "x" * 70_000, k: v}),
    "script": lambda m, k, v: m.redis.eval(SCRIPT, 1, k, v),
    **{
        each.__name__: each
        for each in (pipeline, transaction, watched, pinned, renamed, blocked, foreign)
    },
}


async def _rounds(manager: RedisManager, key: str, count: int, met: Counter[str]) -> int:
    cached, wrong, ways = manager.redis.with_options(cache=3600.0), 0, list(WRITES)
    for value in range(count):
        way = CHANCE.choice(ways)
        await cached.get(key)
        await WRITES[way](manager, key, value)
        if await cached.get(key) != str(value):
            wrong += 1
            met[f"WRONG {way}"] += 1
        met[way] += 1
    return wrong


async def measure(rounds: int) -> int:
    """Run so many rounds; return how many were not read back."""
    met: Counter[str] = Counter()
    async with RedisServer() as server, RedisManager(url=server.url) as manager:
        each = rounds // TASKS
        tasks = (_rounds(manager, f"key:{n}", each, met) for n in range(TASKS))
        wrong = sum(await asyncio.gather(*tasks))
        stats = manager.stats().cache
    sys.stdout.write(f"{dict(met)}\n{stats}\nnot read back: {wrong} of {each * TASKS}\n")
    return wrong


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/client-cache writes", description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=100_000)
    return int(asyncio.run(measure(parser.parse_args().rounds)) > 0)


if __name__ == "__main__":
    sys.exit(main())
