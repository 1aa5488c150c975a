"""WAIT counts what its client has written, whichever connection carried it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.exceptions import DataError, ResponseError

from redis_manager_fastapi import RedisManager, ReplyLostError
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.server import Directive
from tests.kit.fake_server import FakeServer
from tests.kit.managers import assert_at_rest, opened, pool_of
from tests.kit.servers import has
from tests.kit.waiting import eventually, until

LIMIT = 0.3
SET = "return redis.call('SET', KEYS[1], ARGV[1])"


async def plain(redis: Redis) -> None:
    await redis.set("k", "v")


async def large(redis: Redis) -> None:
    await redis.set("k", "v" * 70_000)


async def scripted(redis: Redis) -> None:
    await redis.eval(SET, 1, "k", "v")


async def in_a_pipeline(redis: Redis) -> None:
    await redis.pipeline(transaction=False).set("k", "v").set("l", "v").execute()


async def in_a_transaction(redis: Redis) -> None:
    await redis.pipeline().set("k", "v").execute()


async def under_watch(redis: Redis) -> None:
    async with redis.pipeline() as pipe:
        await pipe.watch("k")
        pipe.multi()
        pipe.set("k", "v")
        await pipe.execute()


async def moved(redis: Redis) -> None:
    await redis.rpush("from", "v")
    await redis.brpoplpush("from", "to", 1)


WRITES = [plain, large, scripted, in_a_pipeline, in_a_transaction, under_watch, moved]


@asynccontextmanager
async def replica_of(primary: RedisServer, **directives: Directive) -> AsyncIterator[RedisServer]:
    """A replica of the server, up to date."""
    async with RedisServer({**directives, "replicaof": f"127.0.0.1 {primary.port}"}) as server:

        async def is_online() -> bool:
            report = await primary.command("INFO", "replication")
            return "'state': 'online'" in str(report)

        await eventually(is_online, 20)
        yield server
        server.resume()


@pytest.fixture
async def replica(redis_server: RedisServer) -> AsyncIterator[RedisServer]:
    async with replica_of(redis_server) as server:
        yield server


@asynccontextmanager
async def clients_of(server: RedisServer) -> AsyncIterator[list[Redis]]:
    """A client for each protocol that the server speaks."""
    protocols = (2, 3) if has(redis="6.0") else (2,)
    managers = [RedisManager(f"{server.url}?protocol={protocol}") for protocol in protocols]
    async with AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(manager)).redis for manager in managers]
        for manager in managers:
            assert_at_rest(manager)


@pytest.mark.parametrize("write", WRITES)
async def test_wait_counts_the_replicas_that_have_what_was_written(
    redis_server: RedisServer, replica: RedisServer, write: Callable[[Redis], Awaitable[None]]
) -> None:
    async with clients_of(redis_server) as clients:

        async def written(milliseconds: int) -> set[int]:
            for redis in clients:
                await write(redis)
            return set(await asyncio.gather(*(each.wait(1, milliseconds) for each in clients)))

        assert await written(5000) == {1}

        replica.pause()
        begun = time.monotonic()
        assert await written(round(LIMIT * 1000)) == {0}
        assert time.monotonic() - begun >= LIMIT - 0.01

        replica.resume()
        assert set(await asyncio.gather(*(each.wait(1, 5000) for each in clients))) == {1}


@pytest.mark.parametrize("name", ["Wait 1 300", b"WAIT"], ids=str)
async def test_wait_by_any_name(redis_url: str, replica: RedisServer, name: str | bytes) -> None:
    async with opened(redis_url) as manager:
        replica.pause()
        await manager.redis.set("k", "v")
        args = () if isinstance(name, str) else (1, 300)
        assert await manager.redis.execute_command(name, *args) == 0


async def test_wait_in_a_pipeline_has_its_own_time(redis_url: str, replica: RedisServer) -> None:
    """As a single one has, which blocks for longer than other commands may take."""
    async with opened(redis_url) as manager:
        replica.pause()
        pipe = manager.redis.with_options(timeout=0.2).pipeline(transaction=False)
        begun = time.monotonic()
        assert await pipe.set("k", "v").wait(1, 500).execute() == [True, 0]
        assert time.monotonic() - begun >= 0.49


async def test_wait_is_refused_where_it_counts_nothing(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        with pytest.raises(DataError, match="in a transaction: call it after"):
            await manager.redis.pipeline().set("k", "v").wait(1, 100).execute()
        with pytest.raises(DataError, match=r"which is nothing: call `r.wait\(\)`"):
            await manager.redis.pipeline(transaction=False).get("k").wait(1, 100).execute()
        assert await manager.redis.get("k") is None


async def test_on_a_cluster_every_primary_waits_for_its_replicas() -> None:
    deployment = ClusterDeployment(shards=3, replicas=1)
    async with deployment, opened(deployment.url) as manager:
        client = manager.cluster
        await client.set("k", "v")

        async def acknowledged() -> bool:
            return bool(await client.wait(1, 300) == 1)

        await eventually(acknowledged)
        slot = client.keyslot("k")
        shard = next(number for number in range(3) if slot in deployment.slots_of(number))
        deployment.replica_of(shard).pause()
        await client.set("k", "w")
        begun = time.monotonic()
        assert await client.wait(1, 300) == 0
        assert time.monotonic() - begun >= LIMIT - 0.01
        deployment.replica_of(shard).resume()


async def test_wait_counts_what_a_lost_connection_has_written(
    redis_server: RedisServer, redis_url: str, replica: RedisServer
) -> None:
    async with opened(redis_url) as manager:
        replica.pause()
        await manager.redis.set("k", "v")
        generation = pool_of(manager).generation
        await redis_server.command("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: pool_of(manager).generation > generation)

        assert await manager.redis.wait(1, 100) == 0


async def test_wait_ends_though_others_write_on(redis_url: str, replica: RedisServer) -> None:
    async with opened(redis_url) as manager:

        async def others() -> None:
            while True:
                await manager.redis.incr("n")

        writer = asyncio.ensure_future(others())
        await manager.redis.set("k", "v")
        assert await manager.redis.wait(1, 5000) == 1
        writer.cancel()
        await asyncio.wait([writer])


async def test_wait_blocks_nobody_else(redis_url: str, replica: RedisServer) -> None:
    async with opened(redis_url) as manager:
        replica.pause()
        await manager.redis.set("k", "v")
        waiting = asyncio.ensure_future(manager.redis.wait(1, 0))
        await until(lambda: manager.stats().leased == 1)

        assert await manager.redis.get("k") == "v"
        assert not waiting.done()
        replica.resume()
        assert await waiting == 1


async def test_wait_under_a_pinned_client_is_the_server_s_own(
    redis_url: str, replica: RedisServer
) -> None:
    async with opened(redis_url) as manager, manager.redis.client() as pinned:
        replica.pause()
        await pinned.set("k", "v")
        assert await pinned.wait(1, 100) == 0


async def test_what_the_server_refuses_is_refused_in_its_words(
    redis_url: str, replica: RedisServer
) -> None:
    async with opened(replica.url) as of_replica:
        with pytest.raises(ResponseError, match=r"replica|slave"):
            await of_replica.redis.wait(0, 100)
    async with opened(redis_url) as manager:
        with pytest.raises(ResponseError, match="not an integer"):
            await manager.redis.execute_command("WAIT", "many", 0)
        with pytest.raises(ResponseError, match="timeout is negative"):
            await manager.redis.wait(1, -1)
        with pytest.raises(ResponseError, match="wrong number of arguments"):
            await manager.redis.execute_command("WAIT", 1)


@pytest.mark.parametrize("report", [b":5\r\n", b"*0\r\n", b"$-1\r\n"])
async def test_another_command_s_reply_in_the_place_of_the_report(report: bytes) -> None:
    async with FakeServer() as fake, opened(fake.url) as manager:
        fake.replies.append(report)
        with pytest.raises(ReplyLostError):
            await manager.redis.wait(1, 100)

        assert manager.stats().idle == 0
