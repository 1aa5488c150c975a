"""Whoever only listens does not hold up the closing of a manager, and loses nothing by it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import WatchError

from redis_manager_fastapi import PoolClosedError, RedisManager, ReplyLostError
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.waiters import CLIENTS, PROTOCOLS
from tests.kit.waiting import until

PROMPTLY = 2.0  # the drain's limit is 5 s


async def pop(redis: Redis) -> None:
    await redis.blpop(["jobs"], timeout=0)


async def pop_for_long(redis: Redis) -> None:
    await redis.brpop(["jobs"], timeout=60)


async def read(redis: Redis) -> None:
    await redis.xread({"stream": "$"}, block=0)


async def pop_pinned(redis: Redis) -> None:
    async with redis.client() as pinned:
        await pinned.blpop(["jobs"], timeout=0)


async def listen(redis: Redis) -> None:
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("news")
        async for _ in pubsub.listen():
            pass


async def poll(redis: Redis) -> None:
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("news")
        while True:
            await pubsub.get_message(timeout=30)


async def watch_commands(redis: Redis) -> None:
    async with redis.monitor() as monitor:
        while True:
            await monitor.next_command()


LISTENERS = [pop, pop_for_long, read, pop_pinned, listen, poll, watch_commands]


@PROTOCOLS
@pytest.mark.parametrize("wait", LISTENERS)
async def test_an_idle_listener_does_not_hold_up_the_closing(
    redis_url: str, wait: Callable[[Redis], Awaitable[None]], protocol: int
) -> None:
    async with RedisManager(url=f"{redis_url}?protocol={protocol}") as manager:
        listener = asyncio.ensure_future(wait(manager.redis))
        await until(lambda: manager.stats().leased == 1)
        await asyncio.sleep(0.1)
        begun = time.monotonic()

    assert time.monotonic() - begun < PROMPTLY
    with pytest.raises(PoolClosedError):
        await listener


@PROTOCOLS
@pytest.mark.parametrize("wait", LISTENERS)
async def test_behind_a_proxy_where_the_server_knows_other_addresses(
    fault_proxy: FaultProxy, wait: Callable[[Redis], Awaitable[None]], protocol: int
) -> None:
    """Nobody can be unblocked by address; what blocks ends with its part."""
    await assert_closes_promptly(f"{fault_proxy.url}?protocol={protocol}", wait)


@pytest.mark.parametrize("wait", LISTENERS)
async def test_over_a_unix_socket_which_has_no_addresses(
    wait: Callable[[Redis], Awaitable[None]],
) -> None:
    async with RedisServer(unix_socket=True) as server:
        await assert_closes_promptly(server.unix_url, wait)


async def assert_closes_promptly(url: str, wait: Callable[[Redis], Awaitable[None]]) -> None:
    async with RedisManager(url=url) as manager:
        listeners = [asyncio.ensure_future(wait(manager.redis)) for _ in range(3)]
        await until(lambda: manager.stats().leased == 3)
        await asyncio.sleep(0.1)
        begun = time.monotonic()

    assert time.monotonic() - begun < PROMPTLY
    outcomes = await asyncio.gather(*listeners, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {PoolClosedError}


async def pop_watching(redis: Any) -> None:
    async with redis.pipeline() as pipe:
        await pipe.watch("k")
        await pipe.blpop(["jobs"], timeout=0)


async def pop_in_a_pipeline(redis: Any) -> None:
    await redis.pipeline(transaction=False).get("k").blpop(["jobs"], timeout=0).execute()


async def wait_for_ever(redis: Any) -> None:
    await redis.execute_command("WAIT", 3, 0)


@CLIENTS
@pytest.mark.parametrize("wait", [pop, read, pop_watching, pop_in_a_pipeline, wait_for_ever])
async def test_in_whatever_turn_the_closing_begins(
    redis_url: str, wait: Callable[[Any], Awaitable[None]], client: Any
) -> None:
    """Also while it is about to block, or blocks behind commands that were answered."""
    for turns in range(0, 40, 2):
        async with RedisManager(url=redis_url) as manager:
            waiting = asyncio.ensure_future(wait(client(manager)))
            for _ in range(turns):
                await asyncio.sleep(0)
            begun = time.monotonic()

        assert time.monotonic() - begun < PROMPTLY, turns
        (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(outcome, PoolClosedError | WatchError), turns


@CLIENTS
async def test_what_does_not_block_goes_on_unhindered_while_closing(
    redis_url: str, client: Any
) -> None:
    """The drain's limit is for all of it, so that no command is held back for nothing."""
    async with RedisManager(url=redis_url) as manager:
        begun = asyncio.Event()

        async def work() -> int:
            async with client(manager).client() as pinned:
                count = await pinned.incr("n")
                begun.set()
                while count < 600:
                    count = await pinned.incr("n")
            return int(count)

        working = asyncio.ensure_future(work())
        await begun.wait()

    assert await working == 600


async def test_what_is_pipelined_behind_a_pop_may_have_run(redis_url: str) -> None:
    patient: Any = {"timeout": {"command": 10.0}}
    async with RedisManager(url=redis_url, **patient) as manager:
        pipe: Any = manager.redis.pipeline(transaction=False)
        waiting = asyncio.ensure_future(pipe.blpop(["jobs"], timeout=0).incr("n").execute())
        await until(lambda: manager.stats().leased == 1)
        await asyncio.sleep(0.1)

    with pytest.raises(PoolClosedError) as closed:
        await waiting
    assert closed.value.maybe_executed


@CLIENTS
async def test_a_confirmation_that_was_asked_for_has_its_time(redis_url: str, client: Any) -> None:
    """WAIT is about what was written, and ends by itself."""
    async with RedisManager(url=redis_url) as manager:
        waiting = asyncio.ensure_future(client(manager).wait(1, 700))
        await until(lambda: manager.stats().leased == 1)

    assert await waiting == 0


async def test_a_command_that_closing_cuts_off_may_have_run(redis_server: RedisServer) -> None:
    """The farewell is for those who listen."""
    short: Any = {"shutdown": {"drain": 0.2}}
    async with RedisManager(url=redis_server.url, **short) as manager, manager.redis.client() as r:
        await r.ping()
        redis_server.pause()
        counting = asyncio.ensure_future(r.incr("n"))
        await asyncio.sleep(0.05)
        await manager.aclose()
        redis_server.resume()

        with pytest.raises(ReplyLostError) as lost:
            await counting
        assert lost.value.maybe_executed


async def test_a_subscription_that_nobody_reads_does_not_hold_up_the_closing(
    redis_url: str,
) -> None:
    async with RedisManager(url=redis_url) as manager:
        pubsub = manager.redis.pubsub()
        await pubsub.subscribe("news")
        begun = time.monotonic()

    assert time.monotonic() - begun < PROMPTLY
    await pubsub.aclose()


async def test_a_hundred_idle_listeners_do_not_hold_up_the_closing(redis_url: str) -> None:
    async with RedisManager(url=redis_url, pool={"max_connections": 100}) as manager:
        waiting = [listen, poll, pop, pop_for_long, read] * 20
        listeners = [asyncio.ensure_future(wait(manager.redis)) for wait in waiting]
        await until(lambda: manager.stats().leased == 100)
        await asyncio.sleep(0.7)
        begun = time.monotonic()

    assert time.monotonic() - begun < 1.0
    outcomes = await asyncio.gather(*listeners, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {PoolClosedError}


@pytest.mark.parametrize("attempt", range(5))
async def test_what_was_popped_while_closing_is_in_somebody_s_hands(
    redis_server: RedisServer, redis_url: str, attempt: int
) -> None:
    popped: list[Any] = []

    async def consume(redis: Redis) -> None:
        while True:
            popped.append(await redis.blpop(["jobs"], timeout=0))

    async def produce() -> int:
        for number in range(200):
            await producer.rpush("jobs", number)
            closing.set()
        return 200

    closing = asyncio.Event()
    async with redis_server.client() as producer:
        async with RedisManager(url=redis_url) as manager:
            consumers = [asyncio.ensure_future(consume(manager.redis)) for _ in range(5)]
            await until(lambda: manager.stats().leased == 5)
            producing = asyncio.ensure_future(produce())
            await closing.wait()
            await asyncio.sleep(0.005 * attempt)
        pushed = await producing
        outcomes = await asyncio.gather(*consumers, return_exceptions=True)

        assert {type(outcome) for outcome in outcomes} == {PoolClosedError}
        assert len(popped) + await producer.llen("jobs") == pushed


async def test_a_client_of_redis_py_s_own_has_a_blocking_command_s_time(
    redis_url: str, redis_server: RedisServer
) -> None:
    """Its limit for each reply is that of a command, here 0.3 s."""
    async with (
        RedisManager(url=redis_url, timeout={"command": 0.3}) as manager,
        redis_server.client() as producer,
    ):
        connections: Any = manager.connection_pool
        foreign: Any = redis.asyncio.Redis(connection_pool=connections)
        assert await foreign.blpop(["jobs"], timeout=1) is None
        popping = asyncio.ensure_future(foreign.blpop(["jobs"], timeout=0))
        await asyncio.sleep(0.8)
        await producer.rpush("jobs", "job")
        assert tuple(await popping) == ("jobs", "job")
        pipe = foreign.pipeline(transaction=False)
        pipe.get("k")
        pipe.blpop(["jobs"], timeout=1)
        pipe.get("k")
        assert await pipe.execute() == [None, None, None]
