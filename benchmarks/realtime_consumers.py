"""Entries per second through `consume` with an empty body, and through redis-py's plain loop.

The two take turns, a batch of entries each, so that whatever else the machine does
meets both: `scripts/realtime consumers`.
"""

import asyncio
import statistics
import sys
import time

import redis.asyncio

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer

GROUP = "billing"
ENTRIES, TURNS = 2_000, 10


async def fill(client: "redis.asyncio.Redis", stream: str) -> None:
    """Add the entries, and make the group."""
    async with client.pipeline(transaction=False) as pipeline:
        for number in range(ENTRIES):
            pipeline.xadd(stream, {"n": number, "body": "x" * 100})
        pipeline.xgroup_create(stream, GROUP, "0")
        await pipeline.execute()


async def plain(client: "redis.asyncio.Redis", stream: str) -> float:
    """Read and acknowledge one entry at a time; return entries per second."""
    began = time.perf_counter()
    for _ in range(ENTRIES):
        ((_, ((entry_id, _),)),) = await client.xreadgroup(GROUP, "me", {stream: ">"}, count=1)
        await client.xack(stream, GROUP, entry_id)
    return ENTRIES / (time.perf_counter() - began)


async def consumed(manager: RedisManager, stream: str) -> float:
    """Consume the entries, the end of the block included; return entries per second."""
    began, many = time.perf_counter(), 0
    async with manager.consume(stream, group=GROUP) as entries:
        async for _ in entries:
            many += 1
            if many == ENTRIES:
                entries.done()
                break
    return ENTRIES / (time.perf_counter() - began)


async def main() -> None:
    """Print each turn, and the medians."""
    found: list[tuple[float, float]] = []
    async with RedisServer() as server, RedisManager(url=server.url) as manager:
        client = redis.asyncio.Redis(host=server.host, port=server.port, decode_responses=True)
        async with client:
            for turn in range(TURNS):
                streams = (f"plain:{turn}", f"consume:{turn}")
                for stream in streams:
                    await fill(client, stream)
                found.append((await plain(client, streams[0]), await consumed(manager, streams[1])))
                for stream in streams:
                    left = (await client.xpending(stream, GROUP))["pending"]
                    if left:
                        raise AssertionError(f"{left} entries of {stream} are still pending")
    for before, after in found:
        sys.stdout.write(f"{before:10,.0f}/s {after:10,.0f}/s {after / before:6.1f} times\n")
    plainly, ours = (statistics.median(column) for column in zip(*found, strict=True))
    ratio = statistics.median(after / before for before, after in found)
    sys.stdout.write(f"median: {plainly:,.0f}/s, {ours:,.0f}/s, {ratio:.1f} times\n")


if __name__ == "__main__":
    asyncio.run(main())
