"""A client that is pinned to one connection gives it back, however its block ends."""

import asyncio
import gc
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


async def test_options_of_a_copy_hold_on_the_pinned_connection(redis_manager: RedisManager) -> None:
    """Clients that decode and clients that do not may use one connection in turns, or at once."""
    async with redis_manager.connection() as pinned:
        raw = pinned.with_options(decode_responses=False)
        number = await pinned.client_id()
        await pinned.set("k", "v")

        assert await raw.client_id() == number
        assert (await raw.get("k"), await pinned.get("k")) == (b"v", "v")
        replies = await asyncio.gather(raw.get("k"), pinned.get("k"), raw.get("k"))
        assert list(replies) == [b"v", "v", b"v"]
        assert await raw.with_options(decode_responses=True).client_id() == number
        assert redis_manager.stats().leased == 1


async def test_pinned_connection_is_not_the_copy_s_to_close(redis_manager: RedisManager) -> None:
    async with redis_manager.connection() as pinned:
        number = await pinned.client_id()
        async with pinned.with_options(decode_responses=False) as raw:
            await raw.ping()
        await raw.aclose()
        del raw
        gc.collect()

        assert await pinned.client_id() == number
    assert redis_manager.stats().leased == 0


async def test_copy_of_a_client_that_has_no_connection_yet_leases_its_own(
    redis_manager: RedisManager,
) -> None:
    async with redis_manager.redis.client().with_options(decode_responses=False) as raw:
        assert await raw.ping() is True
        assert redis_manager.stats().leased == 1
    assert redis_manager.stats().leased == 0


async def test_client_of_a_pinned_client_is_pinned_to_another_connection(
    redis_manager: RedisManager,
) -> None:
    async with redis_manager.connection() as one:
        async with one.client() as other:
            assert await other.client_id() != await one.client_id()
        assert redis_manager.stats().leased == 1
