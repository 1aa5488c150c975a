"""A client that is pinned to one connection gives it back, however its block ends."""

import asyncio
import gc
from typing import Any

import pytest
import redis.asyncio

from redis_manager_fastapi import (
    ClientEndedError,
    CommandTimeoutError,
    PoolTimeoutError,
    RedisManager,
    ReplyLostError,
)
from redis_manager_fastapi.testing import RedisServer


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


async def cancelled(call: Any) -> None:
    """Cancel *call* while the server works on it."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])


async def test_goes_on_with_another_connection_after_a_cancelled_command(
    redis_manager: RedisManager,
) -> None:
    async with redis_manager.connection() as pinned:
        raw = pinned.with_options(decode_responses=False)
        for client in (pinned, raw):
            number = await pinned.client_id()
            await cancelled(client.blpop(["nothing"], timeout=5))

            assert await client.client_id() != number
            assert await pinned.client_id() == await raw.client_id()
            assert redis_manager.stats().leased == 1
    assert redis_manager.stats().leased == 0


async def test_goes_on_with_another_connection_after_a_deadline(
    redis_manager: RedisManager,
) -> None:
    async with redis_manager.connection() as pinned:
        with pytest.raises(CommandTimeoutError):
            await pinned.with_options(timeout=0.05).execute_command("DEBUG", "SLEEP", 0.2)
        assert await pinned.ping() is True


async def test_tells_of_a_lost_connection_once(
    redis_manager: RedisManager, redis_server: RedisServer
) -> None:
    async with redis_manager.connection() as pinned:
        await redis_server.command("CLIENT", "KILL", "ID", await pinned.client_id())
        with pytest.raises(ReplyLostError):
            await pinned.set("k", 1)

        assert await pinned.set("k", 2)
        assert redis_manager.stats().leased == 1


@pytest.mark.parametrize("prepare", [("SELECT", 1), ("CLIENT SETNAME", "mine"), ("WATCH", "k")])
async def test_says_that_what_was_set_on_a_dropped_connection_is_lost(
    redis_manager: RedisManager, prepare: tuple[Any, ...]
) -> None:
    async with redis_manager.connection() as pinned:
        await pinned.execute_command(*prepare)
        await cancelled(pinned.blpop(["nothing"], timeout=5))
        for _ in range(2):
            with pytest.raises(ReplyLostError, match="take another client") as caught:
                await pinned.get("k")
            assert caught.value.maybe_executed is False
    assert redis_manager.stats().leased == 0


async def test_without_a_free_connection_in_time_it_says_so(redis_url: str) -> None:
    """A connection that is never leased takes no time of a command's."""
    settings: Any = {"pool": {"max_connections": 1, "acquire_timeout": 5.0}}
    async with RedisManager(url=redis_url, timeout={"command": 0.2}, **settings) as manager:
        first, second = manager.redis.client(), manager.redis.client()
        await first.set("k", "v")
        with pytest.raises(PoolTimeoutError, match=r"became free within 0\.2 s") as raised:
            await second.get("k")
        assert not raised.value.maybe_executed
        assert await first.get("k") == "v"
        await first.aclose()


async def test_a_connection_leased_through_a_request_s_pool_ends_with_it(
    redis_manager: RedisManager,
) -> None:
    async with redis_manager.client() as r:
        other = redis.asyncio.Redis(connection_pool=r.connection_pool)
        kept = await r.connection_pool.get_connection()
        assert await other.ping()
        assert redis_manager.stats().leased == 1

    assert redis_manager.stats().leased == 0
    assert not kept.alive
    with pytest.raises(ClientEndedError):
        await other.ping()
    with pytest.raises(ClientEndedError):
        await r.connection_pool.get_connection()
