"""Who waits on a flow that dies without a word hears of it, within the detection bound."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from redis_manager_fastapi import (
    CommandTimeoutError,
    RedisManager,
    ReplyLostError,
    Resubscribed,
)
from redis_manager_fastapi.commands.packing import SLICE
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.forgetful import ForgetfulNat, forgetful_nat
from tests.kit.lag import TICK, LagMeter
from tests.kit.managers import pool_of
from tests.kit.servers import has
from tests.kit.waiters import CLIENTS, PROTOCOLS
from tests.kit.waiting import eventually, until

# `health.interval` and `health.timeout`; before Redis 6.0 a part of BLPOP takes a whole second.
BOUND = 1.0 if has(redis="6.0") else 1.5
SLACK = 0.25


@asynccontextmanager
async def behind_nat(
    server: RedisServer, **settings: Any
) -> AsyncIterator[tuple[RedisManager, ForgetfulNat]]:
    async with (
        forgetful_nat(server) as nat,
        RedisManager(url=nat.url, pipelining={"connections": 1}, **settings) as manager,
    ):
        yield manager, nat


def lease_port(manager: RedisManager) -> int:
    """The local port of the one connection that is leased."""
    (held,) = pool_of(manager).leases.capacity.held()
    assert held.connection is not None
    port: int = held.connection.transport.get_extra_info("sockname")[1]
    return port


WRITES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "BLPOP": lambda r: r.blpop(["jobs"], timeout=0),
    "BRPOP": lambda r: r.brpop(["jobs"], timeout=60),
    "BRPOPLPUSH": lambda r: r.brpoplpush("jobs", "done", timeout=0),
    "BZPOPMIN": lambda r: r.bzpopmin(["ranked"], timeout=0),
    "XREADGROUP": lambda r: r.xreadgroup("g", "c", {"stream": ">"}, block=0),
    "WAIT": lambda r: r.execute_command("WAIT", 3, 0),
    **({"BLMOVE": lambda r: r.blmove("jobs", "done", timeout=0)} if has(redis="6.2") else {}),
}


@CLIENTS
@pytest.mark.parametrize("directions", [("to_server", "to_client"), ("to_client",)])
async def test_writes_that_block_on_a_dead_flow_end_with_reply_lost(
    redis_server: RedisServer, directions: tuple[str, ...], client: Any
) -> None:
    await redis_server.command("XGROUP", "CREATE", "stream", "g", "$", "MKSTREAM")
    ends = (ends_with_reply_lost(redis_server, name, client, directions) for name in WRITES)
    await asyncio.gather(*ends)


async def ends_with_reply_lost(
    server: RedisServer, name: str, client: Any, directions: tuple[str, ...]
) -> None:
    async with behind_nat(server) as (manager, nat):
        waiting = asyncio.ensure_future(WRITES[name](client(manager)))
        await until(lambda: manager.stats().leased == 1)
        await asyncio.sleep(0.7)
        assert not waiting.done()
        nat.forget(lease_port(manager), *directions)
        died = time.monotonic()

        with pytest.raises(ReplyLostError) as lost:
            await asyncio.wait_for(waiting, 5)

        assert time.monotonic() - died < BOUND + SLACK
        assert lost.value.maybe_executed
        assert "a pipeline" not in str(lost.value), "its parts are one command"
        assert manager.stats().generation == 1, "nobody else noticed"
        assert await manager.redis.ping()


@PROTOCOLS
async def test_xread_goes_on_from_where_it_began_on_another_connection(
    redis_server: RedisServer, protocol: int
) -> None:
    await asyncio.gather(
        *(goes_on_from(redis_server, start, f"stream {start}", protocol) for start in ("$", "0-0"))
    )


async def goes_on_from(server: RedisServer, start: str, stream: str, protocol: int) -> None:
    await server.command("XADD", stream, "1-0", "f", "old")
    await server.command("XDEL", stream, "1-0")
    async with behind_nat(server, protocol=protocol) as (manager, nat):
        for _ in range(2):
            waiting = asyncio.ensure_future(manager.redis.xread({stream: start}, block=0))
            await until(lambda: manager.stats().leased == 1)
            await asyncio.sleep(0.7)
            for _ in range(2):
                connects = manager.stats().connects
                nat.forget(lease_port(manager))
                await until(lambda n=connects: manager.stats().connects > n)
                await asyncio.sleep(0.7)
            entry = await server.command("XADD", stream, "*", "f", "new")
            read: Any = await asyncio.wait_for(waiting, 2)
            ((_, entries),) = read.items() if isinstance(read, dict) else read
            if protocol == 3:
                (entries,) = entries
            assert [each[0] for each in entries][-1] == entry
            start = "$"


async def test_xread_that_is_sent_again_has_no_more_time_than_before(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Its own time and the client's; its connection is reset, and the next one's reply is lost."""
    limits: Any = {"timeout": {"command": 0.5}, "health": {"interval": 60.0, "timeout": 60.0}}
    lag, clock = LagMeter(), asyncio.get_running_loop().time
    async with RedisManager(url=fault_proxy.url, **limits) as manager:
        began = clock()
        reading = asyncio.create_task(manager.redis.xread({"stream": "0"}, block=2000))
        await eventually(lambda: blocks(redis_server))
        await asyncio.sleep(began + 1.0 - clock())
        await fault_proxy.reset()
        await until(lambda: manager.stats().retried == 1)
        await eventually(lambda: blocks(redis_server))
        await fault_proxy.black_hole(to_server=False)
        with pytest.raises(CommandTimeoutError):
            await reading
        ended = clock()
        await asyncio.sleep(3 * TICK)
        lag.stop()

    assert ended - began - lag.within(began, ended) < 2.0 + 0.5 + SLACK


async def blocks(server: RedisServer) -> bool:
    info = await server.command("INFO", "clients")
    return int(info["blocked_clients"]) == 1


@PROTOCOLS
@CLIENTS
async def test_a_subscription_on_a_dead_flow_is_taken_up_again(
    redis_server: RedisServer, client: Any, protocol: int
) -> None:
    limits = (None, 30, 0.05, 0)
    await asyncio.gather(
        *(is_taken_up_again(redis_server, client, protocol, limit) for limit in limits)
    )


async def is_taken_up_again(
    server: RedisServer, client: Any, protocol: int, limit: float | None
) -> None:
    events: list[Any] = []
    async with (
        behind_nat(server, protocol=protocol, listeners=[events.append]) as (manager, nat),
        client(manager).pubsub(ignore_subscribe_messages=True) as pubsub,
    ):
        await pubsub.subscribe("news")
        await pubsub.psubscribe(f"room {limit}:*")

        async def next_message() -> Any:
            message = None
            while message is None:
                message = await pubsub.get_message(timeout=limit)
                await asyncio.sleep(0 if limit else 0.01)
            return message

        waiting = asyncio.ensure_future(next_message())
        await asyncio.sleep(1.2)
        assert not waiting.done(), "our own PING is not a message"
        assert not [each for each in events if isinstance(each, Resubscribed)]
        nat.forget(lease_port(manager))
        died = time.monotonic()

        await until(lambda: manager.stats().resubscribed == 1)
        assert time.monotonic() - died < BOUND + SLACK

        await server.command("PUBLISH", f"room {limit}:1", "hello")
        assert (await asyncio.wait_for(waiting, 2))["data"] in ("hello", b"hello")
        (event,) = [each for each in events if isinstance(each, Resubscribed)]
        assert event.channels == 2
        assert 0.5 < event.seconds < BOUND + SLACK + 0.5
        assert manager.stats().generation == 1


async def test_what_waits_behind_other_messages_is_not_late(
    redis_server: RedisServer, redis_url: str
) -> None:
    """One who polls and is slow has a full buffer, and the server's answer is behind it."""
    async with (
        RedisManager(url=redis_url) as manager,
        manager.redis.pubsub(ignore_subscribe_messages=True) as pubsub,
        redis_server.client() as publisher,
    ):
        await pubsub.subscribe("news")
        assert await pubsub.get_message(timeout=0.1) is None
        messages = publisher.pipeline(transaction=False)
        for number in range(1500):
            messages.publish("news", f"{number}:" + "x" * 150)
        await messages.execute()
        heard: list[str] = []
        while len(heard) < 600:
            message = await pubsub.get_message()
            heard += [] if message is None else [message["data"].partition(":")[0]]
            await asyncio.sleep(0.003)
        assert heard == [str(number) for number in range(600)]
        (held,) = pool_of(manager).leases.capacity.held()
        assert held.connection is not None
        assert held.connection.alive


@PROTOCOLS
@CLIENTS
async def test_who_polls_seldom_is_on_no_dead_flow(
    redis_url: str, client: Any, protocol: int
) -> None:
    """Each look takes in the answer to what the one before has asked."""
    health: Any = {"interval": 0.1, "timeout": 0.1}
    async with (
        RedisManager(url=f"{redis_url}?protocol={protocol}", health=health) as manager,
        client(manager).pubsub(ignore_subscribe_messages=True) as pubsub,
    ):
        await pubsub.subscribe("news")
        port = lease_port(manager)
        for _ in range(12):
            await asyncio.sleep(0.25)
            assert await pubsub.get_message(timeout=0) is None
            assert lease_port(manager) == port
        assert manager.stats().resubscribed == 0
        await manager.redis.publish("news", "hello")
        message = await pubsub.get_message(timeout=1)
        assert message is not None
        assert message["data"] in ("hello", b"hello")


@PROTOCOLS
async def test_a_connection_that_goes_while_the_loop_has_its_turn_is_replaced(
    redis_url: str, protocol: int
) -> None:
    """Who reads without end lets the loop turn at times, and that is when it is dropped."""
    health: Any = {"interval": 0.1, "timeout": 0.1}
    async with (
        RedisManager(url=f"{redis_url}?protocol={protocol}", health=health) as manager,
        manager.redis.pubsub(ignore_subscribe_messages=True) as pubsub,
    ):
        await pubsub.subscribe("news")
        for _ in range(SLICE):
            await pubsub.get_message(timeout=0)
        await asyncio.sleep(0.2)
        reading = asyncio.ensure_future(pubsub.get_message(timeout=2))
        await asyncio.sleep(0)
        (held,) = pool_of(manager).leases.capacity.held()
        assert held.connection is not None
        held.connection.drop()

        await eventually(lambda: resubscribed(manager))
        await manager.redis.publish("news", "hello")
        message = await reading or await pubsub.get_message(timeout=2)
        assert message is not None
        assert message["data"] == "hello"


async def resubscribed(manager: RedisManager) -> bool:
    return manager.stats().resubscribed == 1


async def test_an_app_s_own_ping_in_a_subscription_is_answered(redis_manager: RedisManager) -> None:
    async with redis_manager.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe("news")
        assert await pubsub.get_message(timeout=0.7) is None
        await pubsub.ping("mine")
        message = await pubsub.get_message(timeout=1)
        assert message is not None
        assert (message["type"], message["data"]) == ("pong", "mine")


@PROTOCOLS
@CLIENTS
async def test_monitor_on_a_dead_flow_ends_and_shows_no_question_of_ours(
    redis_server: RedisServer, protocol: int, client: Any
) -> None:
    async with (
        behind_nat(redis_server, protocol=protocol, health={"interval": 0.5}) as (
            manager,
            nat,
        ),
        client(manager).monitor() as monitor,
    ):
        port = lease_port(manager)
        seen = []

        async def watch() -> None:
            while True:
                seen.append((await monitor.next_command())["command"])

        watching = asyncio.ensure_future(watch())
        await asyncio.sleep(1.3)
        assert not watching.done()
        nat.forget(port)
        died = time.monotonic()
        with pytest.raises(ReplyLostError):
            await asyncio.wait_for(watching, 5)
        assert time.monotonic() - died < BOUND + SLACK
        assert not [each for each in seen if "redis-manager" in each]


async def test_a_blocking_command_s_time_is_its_caller_s(
    redis_server: RedisServer, redis_url: str
) -> None:
    async with RedisManager(url=redis_url) as manager:

        async def takes(seconds: float, call: Awaitable[Any], slack: float) -> None:
            begun = time.monotonic()
            assert not await call
            assert seconds - 0.01 <= time.monotonic() - begun < seconds + slack

        r, slack = manager.redis, SLACK if BOUND == 1 else 0.6
        await asyncio.gather(
            *(takes(timeout, r.blpop(["jobs"], timeout=timeout), slack) for timeout in (1, 2, 3)),
            takes(1.7, r.xread({"s": "$"}, block=1700), SLACK),
        )


async def test_a_stalled_server_is_no_dead_flow(redis_server: RedisServer, redis_url: str) -> None:
    """One that answers nobody for a moment is not taken for one that answers others."""
    async with RedisManager(url=redis_url, health={"timeout": 3}) as manager:
        waiting: Any = asyncio.ensure_future(manager.redis.blpop(["jobs"], timeout=0))
        await until(lambda: manager.stats().leased == 1)
        redis_server.pause()
        await asyncio.sleep(2.5)
        redis_server.resume()
        await asyncio.sleep(0.3)
        await redis_server.command("RPUSH", "jobs", "job")
        assert tuple(await asyncio.wait_for(waiting, 2) or ()) == ("jobs", "job")
        assert manager.stats().connects == 2


async def test_a_stalled_loop_is_no_dead_flow(redis_server: RedisServer, redis_url: str) -> None:
    async with RedisManager(url=redis_url) as manager:
        waiting: Any = asyncio.ensure_future(manager.redis.blpop(["jobs"], timeout=0))
        async with manager.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe("news")
            hearing = asyncio.ensure_future(pubsub.get_message(timeout=None))
            await asyncio.sleep(0.3)
            for _ in range(3):
                time.sleep(1.5)  # noqa: ASYNC251 (the stall is the fault)
                await asyncio.sleep(0.2)
            await redis_server.command("PUBLISH", "news", "hello")
            await redis_server.command("RPUSH", "jobs", "job")
            assert tuple(await asyncio.wait_for(waiting, 2) or ()) == ("jobs", "job")
            await asyncio.sleep(0.1)
            assert manager.stats().resubscribed == 0
            hearing.cancel()
