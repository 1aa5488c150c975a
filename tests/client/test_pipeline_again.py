"""A pipeline on a dedicated connection that goes out a second time is the same pipeline."""

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
