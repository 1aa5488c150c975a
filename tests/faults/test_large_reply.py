"""Row 68: a large reply on a slow network, in front of everybody's replies."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi import CommandTimeoutError
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.managers import opened, pool_of
from tests.kit.waiting import until

SIZE = 8_000_000
HEALTH = {"interval": 0.1, "timeout": 0.2}


async def test_a_large_reply_ends_no_connection_and_goes_alone_next_time(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Row 68: its own caller may be late; nobody is dropped, and nobody waits the next time."""
    async with redis_server.client() as admin:
        await admin.set("large", b"x" * SIZE)
    settings: Any = {"pipelining": {"enabled": True}, "health": HEALTH, "timeout": {"command": 5.0}}
    async with opened(fault_proxy.url, **settings) as manager:
        (link,) = pool_of(manager).links
        await fault_proxy.drip(80_000, 0.01, direction="to_client")
        hasty = manager.redis.with_options(timeout=0.2)
        with pytest.raises(CommandTimeoutError):
            await hasty.get("large")
        values = await asyncio.gather(*(manager.redis.echo(str(n)) for n in range(20)))

        assert values == [str(n) for n in range(20)]
        assert not link.lost
        assert manager.stats().generation == 1

        large: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.get("large"))
        await until(lambda: manager.stats().leased == 1)
        began = asyncio.get_running_loop().time()
        for number in range(10):
            assert await manager.redis.echo(str(number)) == str(number)
        took = asyncio.get_running_loop().time() - began

        assert not large.done()
        assert took < 0.5
        assert len(await large) == SIZE
        assert manager.stats().generation == 1


async def test_the_rest_of_a_large_reply_never_comes(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Row 68: it had begun to flow, and stops: the connection is dropped within the bound."""
    async with redis_server.client() as admin:
        await admin.set("large", b"x" * SIZE)
    settings: Any = {"pipelining": {"enabled": True}, "health": HEALTH, "timeout": {"command": 2.0}}
    async with opened(fault_proxy.url, **settings) as manager:
        (link,) = pool_of(manager).links
        await fault_proxy.drip(80_000, 0.01, direction="to_client")
        large: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.get("large"))
        await until(lambda: link._partial > 1_000_000)
        await fault_proxy.black_hole(new=False)
        began = asyncio.get_running_loop().time()
        await until(lambda: link.lost)

        assert asyncio.get_running_loop().time() - began < 0.3 + 0.2
        await fault_proxy.pass_through()
        assert len(await large) == SIZE
