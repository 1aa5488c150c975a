"""Subscriptions under load, against the bounds that they promise: `scripts/realtime subscriptions`.

1,000 WebSockets of one process on one channel, in turns with a loop that sends to them without
Redis, and through a restart of the server; and 1,000 listeners against as many of redis-py's
`PubSub`, in turns.  It exits with 1 if a bound is missed.
"""

import argparse
import asyncio
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.crowd import PATIENCE, Crowd, crowd
from redis_manager_fastapi import Message, RedisManager
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.serving import ROOT, environment, server_process

# Bounds: seconds until a message, and the news of a restart, have reached all; how many times
# the messages per second of a PubSub for each listener.
REACHES_ALL, HEARD_AGAIN, TIMES = 0.25, 1.0, 5.0


@dataclass(frozen=True)
class Series:
    """How messages of one kind went to all WebSockets.

    Attributes:
        latencies: Seconds until each had reached all.
        processor: Seconds of the processor that the app's process took for each.
    """

    latencies: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The time that half of the messages stayed below."""
        return statistics.median(self.latencies)

    @property
    def p99(self) -> float:
        """The time that 99 of 100 messages stayed below."""
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)]

    @property
    def cpu(self) -> float:
        """Seconds of the processor for one message."""
        return statistics.median(self.processor)


@dataclass(frozen=True)
class Sockets:
    """What was measured of the WebSockets.

    Attributes:
        connections: How many connections the server had subscribed to the channel.
        published: Messages that were published.
        looped: As many, sent to the same WebSockets by a loop in the app, without Redis.
        again: Seconds from the server's start until all had been told of the gap.
        gaps: How many gaps came.
        size: How many WebSockets there were.
    """

    connections: int
    published: Series
    looped: Series
    again: float
    gaps: int
    size: int


class App:
    """The served app, as somebody who publishes and one who asks it to send see it."""

    def __init__(self, server: RedisServer, heard: Crowd, control: ClientConnection) -> None:
        self._server = server
        self._heard = heard
        self._control = control

    async def settle(self) -> None:
        """Wait until each WebSocket listens: one message has reached them all."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(5.0):
                        await self._publish(secrets.token_hex(4))
                        return

    async def publish(self, series: Series) -> None:
        """Publish, and note how long it took until everybody had it."""
        await self._measure(series, self._publish)

    async def loop(self, series: Series) -> None:
        """Have the app send a text to all without Redis."""
        await self._measure(series, self._send)

    async def _measure(self, series: Series, send: Callable[[str], Awaitable[None]]) -> None:
        text, before = secrets.token_hex(4), await self._processor()
        started = time.perf_counter()
        await send(text)
        series.latencies.append(time.perf_counter() - started)
        series.processor.append(await self._processor() - before)

    async def _publish(self, text: str) -> None:
        await self._server.command("PUBLISH", "news", text)
        await self._heard.reached(text)

    async def _send(self, text: str) -> None:
        await self._control.send(text)
        await self._heard.reached(text)
        await self._control.recv()

    async def _processor(self) -> float:
        await self._control.send("")
        return float(await self._control.recv())


async def measure_sockets(
    size: int, messages: int, down: float = 0.3, *, deflate: bool = False
) -> Sockets:
    """Publish to WebSockets and loop over them, in turns; restart the server, and publish again."""
    async with RedisServer() as server, app_process(server) as url:
        control = connect(url.replace("http", "ws", 1) + "/loop")
        async with crowd(size, url, "/news", deflate=deflate) as heard, control as controls:
            app = App(server, heard, controls)
            await app.settle()
            connections = await numsub(server)
            published, looped = Series(), Series()
            for _ in range(messages):
                await app.publish(published)
                await app.loop(looped)
            await server.restart(down)
            up = time.perf_counter()
            await heard.until(lambda: heard.gaps >= size)
            again = time.perf_counter() - up
            await app.publish(Series())
            return Sockets(connections, published, looped, again, heard.gaps, size)


@asynccontextmanager
async def app_process(server: RedisServer) -> AsyncIterator[str]:
    """Serve the app in a process of its own; yield its URL."""
    arguments = ("--no-access-log", "--ws-ping-interval", "3600")
    env = environment(REDIS_URL=server.url)
    async with server_process(
        "benchmarks.apps.news:app", *arguments, directory=ROOT, env=env
    ) as app:
        yield await app.url()


async def numsub(server: RedisServer) -> int:
    """How many connections the server has subscribed to the channel."""
    async with server.client() as client:
        return int((await client.pubsub_numsub("news"))[0][1])


@dataclass(frozen=True)
class Round:
    """Some messages to all listeners.

    Attributes:
        rate: How many a second.
        processor: Seconds of this process' processor for each delivery.
    """

    rate: float
    processor: float


Publish = Callable[[int], Awaitable[Round]]


async def measure_ratio(size: int, messages: int, rounds: int) -> tuple[list[Round], list[Round]]:
    """Publish to *size* listeners in turns: ours, and a PubSub for each."""
    async with RedisServer() as server:
        ours, theirs = list[Round](), list[Round]()
        async with listeners(server, size) as one, pubsubs(server, size) as other:
            for _ in range(rounds):
                ours.append(await one(messages))
                theirs.append(await other(messages))
        return ours, theirs


@asynccontextmanager
async def listeners(server: RedisServer, size: int) -> AsyncIterator[Publish]:
    """*size* blocks of one manager; yield what publishes to them."""
    async with RedisManager(server.url) as manager:
        count = Counter()

        async def listen() -> None:
            async with manager.subscribe("ours") as messages:
                count.entered()
                async for message in messages:
                    if isinstance(message, Message):
                        count.arrived()

        async with running(listen, size, count):
            yield count.publisher(server, "ours", size)


@asynccontextmanager
async def pubsubs(server: RedisServer, size: int) -> AsyncIterator[Publish]:
    """As many of redis-py's, each with a connection; yield what publishes to them."""
    async with redis.asyncio.Redis(
        host=server.host, port=server.port, max_connections=size
    ) as client:
        count = Counter()

        async def listen() -> None:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe("theirs")
                async for message in pubsub.listen():
                    if message["type"] == "subscribe":
                        count.entered()
                    else:
                        count.arrived()

        async with running(listen, size, count):
            yield count.publisher(server, "theirs", size)


class Counter:
    """Counts what listeners have received."""

    def __init__(self) -> None:
        self.present = self.total = 0
        self._wanted, self._done = 0, asyncio.Event()

    def entered(self) -> None:
        """One more listens."""
        self.present += 1

    def arrived(self) -> None:
        """One more message has reached one of them."""
        self.total += 1
        if self.total >= self._wanted:
            self._done.set()

    def publisher(self, server: RedisServer, channel: str, size: int) -> Publish:
        """Return what publishes a number of messages, and returns what they took."""

        async def publish(messages: int) -> Round:
            self._wanted = self.total + messages * size
            self._done.clear()
            async with server.client() as client:
                await client.ping()
                started, before = time.perf_counter(), time.process_time()
                for number in range(messages):
                    await client.publish(channel, number)
                await self._done.wait()
                processor = time.process_time() - before
                return Round(
                    messages / (time.perf_counter() - started), processor / (messages * size)
                )

        return publish


@asynccontextmanager
async def running(listen: Callable[[], Any], size: int, count: Counter) -> AsyncIterator[None]:
    """Run *size* listeners, and wait until all of them listen."""
    tasks = [asyncio.create_task(listen()) for _ in range(size)]
    try:
        async with asyncio.timeout(PATIENCE):
            while count.present < size:
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.1)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def sockets(size: int, messages: int) -> bool:
    """Measure and print what WebSockets hear; return whether the bounds were kept."""
    return _show_sockets(await measure_sockets(size, messages))


async def compressed(size: int, messages: int) -> bool:
    """The same with clients that have their messages compressed, as browsers do."""
    return _show_sockets(await measure_sockets(size, messages, deflate=True))


def _show_sockets(found: Sockets) -> bool:
    size, published, looped = found.size, found.published, found.looped
    return show(
        (f"connections subscribed for {size} WebSockets", found.connections, found.connections < 2),
        ("until a message has reached all, p99 (s)", published.p99, published.p99 < REACHES_ALL),
        ("    median", published.median, True),
        ("    the app's processor (s)", published.cpu, True),
        ("sent by a loop without Redis, p99 (s)", looped.p99, True),
        ("    median", looped.median, True),
        ("    the app's processor (s)", looped.cpu, True),
        ("all heard again after a restart (s)", found.again, found.again < HEARD_AGAIN),
        (f"gaps told to {size} WebSockets", found.gaps, found.gaps == size),
    )


async def ratio(size: int, messages: int) -> bool:
    """Measure and print how many messages a second reach listeners, in turns."""
    ours, theirs = await measure_ratio(size, messages, rounds=7)
    times = statistics.median(
        one.rate / other.rate for one, other in zip(ours, theirs, strict=True)
    )
    return show(
        (f"messages/s to {size} listeners", statistics.median(each.rate for each in ours), True),
        ("    processor for each delivery (µs)", _processor(ours), True),
        ("messages/s by a PubSub for each", statistics.median(each.rate for each in theirs), True),
        ("    processor for each delivery (µs)", _processor(theirs), True),
        ("ratio of messages/s", times, times >= TIMES),
        ("ratio of the processor", _processor(theirs) / _processor(ours), True),
    )


def _processor(rounds: list[Round]) -> float:
    return 1e6 * statistics.median(each.processor for each in rounds)


PARTS = {"sockets": (sockets, 100), "compressed": (compressed, 100), "ratio": (ratio, 20)}


def show(*rows: tuple[str, float, bool]) -> bool:
    """Print what was measured; return whether every bound was kept."""
    for name, value, kept in rows:
        print(f"{name:<45}{value:>10.3f}{'' if kept else '  MISSED'}", flush=True)
    return all(kept for _, _, kept in rows)


async def main(parts: list[str], size: int) -> bool:
    """Measure and print; return whether every bound was kept."""
    kept = [await part(size, messages) for part, messages in (PARTS[name] for name in parts)]
    return all(kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/realtime subscriptions", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part alone")
    parser.add_argument("--listeners", type=int, default=1000, help="1000 unless given")
    given = parser.parse_args()
    sys.exit(not asyncio.run(main(given.only or list(PARTS), given.listeners)))
