"""One caller writes to a read-only replica, again and again: that is its own affair."""

import asyncio
import time

import pytest

from redis_manager_fastapi import RedisUnavailableError
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import opened, pool_of
from tests.kit.waiting import eventually, until

SECONDS = 3.0


@pytest.mark.parametrize("large", [False, True])
async def test_writes_to_a_replica_cut_nobody_else(
    redis_server: RedisServer, redis_url: str, large: bool
) -> None:
    """Row 61."""
    value = "v" * (70_000 if large else 1)
    async with RedisServer() as primary, opened(redis_url) as manager:
        await redis_server.command("REPLICAOF", "127.0.0.1", primary.port)

        async def is_linked() -> bool:
            return "'master_link_status': 'up'" in str(await redis_server.command("INFO"))

        await eventually(is_linked, 20)
        redis, pool = manager.redis, pool_of(manager)
        async with redis.client() as pinned, redis.pubsub() as pubsub:
            await pubsub.subscribe("news")
            assert await pubsub.get_message(timeout=5)
            number, generation = await pinned.client_id(), pool.generation
            reading = asyncio.ensure_future(redis.xread({"stream": "$"}, block=0))
            await until(lambda: manager.stats().leased == 3)

            ends, refused = time.monotonic() + SECONDS, 0
            while time.monotonic() < ends:
                with pytest.raises(RedisUnavailableError, match="READONLY"):
                    await redis.set("k", value)
                refused += 1
                await asyncio.sleep(0.01)

            assert refused > 20
            assert pool.generation <= generation + 3
            assert await pinned.client_id() == number
            await primary.command("PUBLISH", "news", "message")
            message = await pubsub.get_message(timeout=5)
            assert message is not None
            assert message["data"] == "message"
            assert not reading.done()
            await primary.command("XADD", "stream", "*", "field", "value")
            assert await asyncio.wait_for(reading, 5)
