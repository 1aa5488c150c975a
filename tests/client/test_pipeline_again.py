"""A pipeline on a dedicated connection that goes out a second time is the same pipeline."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing.proxy import FaultProxy
from redis_manager_fastapi.testing.server import RedisServer


async def test_reading_transaction_is_a_transaction_both_times(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    async with RedisManager(url=fault_proxy.url) as manager:
        client = manager.redis.with_options(dedicated=True)
        await client.set("k", "v")
        pipe = client.pipeline(transaction=False)
        pipe.multi()
        pipe.get("k")
        await fault_proxy.reset_at(0, once=True)

        replies = await pipe.execute()

    assert replies == ["v"]
    calls = await redis_server.command("INFO", "commandstats")
    assert calls["cmdstat_get"]["calls"] == calls["cmdstat_multi"]["calls"]


async def read(client: Any) -> Any:
    return [await client.get("k")]


async def read_in_a_pipeline(client: Any) -> Any:
    return await client.pipeline(transaction=False).get("k").execute()


async def read_in_a_transaction(client: Any) -> Any:
    return await client.pipeline().get("k").execute()


@pytest.mark.parametrize("reading", [read, read_in_a_pipeline, read_in_a_transaction])
async def test_reads_survive_idle_connections_that_were_all_lost(
    fault_proxy: FaultProxy, reading: Any
) -> None:
    """As a balancer does it that has forgotten them: each is reset at the next byte."""
    async with RedisManager(url=fault_proxy.url) as manager:
        client = manager.redis.with_options(dedicated=True)
        await client.set("k", "v")
        await asyncio.gather(*(client.xread({"none": "$"}, block=50) for _ in range(3)))
        assert manager.stats().idle == 3
        await fault_proxy.reset_at(0, direction="to_server", new=False)

        assert await reading(client) == ["v"]
