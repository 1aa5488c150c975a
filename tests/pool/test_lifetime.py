"""The lifetime of shared connections: replaced without an error, wherever the name leads now."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from redis_manager_fastapi import Event, PoolState, StateChanged
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import opened, pool_of
from tests.kit.waiting import until


@pytest.mark.parametrize("connections", [1, 3])
async def test_shared_connections_are_replaced_under_traffic_without_an_error(
    redis_url: str, connections: int
) -> None:
    events: list[Event] = []
    settings: Any = {
        "pool": {"max_lifetime": 0.2},
        "health": {"interval": 0.05, "backoff_cap": 0.05},
        "pipelining": {"connections": connections},
    }
    async with opened(redis_url, listeners=[events.append], **settings) as manager:
        old = pool_of(manager).links
        asked = 0

        async def ask() -> None:
            nonlocal asked
            while manager.stats().generation < 4:
                asked += 1
                number = asked
                assert await manager.redis.echo(str(number)) == str(number)

        await asyncio.gather(*(ask() for _ in range(16)))

        assert all(link.lost for link in old)
        assert manager.stats().links == connections
        states = [event.state for event in events if isinstance(event, StateChanged)]
        assert states == ["starting", "ready"]


async def test_a_name_that_leads_elsewhere_is_followed(tmp_path: Path) -> None:
    """Row 67: the old server lives, and says nothing of it."""
    name = tmp_path / "redis.sock"
    settings: Any = {"pool": {"max_lifetime": 0.5}, "health": {"interval": 0.05}}
    async with RedisServer(unix_socket=True) as old, RedisServer(unix_socket=True) as new:
        assert old.unix_socket
        assert new.unix_socket
        name.symlink_to(old.unix_socket)
        async with opened(f"unix://{name}", **settings) as manager:
            await manager.redis.set("server", "old")
            async with new.client() as admin:
                await admin.set("server", "new")
            name.unlink()
            name.symlink_to(new.unix_socket)
            moved = asyncio.get_running_loop().time()
            seen = []
            while (value := await manager.redis.get("server")) != "new":
                seen.append(value)
                await asyncio.sleep(0.002)
            took = asyncio.get_running_loop().time() - moved

            assert took < 0.5 + 0.15
            assert set(seen) == {"old"}
            shared, dedicated = manager.redis, manager.redis.with_options(dedicated=True)
            assert await shared.get("server") == await dedicated.get("server") == "new"


async def test_a_name_that_leads_nowhere_costs_nothing_while_the_server_lives(
    tmp_path: Path,
) -> None:
    name = tmp_path / "redis.sock"
    settings: Any = {"pipelining": {"enabled": True}}  # a command's own connection has no server
    settings |= {"pool": {"max_lifetime": 0.1}, "health": {"interval": 0.05}}
    async with RedisServer(unix_socket=True) as server:
        assert server.unix_socket
        name.symlink_to(server.unix_socket)
        async with opened(f"unix://{name}", **settings) as manager:
            name.unlink()
            connects = manager.stats().connects
            await until(lambda: manager.stats().connects > connects + 1)

            assert await manager.redis.set("key", "value")
            assert (manager.stats().state, manager.stats().generation) == (PoolState.READY, 1)


async def test_a_lease_outlives_the_connections_beside_it(redis_url: str) -> None:
    settings: Any = {"pool": {"max_lifetime": 0.2}, "health": {"interval": 0.05}}
    async with opened(redis_url, **settings) as manager:
        async with manager.redis.pubsub() as pubsub:
            await pubsub.subscribe("news")
            await until(lambda: manager.stats().generation > 1)
            await manager.redis.publish("news", "still here")
            async with asyncio.timeout(2):
                while (message := await pubsub.get_message(timeout=1)) is not None:
                    if message["type"] == "message":
                        break

        assert message is not None
        assert message["data"] == "still here"
