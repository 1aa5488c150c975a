"""Listening to tails in tests: until an entry that says that nothing more follows."""

import asyncio
from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.observe.realtime import TailStats
from redis_manager_fastapi.realtime.items import Gap, StreamEntry
from redis_manager_fastapi.realtime.tails.tail import Tail

END = "end"
PATIENCE = 8.0

Item = StreamEntry | Gap


async def add(manager: RedisManager, stream: str, *values: Any, **options: Any) -> list[str]:
    """Add an entry for each value; return their IDs."""
    return [str(await manager.redis.xadd(stream, {"n": value}, **options)) for value in values]


async def take(tail: Tail, count: int) -> list[Item]:
    """Return so many items."""
    async with asyncio.timeout(PATIENCE):
        return [await anext(tail) for _ in range(count)]


async def rest(tail: Tail, timeout: float = PATIENCE) -> list[Item]:
    """Return what comes before the entry that says that it is the end."""
    items: list[Item] = []
    async with asyncio.timeout(timeout):
        async for item in tail:
            if isinstance(item, StreamEntry) and item.fields["n"] == END:
                return items
            items.append(item)
    raise AssertionError(f"ended after {items}")


def values(items: list[Item]) -> list[str]:
    """Return what the entries say, and "gap" for each gap."""
    return [item.fields["n"] if isinstance(item, StreamEntry) else "gap" for item in items]


async def had(manager: RedisManager, stream: str, count: int) -> str:
    """Add so many entries, read them all and return the last one's cursor."""
    async with manager.tail(stream) as tail:
        await add(manager, stream, *(f"old {number}" for number in range(count)))
        items = await take(tail, count)
    return items[-1].cursor


def stats_of(manager: RedisManager) -> TailStats:
    """The counters of the manager's tails."""
    realtime = manager.stats().realtime
    assert realtime is not None
    return realtime.tails
