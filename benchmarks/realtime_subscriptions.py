"""Subscriptions under load, against the bounds that they promise: `scripts/realtime subscriptions`.

1,000 WebSockets of one process on one channel, through a restart of the server; and 1,000
listeners against as many of redis-py's `PubSub`, in turns.  It exits with 1 if a bound is
missed.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio

from redis_manager_fastapi import Message, RedisManager
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.serving import ROOT, environment, server_process

# Bounds: seconds until a message, and the news of a restart, have reached all; how many times
# the messages per second of a PubSub for each listener.
REACHES_ALL, HEARD_AGAIN, TIMES = 0.25, 1.0, 5.0

_PATIENCE = 60.0


class Socket(asyncio.Protocol):
    """A WebSocket client that costs next to nothing, so that the server is what is measured."""

    def __init__(self, arrived: Callable[[dict[str, Any]], None]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrived = arrived
        self._data = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        self._transport = transport
        self._transport.write(
            b"GET /news HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        """Take the short, unmasked text frames that the server sends."""
        self._data += data
        if not self.opened.done():
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.opened.set_exception(RuntimeError(head.decode()))
                return
            self._data = rest
            self.opened.set_result(None)
        while len(self._data) > 1 and len(self._data) >= (end := 2 + self._data[1]):
            frame, self._data = self._data[:end], self._data[end:]
            if frame[0] & 0x0F == 1:
                self._arrived(json.loads(frame[2:]))

    def close(self) -> None:
        """Drop the connection."""
        self._transport.abort()


@dataclass
class Crowd:
    """What many WebSockets have received.

    Attributes:
        texts: How many have received each text.
        gaps: How many gaps have come.
    """

    size: int
    texts: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    waiting: tuple[Callable[[], bool], asyncio.Future[None]] | None = None

    def arrived(self, body: dict[str, Any]) -> None:
        """Count one frame."""
        if "missed" in body:
            self.gaps += 1
        else:
            self.texts[body["text"]] = self.texts.get(body["text"], 0) + 1
        if self.waiting is not None and self.waiting[0]():
            if not self.waiting[1].done():
                self.waiting[1].set_result(None)
            self.waiting = None

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until *holds()*, looked at with each frame."""
        if holds():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting = holds, future
        async with asyncio.timeout(_PATIENCE):
            await future

    async def reached(self, text: str) -> None:
        """Wait until everybody has received *text*."""
        await self.until(lambda: self.texts.get(text, 0) >= self.size)


@dataclass(frozen=True)
class Sockets:
    """What was measured of the WebSockets.

    Attributes:
        connections: How many connections the server had subscribed to the channel.
        latencies: Seconds until each message had reached all.
        again: Seconds from the server's start until all had been told of the gap.
        gaps: How many gaps came.
        size: How many WebSockets there were.
    """

    connections: int
    latencies: list[float]
    again: float
    gaps: int
    size: int

    @property
    def p99(self) -> float:
        """The time that 99 of 100 messages stayed below."""
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)]


@asynccontextmanager
async def crowd(size: int, url: str) -> AsyncIterator[Crowd]:
    """Serve the example in a process of its own, and listen with *size* WebSockets."""
    env = environment(REDIS_URL=url)
    arguments = ("--no-access-log", "--ws-ping-interval", "3600")
    async with server_process("news:app", *arguments, directory=ROOT / "examples", env=env) as app:
        port = int((await app.url()).rpartition(":")[2])
        loop, heard, sockets = asyncio.get_running_loop(), Crowd(size), list[Socket]()
        try:
            for start in range(0, size, 50):
                for _ in range(min(50, size - start)):
                    _, socket = await loop.create_connection(
                        lambda: Socket(heard.arrived), "127.0.0.1", port
                    )
                    sockets.append(socket)
                await asyncio.gather(*(socket.opened for socket in sockets[start:]))
            yield heard
        finally:
            for socket in sockets:
                socket.close()


async def measure_sockets(size: int, messages: int, down: float = 0.3) -> Sockets:
    """Publish to WebSockets, restart the server, and publish again."""
    async with RedisServer() as server, crowd(size, server.url) as heard:
        await settled(server, heard)
        connections = await numsub(server)
        latencies = [await one_message(server, heard) for _ in range(messages)]
        await server.restart(down)
        up = time.perf_counter()
        await heard.until(lambda: heard.gaps >= size)
        again = time.perf_counter() - up
        await one_message(server, heard)
        return Sockets(connections, latencies, again, heard.gaps, size)


async def settled(server: RedisServer, heard: Crowd) -> None:
    """Wait until each WebSocket listens: one message has reached them all."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            text = secrets.token_hex(4)
            await server.command("PUBLISH", "news", text)
            with suppress(TimeoutError):
                async with asyncio.timeout(5.0):
                    await heard.reached(text)
                    return


async def one_message(server: RedisServer, heard: Crowd) -> float:
    """Publish; return the seconds until everybody has it."""
    text = secrets.token_hex(4)
    async with server.client() as client:
        await client.ping()
        started = time.perf_counter()
        await client.publish("news", text)
        await heard.reached(text)
        return time.perf_counter() - started


async def numsub(server: RedisServer) -> int:
    """How many connections the server has subscribed to the channel."""
    async with server.client() as client:
        return int((await client.pubsub_numsub("news"))[0][1])


Publish = Callable[[int], Awaitable[float]]


async def measure_ratio(size: int, messages: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return the messages per second to *size* listeners: ours, and by a PubSub for each."""
    async with RedisServer() as server:
        ours, theirs = list[float](), list[float]()
        async with listeners(server, size) as one, pubsubs(server, size) as other:
            for _ in range(rounds):
                ours.append(messages / await one(messages))
                theirs.append(messages / await other(messages))
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
        """Return what publishes a number of messages, and returns the seconds they took."""

        async def publish(messages: int) -> float:
            self._wanted = self.total + messages * size
            self._done.clear()
            async with server.client() as client:
                await client.ping()
                started = time.perf_counter()
                for number in range(messages):
                    await client.publish(channel, number)
                await self._done.wait()
                return time.perf_counter() - started

        return publish


@asynccontextmanager
async def running(listen: Callable[[], Any], size: int, count: Counter) -> AsyncIterator[None]:
    """Run *size* listeners, and wait until all of them listen."""
    tasks = [asyncio.create_task(listen()) for _ in range(size)]
    try:
        async with asyncio.timeout(_PATIENCE):
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
    found = await measure_sockets(size, messages)
    return show(
        (
            f"connections subscribed for {size} WebSockets",
            found.connections,
            found.connections == 1,
        ),
        ("p99 until a message has reached all (s)", found.p99, found.p99 < REACHES_ALL),
        ("all heard again after a restart (s)", found.again, found.again < HEARD_AGAIN),
        (f"gaps told to {size} WebSockets", found.gaps, found.gaps == size),
    )


async def ratio(size: int, messages: int) -> bool:
    """Measure and print how many messages a second reach listeners, in five rounds each."""
    ours, theirs = await measure_ratio(size, messages, rounds=5)
    times = statistics.median(ours) / statistics.median(theirs)
    return show(
        (f"messages/s to {size} listeners", statistics.median(ours), True),
        ("messages/s by a PubSub for each", statistics.median(theirs), True),
        ("ratio", times, times >= TIMES),
    )


PARTS = {"sockets": (sockets, 100), "ratio": (ratio, 20)}


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
