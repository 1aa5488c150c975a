"""Streams for tests of consumers: entries to add, and what the server knows of the group."""

import asyncio
from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.realtime.items import StreamEntry
from redis_manager_fastapi.testing import RedisServer

STREAM, GROUP = "orders", "billing"
SOON = 0.2  # seconds for `claim_after`, when a test waits for it


async def add(server: RedisServer, numbers: Any, stream: str = STREAM) -> None:
    """Add an entry for each number."""
    async with server.client() as client, client.pipeline(transaction=False) as pipeline:
        for number in numbers:
            pipeline.xadd(stream, {"n": number})
        await pipeline.execute()


async def pending(server: RedisServer, stream: str = STREAM, group: str = GROUP) -> list[Any]:
    """ID, consumer and times delivered of what is pending."""
    async with server.client() as client:
        rows = await client.xpending_range(stream, group, "-", "+", 10_000)
    return [(row["message_id"], row["consumer"], row["times_delivered"]) for row in rows]


async def delivered(server: RedisServer, stream: str = STREAM) -> list[str]:
    """The IDs of what the one group of a stream has delivered."""
    async with server.client() as client:
        groups: Any = await client.xinfo_groups(stream)
        if not groups:
            return []
        entries: Any = await client.xrange(stream, "-", groups[0]["last-delivered-id"])
    return [entry_id for entry_id, _ in entries]


async def members(server: RedisServer, stream: str = STREAM, group: str = GROUP) -> list[str]:
    """The names of the group's consumers."""
    async with server.client() as client:
        return [each["name"] for each in await client.xinfo_consumers(stream, group)]


def listening(manager: RedisManager) -> RealTimeStats:
    """The counters of what listens."""
    stats = manager.stats().realtime
    assert stats is not None
    return stats


def numbers(entries: list[StreamEntry]) -> list[int]:
    """Return what `add` put into the entries."""
    return [int(entry.fields["n"]) for entry in entries]


async def consumed(manager: RedisManager, many: int, *streams: str, **options: Any) -> list[Any]:
    """Consume and acknowledge so many entries."""
    found: list[StreamEntry] = []
    async with (
        asyncio.timeout(20),
        manager.consume(*(streams or (STREAM,)), group=GROUP, **options) as entries,
    ):
        async for entry in entries:
            found.append(entry)
            if len(found) == many:
                entries.done()
                break
    return found
