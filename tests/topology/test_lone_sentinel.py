"""A Sentinel that says something else than the others: right, wrong, or set up by another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.managers import opened
from tests.kit.waiting import until


def bulks(*words: Any) -> bytes:
    packed = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in packed)


class LoneSentinel:
    """Names the primary that a test wants, at an epoch ahead of all others.

    Attributes:
        names: The primary.
        asked: How often it was asked.
    """

    def __init__(self, names: RedisServer) -> None:
        self.names = names
        self.asked = 0
        self._subscribed: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2].decode())
            writer.write(self._answer(words))
            if words[0] == "SUBSCRIBE":
                self._subscribed.append(writer)
        writer.close()

    def tell(self, service: str) -> None:
        """Announce that primary to who listens."""
        event = f"{service} 127.0.0.1 1 127.0.0.1 {self.names.port}"
        for writer in self._subscribed:
            writer.write(bulks("message", "+switch-master", event))

    def _answer(self, words: list[str]) -> bytes:
        if words[0] == "PING":
            return bulks("pong", "") if self._subscribed else b"+PONG\r\n"
        if words[0] == "SUBSCRIBE":
            return bulks("subscribe", words[1], 1)
        self.asked += 1
        if words[1] == "GET-MASTER-ADDR-BY-NAME":
            return bulks("127.0.0.1", self.names.port)
        return bulks("name", words[2], "config-epoch", 100)


@asynccontextmanager
async def beside(
    deployment: SentinelDeployment, names: RedisServer
) -> AsyncIterator[tuple[LoneSentinel, str]]:
    """One more Sentinel; it, and the URL of all of them."""
    lone = LoneSentinel(names)
    server = await asyncio.start_server(lone.serve, "127.0.0.1", 0)
    node = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    scheme, rest = deployment.url.split("://")
    try:
        yield lone, f"{scheme}://{node},{rest}"
    finally:
        server.close()


@pytest.mark.measures
@pytest.mark.parametrize("when", ["start", "news"])
async def test_a_lone_sentinel_that_names_a_stranger_is_not_believed(
    deployment: SentinelDeployment, when: str
) -> None:
    """The others have 0.3 s to answer as well: a hung one may cost no more."""
    primary = deployment.servers[0]
    async with (
        RedisServer() as stranger,
        beside(deployment, stranger if when == "start" else primary) as (lone, url),
        opened(url) as manager,
    ):
        await until(lambda: lone.asked >= 2)
        for number in range(50):
            if number == 10:
                lone.names = stranger
                lone.tell(deployment.service)
            if number == 20:
                await primary.command("CLIENT KILL", "TYPE", "normal")
            await manager.redis.incr("count")

        assert await stranger.command("EXISTS", "count") == 0
        assert await primary.command("GET", "count") == "50"


async def test_a_lone_sentinel_is_believed_when_its_server_goes_on_with_the_history(
    deployment: SentinelDeployment,
) -> None:
    """The others have not heard of the fail-over yet: it is theirs to hear later."""
    primary, replica = deployment.servers[:2]
    async with beside(deployment, primary) as (lone, url), opened(url) as manager:
        await manager.redis.set("key", "value")
        await until(lambda: lone.asked >= 2)
        await replica.command("REPLICAOF", "NO", "ONE")
        lone.names = replica
        lone.tell(deployment.service)
        await until(lambda: manager.stats().generation == 2)
        await manager.redis.set("where", "replica")

        assert await replica.command("GET", "where") == "replica"
