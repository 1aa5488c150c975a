"""Another project's client on our pool: `redis.asyncio.Redis(connection_pool=...)`, redis-py's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.exceptions import DataError

from redis_manager_fastapi import (
    RedisManager,
    RedisManagerError,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.fake_server import FakeServer
from tests.kit.load import Outcomes, assert_counted_at_most_once, count, counter, read, steady_load
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import eventually, until

DOWN = 1.0
KEYS = [f"key:{number}" for number in range(20)]
PATIENT: dict[str, Any] = {
    "outage": {"grace": 10.0},
    "timeout": {"command": 10.0},
    "pool": {"acquire_timeout": 10.0},
}


def foreign(manager: RedisManager, **options: Any) -> Any:
    """redis-py's own client, as another library would make it."""
    return redis.asyncio.Redis(connection_pool=manager.redis.connection_pool, **options)


async def read_many(client: Any, outcomes: Outcomes, key: str) -> None:
    """Read a key twice in one pipeline."""
    values = await client.pipeline(transaction=False).get(key).get(key).execute()
    assert values == [key, key]


async def count_in_a_transaction(client: Any, outcomes: Outcomes, key: str) -> None:
    """Increment a counter in a transaction and note what was told."""
    try:
        await client.pipeline(transaction=True).incr(counter(key)).execute()
    except RedisManagerError as error:
        outcomes.maybe[key] += error.maybe_executed
        raise
    outcomes.acknowledged[key] += 1


@asynccontextmanager
async def standalone() -> AsyncIterator[tuple[str, RedisServer]]:
    """A server, with its URL."""
    async with RedisServer() as server:
        yield server.url, server


@asynccontextmanager
async def with_sentinels() -> AsyncIterator[tuple[str, RedisServer]]:
    """A primary whose Sentinels elect no other for so short an outage, with their URL."""
    async with SentinelDeployment(replicas=1, down_after=30.0) as deployment:
        yield deployment.url, deployment.servers[0]


async def open_several(client: Any, number: int = 10) -> None:
    """Have the pool open as many dedicated connections."""
    await asyncio.gather(*(client.xread({"none": "$"}, block=100) for _ in range(number)))


async def save(client: Any) -> None:
    """Save the data, once a child of the server has ended that copies it to a replica."""

    async def can_save() -> bool:
        return not (await client.info("persistence"))["rdb_bgsave_in_progress"]

    await eventually(can_save)
    await client.save()


async def freeze_and_kill(server: RedisServer) -> None:
    """Kill a server while commands that it has taken are unanswered; start it 1 s later."""
    server.pause()
    await asyncio.sleep(0.1)
    await server.restart(DOWN, crash=True)


@pytest.mark.parametrize("deployment", [standalone, with_sentinels])
async def test_its_commands_ride_through_a_restart(deployment: Any) -> None:
    async with deployment() as (url, server), opened(url, **PATIENT) as manager:
        client = foreign(manager)
        for key in KEYS:
            await client.set(key, key)
        await save(client)
        await open_several(client)
        steps = (read, count, read_many, count_in_a_transaction)

        async with steady_load(client, KEYS, *steps) as outcomes:
            await asyncio.sleep(0.3)
            await freeze_and_kill(server)
            await asyncio.sleep(0.7)

        assert outcomes.failed
        assert {type(error) for _, error in outcomes.failed} == {ReplyLostError}
        assert sum(outcomes.maybe.values()) == len(outcomes.failed)
        await assert_counted_at_most_once(client, outcomes)


async def get(client: Any) -> Any:
    return [await client.get("k")]


async def get_in_a_pipeline(client: Any) -> Any:
    return await client.pipeline(transaction=False).get("k").execute()


async def get_in_a_transaction(client: Any) -> Any:
    return await client.pipeline().get("k").execute()


@pytest.mark.parametrize("reading", [get, get_in_a_pipeline, get_in_a_transaction])
async def test_reads_survive_idle_connections_that_were_all_reset(
    fault_proxy: FaultProxy, reading: Callable[[Any], Awaitable[Any]]
) -> None:
    async with opened(fault_proxy.url) as manager:
        client = foreign(manager)
        await client.set("k", "v")
        await open_several(client, 3)
        assert manager.stats().idle == 3
        await fault_proxy.reset_at(0, direction="to_server", new=False)

        assert await reading(client) == ["v"]


async def test_a_write_over_a_reset_connection_is_told_as_lost_and_never_repeated(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    async with opened(fault_proxy.url) as manager:
        client = foreign(manager)
        await client.incr("n")
        await fault_proxy.reset_at(0, direction="to_client", new=False)

        with pytest.raises(ReplyLostError) as caught:
            await client.incr("n")

        assert caught.value.maybe_executed
        assert await redis_server.command("GET", "n") == "2"


async def test_what_watches_is_not_carried_to_another_connection(
    fault_proxy: FaultProxy,
) -> None:
    async with opened(fault_proxy.url) as manager:
        client = foreign(manager)
        async with client.pipeline() as pipe:
            await pipe.watch("k")
            await fault_proxy.reset_at(0, direction="to_client", new=False)

            with pytest.raises(redis.exceptions.WatchError):
                await pipe.get("k")


async def test_a_blocking_command_has_its_own_time(redis_server: RedisServer) -> None:
    async with opened(redis_server.url, timeout={"command": 0.5}) as manager:
        client = foreign(manager)
        loop = asyncio.get_running_loop()
        begun = loop.time()

        assert await client.blpop("nothing", timeout=2) is None
        assert 1.9 < loop.time() - begun < 4


@pytest.mark.parametrize("block", [2000, 0])
@pytest.mark.parametrize("lost_after", [0.2, 0.8])
async def test_a_stream_is_read_on_over_another_connection(
    redis_server: RedisServer, fault_proxy: FaultProxy, block: int, lost_after: float
) -> None:
    """From an id, and for no longer than was asked for."""
    async with opened(fault_proxy.url, timeout={"command": 0.5}) as manager:
        client, clock = foreign(manager), asyncio.get_running_loop().time
        begun = clock()
        reading = asyncio.ensure_future(client.xread({"stream": "0-0"}, block=block))
        await asyncio.sleep(lost_after)
        await fault_proxy.reset()
        if block:
            assert not await reading
            assert 1.9 < clock() - begun < 2.4
        else:
            await until(lambda: manager.stats().retried == 1)
            await asyncio.sleep(0.8)
            entry = await redis_server.command("XADD", "stream", "*", "f", "new")
            assert await asyncio.wait_for(reading, 2) == [["stream", [(entry, {"f": "new"})]]]


@pytest.mark.parametrize("lost_after", [0.2, 0.8])
async def test_what_is_new_in_a_stream_is_not_skipped(
    redis_server: RedisServer, fault_proxy: FaultProxy, lost_after: float
) -> None:
    """Sent again by redis-py's code, `$` would be another id."""
    await redis_server.command("XADD", "stream", "*", "f", "old")
    async with opened(fault_proxy.url) as manager:
        reading = asyncio.ensure_future(foreign(manager).xread({"stream": "$"}, block=0))
        await asyncio.sleep(lost_after)
        await fault_proxy.reset()

        with pytest.raises(ReplyLostError, match="XREAD on"):
            await asyncio.wait_for(reading, 2)


REFUSALS = [
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
]


@pytest.mark.parametrize("words", REFUSALS)
async def test_a_server_that_does_not_serve_is_waited_for(words: str) -> None:
    async with FakeServer() as server, opened(server.url) as manager:
        client = foreign(manager)
        server.replies.append(f"-{words}\r\n".encode())

        assert await client.execute_command("ECHO", "hello") == "hello"
        assert not server.replies


def get_at_once(client: Any) -> None:
    client.get("k")


def get_in_a_pipeline_at_once(client: Any) -> None:
    with client.pipeline() as pipe:
        pipe.get("k").execute()


def subscribe_at_once(client: Any) -> None:
    client.pubsub().subscribe("news")


@pytest.mark.parametrize("act", [get_at_once, get_in_a_pipeline_at_once, subscribe_at_once])
async def test_a_client_that_does_not_await_is_told_what_to_take(
    redis_server: RedisServer, act: Callable[[Any], None]
) -> None:
    async with opened(redis_server.url) as manager:
        pool: Any = manager.connection_pool

        with pytest.raises(TypeError, match=r"take `redis.asyncio.Redis\(connection_pool"):
            act(redis.Redis(connection_pool=pool))

        task = asyncio.create_task(pool.get_connection())
        await pool.release(await task)


async def test_known_down_is_told_as_ours(redis_server: RedisServer) -> None:
    async with opened(redis_server.url, outage={"grace": 0.2}) as manager:
        client = foreign(manager)
        await client.ping()
        await redis_server.stop()

        with pytest.raises(RedisUnavailableError) as caught:
            await client.get("k")
        assert not caught.value.maybe_executed


async def in_a_transaction(client: Any) -> None:
    await client.pipeline().incr("n").incr("n").execute()


async def under_watch(client: Any) -> None:
    async with client.pipeline() as pipe:
        await pipe.watch("key")
        pipe.multi()
        await pipe.incr("n").incr("n").execute()


async def very_many(client: Any) -> None:
    pipe = client.pipeline()
    for _ in range(1000):
        pipe.incr("n")
    await pipe.execute()


@needs("ACL", redis="6.2")
@pytest.mark.parametrize("transact", [in_a_transaction, under_watch, very_many])
async def test_a_transaction_that_is_refused_in_part_may_have_run(
    redis_server: RedisServer, transact: Callable[[Any], Awaitable[None]]
) -> None:
    await redis_server.command(
        "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-multi", "-exec"
    )
    async with opened(redis_server.url.replace("redis://", "redis://app:secret@")) as manager:
        with pytest.raises(RedisPermissionError) as raised:
            await transact(foreign(manager))

        assert raised.value.maybe_executed
        assert int(await manager.redis.get("n") or 0) >= 2


async def alone(client: Any, *script: Any) -> None:
    await client.execute_command("eval", *script)


async def among_others(client: Any, *script: Any) -> None:
    await client.pipeline().incr("n").eval(*script).execute()


async def while_watching(client: Any, *script: Any) -> None:
    async with client.pipeline() as pipe:
        await pipe.watch("key")
        await pipe.eval(*script)


@pytest.mark.parametrize("way", [alone, among_others, while_watching])
async def test_a_script_s_error_does_not_deny_what_ran(
    redis_server: RedisServer, way: Callable[..., Awaitable[None]]
) -> None:
    words = "OOM command not allowed when used memory > 'maxmemory'."
    script: Any = ("redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])", 1, "n", words)
    async with opened(redis_server.url) as manager:
        with pytest.raises(RedisOutOfMemoryError) as raised:
            await way(foreign(manager), *script)

        assert raised.value.maybe_executed
        assert int(await manager.redis.get("n") or 0) >= 1


@pytest.mark.parametrize("protocol", [2, pytest.param(3, marks=needs("RESP3", redis="6.0"))])
@pytest.mark.parametrize(
    "command", ["SUBSCRIBE news", "subscribe news", "MONITOR", "client reply off", "PSYNC ? -1"]
)
async def test_what_has_no_reply_is_refused(
    redis_server: RedisServer, command: str, protocol: int
) -> None:
    url = f"{redis_server.url}?protocol={protocol}"
    async with opened(url) as manager, asyncio.timeout(5):
        client = foreign(manager)
        with pytest.raises(DataError, match=r"listener's|replica's|without the replies"):
            await client.execute_command(*command.split())
        assert await client.echo("next") == "next"


async def test_its_listeners_listen(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as manager:
        client = foreign(manager)
        async with client.pubsub() as pubsub, client.monitor() as monitor:
            await pubsub.subscribe("news")
            assert (await pubsub.get_message(timeout=1))["type"] == "subscribe"
            await manager.redis.publish("news", "it rains")
            assert await monitor.next_command()
            assert (await pubsub.get_message(timeout=1))["data"] == "it rains"
