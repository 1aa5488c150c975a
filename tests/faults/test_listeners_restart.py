"""redis-py's pub/sub and XREAD ride through a restart; what a subscription missed is told once."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from redis_manager_fastapi import (
    PoolState,
    RedisManager,
    RedisUnavailableError,
    ReplyLostError,
    Resubscribed,
)
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import until_state
from tests.kit.servers import DURABLE
from tests.kit.waiters import CLIENTS, PROTOCOLS
from tests.kit.waiting import eventually, until

AWAY = 1.0


async def listen(pubsub: Any, heard: list[Any]) -> None:
    async for message in pubsub.listen():
        heard.append(message)  # noqa: PERF401 (it is looked at meanwhile)


async def poll(pubsub: Any, heard: list[Any]) -> None:
    while True:
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.05)
        if message is not None:
            heard.append(message)


async def wait(pubsub: Any, heard: list[Any]) -> None:
    while True:
        heard.append(await pubsub.get_message(timeout=None))


async def peek(pubsub: Any, heard: list[Any]) -> None:
    while True:
        message = await pubsub.get_message()
        if message is not None:
            heard.append(message)
        await asyncio.sleep(0.01)


async def restart(server: RedisServer, away: float = AWAY) -> None:
    await server.kill()
    await asyncio.sleep(away)
    await server.start()


def data_of(heard: list[Any]) -> list[Any]:
    found = [each["data"] for each in heard if each and each["type"].endswith("message")]
    return [each.decode() if isinstance(each, bytes) else each for each in found]


async def subscribers(server: RedisServer, channel: str) -> int:
    _, count = await server.command("PUBSUB", "NUMSUB", channel)
    return int(count)


WAYS = {"listen": listen, "poll": poll, "wait": wait, "peek": peek}


@PROTOCOLS
@CLIENTS
async def test_subscriptions_are_back_after_a_restart(
    redis_server: RedisServer, client: Any, protocol: int, caplog: Any
) -> None:
    caplog.set_level(logging.WARNING, logger="redis_manager_fastapi")
    async with AsyncExitStack() as stack:
        subscribers = [Subscriber(redis_server, client, protocol, way) for way in WAYS]
        for each in subscribers:
            await stack.enter_async_context(each.subscribed())
        await eventually(lambda: subscribed(redis_server))
        for number in (1, 2):
            await restart(redis_server)
            await asyncio.gather(*(each.is_back(number) for each in subscribers))
        for each in subscribers:
            each.assert_told_of_two(caplog)


@dataclass
class Subscriber:
    """One of those who hear through a restart: its channels bear the name of its way."""

    server: RedisServer
    client: Any
    protocol: int
    way: str
    events: list[Any] = field(default_factory=list)
    handled: list[Any] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)

    @asynccontextmanager
    async def subscribed(self) -> AsyncIterator[None]:
        url = f"{self.server.url}?protocol={self.protocol}"
        async with (
            RedisManager(url=url, name=self.way, listeners=[self.events.append]) as self.manager,
            self.client(self.manager).pubsub() as pubsub,
        ):
            await pubsub.subscribe(f"news {self.way}", f"sport {self.way}")
            await pubsub.subscribe(**{f"called {self.way}": self.handled.append})
            await pubsub.psubscribe(f"room {self.way}:*")
            hearing = asyncio.ensure_future(WAYS[self.way](pubsub, self.heard))
            yield
            assert not hearing.done()
            hearing.cancel()

    async def is_back(self, number: int) -> None:
        await until(lambda: self.manager.stats().resubscribed == number)
        for name in ("news", "sport", "called", "room"):
            channel = f"{name} {self.way}" + ":7" * (name == "room")
            assert await self.server.command("PUBLISH", channel, f"{name} {number}") == 1
        await until(lambda: len(data_of(self.heard)) == 3 * number)
        await until(lambda: len(data_of(self.handled)) == number)

    def assert_told_of_two(self, caplog: Any) -> None:
        expected = [f"{c} {n}" for n in (1, 2) for c in ("news", "sport", "room")]
        assert data_of(self.heard) == expected
        told = [event for event in self.events if isinstance(event, Resubscribed)]
        assert [event.channels for event in told] == [4, 4]
        assert all(AWAY <= event.seconds < AWAY + 1.6 for event in told)
        missed = sum(event.seconds for event in told)
        assert self.manager.stats().missed == pytest.approx(missed)
        lines = [each.getMessage() for each in caplog.records]
        assert sum("heard nothing" in each and repr(self.way) in each for each in lines) == 2


async def subscribed(server: RedisServer) -> bool:
    return int(await server.command("PUBSUB", "NUMPAT")) == len(WAYS)


@CLIENTS
async def test_run_goes_on_after_a_restart(redis_server: RedisServer, client: Any) -> None:
    handled: list[Any] = []
    async with RedisManager(url=redis_server.url) as manager, client(manager).pubsub() as pubsub:
        await pubsub.subscribe(news=handled.append)
        running = asyncio.ensure_future(pubsub.run())
        await eventually(lambda: heard_by(redis_server))
        await restart(redis_server)
        await eventually(lambda: heard_by(redis_server))
        await redis_server.command("PUBLISH", "news", "again")
        await until(lambda: data_of(handled) == ["again"])
        running.cancel()


async def heard_by(server: RedisServer) -> bool:
    return await subscribers(server, "news") == 1


@CLIENTS
async def test_after_grace_a_subscription_raises_and_the_next_call_tries_again(
    redis_server: RedisServer, client: Any
) -> None:
    settings: dict[str, Any] = {"outage": {"grace": 0.5}}
    async with (
        RedisManager(url=redis_server.url, **settings) as manager,
        client(manager).pubsub() as pubsub,
    ):
        await pubsub.subscribe("news")
        await pubsub.get_message(timeout=1)
        await redis_server.kill()
        begun = time.monotonic()
        with pytest.raises(RedisUnavailableError):
            await pubsub.get_message(timeout=None)
        assert time.monotonic() - begun < 1.0
        begun = time.monotonic()
        with pytest.raises(RedisUnavailableError):
            await pubsub.get_message(timeout=5)
        assert time.monotonic() - begun < 0.2
        await redis_server.start()
        await until_state(manager, PoolState.READY)
        hearing = asyncio.ensure_future(pubsub.get_message(timeout=5))
        assert (await hearing)["type"] == "subscribe"
        await redis_server.command("PUBLISH", "news", "hello")
        assert (await pubsub.get_message(timeout=2))["data"] in ("hello", b"hello")
        assert manager.stats().resubscribed == 1


@CLIENTS
async def test_subscribing_during_a_restart_waits(redis_server: RedisServer, client: Any) -> None:
    async with RedisManager(url=redis_server.url) as manager, client(manager).pubsub() as pubsub:
        heard: list[Any] = []
        await pubsub.subscribe("news")
        hearing = asyncio.ensure_future(listen(pubsub, heard))
        await eventually(lambda: heard_by(redis_server))
        restarting = asyncio.ensure_future(restart(redis_server, 0.5))
        await until(lambda: manager.stats().state is not PoolState.READY)
        await pubsub.subscribe("sport")
        await restarting
        await until(lambda: manager.stats().resubscribed == 1)
        for channel in ("news", "sport"):
            await eventually(partial(is_heard, redis_server, channel))
        await until(lambda: data_of(heard)[-1:] == ["sport"])
        hearing.cancel()


async def is_heard(server: RedisServer, channel: str) -> bool:
    return bool(await server.command("PUBLISH", channel, channel))


XREADS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "from an id": lambda r: r.xread({"stream": "0-0"}, block=0),
    "from the end": lambda r: r.xread({"stream": "$"}, block=0),
    "with a limit": lambda r: r.xread({"stream": "$"}, block=30_000),
}


@pytest.mark.parametrize("name", XREADS)
async def test_xread_is_sent_again_after_each_restart(name: str) -> None:
    async with RedisServer(DURABLE) as server, RedisManager(url=server.url) as manager:
        reading = asyncio.ensure_future(XREADS[name](manager.redis))
        await until(lambda: manager.stats().leased == 1)
        for _ in range(2):
            await asyncio.sleep(0.7)
            await restart(server, 0.5)
            await until_state(manager, PoolState.READY)
            await until(lambda: manager.stats().leased == 1)
        assert not reading.done()
        await server.command("XADD", "stream", "1-1", "f", "v")
        ((_, entries),) = await asyncio.wait_for(reading, 2)
        assert entries == [("1-1", {"f": "v"})]


async def test_xread_takes_no_longer_because_of_a_restart(redis_server: RedisServer) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        begun = time.monotonic()
        reading = asyncio.ensure_future(manager.redis.xread({"stream": "$"}, block=2500))
        await asyncio.sleep(0.7)
        await restart(redis_server, 0.5)
        assert not await reading
        assert 2.4 <= time.monotonic() - begun < 2.9


async def test_a_write_that_blocks_ends_with_a_restart(redis_server: RedisServer) -> None:
    async with RedisManager(url=redis_server.url) as manager:
        popping = asyncio.ensure_future(manager.redis.blpop(["jobs"], timeout=0))
        await until(lambda: manager.stats().leased == 1)
        await asyncio.sleep(0.2)
        await restart(redis_server, 0.1)
        with pytest.raises(ReplyLostError) as lost:
            await popping
        assert lost.value.maybe_executed


@CLIENTS
async def test_what_waits_to_be_published_is_heard(redis_server: RedisServer, client: Any) -> None:
    """Commands wait for a moment until those who listen are back."""
    settings: dict[str, Any] = {"outage": {"grace": 10.0}, "timeout": {"command": 10.0}}
    async with (
        RedisManager(url=redis_server.url, **settings) as manager,
        client(manager).pubsub() as pubsub,
    ):
        await pubsub.subscribe("news")
        hearing = asyncio.ensure_future(wait(pubsub, []))
        await eventually(lambda: heard_by(redis_server))
        await redis_server.kill()
        await until_state(manager, PoolState.DOWN)
        published = asyncio.gather(*(manager.redis.publish("news", "again") for _ in range(20)))
        await until(lambda: manager.stats().waiting == 21)  # and the one who listens
        await redis_server.start()

        assert await published == [1] * 20
        hearing.cancel()
