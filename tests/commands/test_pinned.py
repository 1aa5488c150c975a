"""A client that is pinned to one connection gives it back, however its block ends."""

import asyncio
from typing import Any

from redis_manager_fastapi import RedisManager


async def test_cancelled_at_its_end_still_gives_the_connection_back(
    redis_manager: RedisManager,
) -> None:
    async def hold() -> None:
        async with redis_manager.redis.client() as pinned:
            await pinned.ping()
            # The cancellation arrives at the first await of the block's end.
            asyncio.get_running_loop().call_soon(task.cancel)

    task = asyncio.create_task(hold())
    await asyncio.wait([task])

    assert redis_manager.stats().leased == 0


async def test_nested_use_keeps_the_connection_until_the_last_end(
    redis_manager: RedisManager,
) -> None:
    client = redis_manager.redis.client()
    async with client:
        async with client:
            number = await client.client_id()

        assert await client.client_id() == number
        assert redis_manager.stats().leased == 1
    assert redis_manager.stats().leased == 0


async def test_response_callback_stays_with_its_client(redis_manager: RedisManager) -> None:
    def mine(response: Any, **options: Any) -> str:
        return "mine"

    async with redis_manager.client() as client:
        client.set_response_callback("GET", mine)
        await client.set("k", "v")

        assert await client.get("k") == "mine"
        assert await redis_manager.redis.get("k") == "v"
