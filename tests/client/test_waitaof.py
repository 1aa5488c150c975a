"""WAITAOF counts the files that have what its client wrote, whichever connection carried it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import DataError, ResponseError

from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.server import Directive
from tests.client.test_wait import LIMIT, WRITES, clients_of, replica_of
from tests.kit.managers import opened
from tests.kit.servers import needs

PERSISTENT: dict[str, Directive] = {"appendonly": "yes", "appendfsync": "always"}

pytestmark = [needs("WAITAOF", redis="7.2")]


@pytest.fixture
async def persistent() -> AsyncIterator[RedisServer]:
    """A server that appends to a file, and syncs it at once."""
    async with RedisServer(PERSISTENT) as server:
        yield server


@pytest.fixture
async def replica(persistent: RedisServer) -> AsyncIterator[RedisServer]:
    """A replica of it that does the same, up to date."""
    async with replica_of(persistent, **PERSISTENT) as server:
        yield server


@pytest.mark.parametrize("write", WRITES)
async def test_waitaof_counts_the_files_that_have_what_was_written(
    persistent: RedisServer, replica: RedisServer, write: Callable[[Redis], Awaitable[None]]
) -> None:
    async with clients_of(persistent) as clients:

        async def synced(milliseconds: int) -> list[list[int]]:
            return await asyncio.gather(*(each.waitaof(1, 1, milliseconds) for each in clients))

        async def written(milliseconds: int) -> list[list[int]]:
            for redis in clients:
                await write(redis)
            return await synced(milliseconds)

        assert await written(5000) == [[1, 1]] * 2

        replica.pause()
        begun = time.monotonic()
        assert await written(round(LIMIT * 1000)) == [[1, 0]] * 2
        assert time.monotonic() - begun >= LIMIT - 0.01

        replica.resume()
        assert await synced(5000) == [[1, 1]] * 2


async def test_what_goes_ahead_of_it_changes_nothing(persistent: RedisServer) -> None:
    async with opened(persistent.url) as manager, manager.redis.pipeline() as pipe:
        await manager.redis.set("k", "v")
        await pipe.watch("k")
        assert await manager.redis.execute_command("waitaof", 1, 0, 5000) == [1, 0]
        pipe.multi()
        pipe.get("k")

        assert await pipe.execute() == ["v"]
        assert manager.stats().idle == 2  # its connection is leased again, as the other one is


async def test_who_may_not_do_so_is_told_where_it_works(persistent: RedisServer) -> None:
    await persistent.command("ACL", "SETUSER", "default", "-swapdb")
    async with opened(persistent.url) as manager:
        await manager.redis.set("k", "v")
        with pytest.raises(DataError, match="pinned to one"):
            await manager.redis.waitaof(1, 0, 100)


async def test_on_a_cluster_it_works_on_a_pinned_client() -> None:
    deployment = ClusterDeployment(shards=3, replicas=0)
    async with deployment, opened(deployment.url) as manager:
        client: Any = manager.cluster
        with pytest.raises(DataError, match="pinned to one"):
            await client.waitaof(0, 0, 100)
        async with client.on(client.get_random_node()).client() as pinned:
            assert await pinned.waitaof(0, 0, 100) == [0, 0]


async def test_what_the_server_refuses_is_refused_in_its_words(
    persistent: RedisServer, replica: RedisServer
) -> None:
    async with opened(replica.url) as of_replica:
        with pytest.raises(ResponseError, match="replica"):
            await of_replica.redis.waitaof(1, 0, 100)
    async with opened(persistent.url) as manager:
        with pytest.raises(ResponseError, match="wrong number of arguments"):
            await manager.redis.execute_command("WAITAOF", 1)
        with pytest.raises(ResponseError, match="timeout is negative"):
            await manager.redis.waitaof(1, 0, -1)
