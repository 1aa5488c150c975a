"""Two equal servers for each module, and a client of each kind for every test.

A module asks both servers the same, or they are not equal any more: ROLE and MEMORY STATS tell.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.servers import has, needs


@dataclass(frozen=True)
class Variant:
    """What both clients of a pair are set to."""

    protocol: Literal[2, 3] = 2
    decode: bool = True
    pipelining: bool = True

    def __str__(self) -> str:
        words = [f"resp{self.protocol}", "str" if self.decode else "bytes"]
        return "-".join([*words, "shared" if self.pipelining else "dedicated"])


PROTOCOLS: tuple[Literal[2], Literal[3]] = (2, 3)
VARIANTS = [
    Variant(protocol, decode, pipelining)
    for protocol in PROTOCOLS
    for decode in (True, False)
    for pipelining in (True, False)
]


@dataclass(frozen=True)
class Pair:
    """Our client and a plain one, each with a server of its own."""

    variant: Variant
    manager: RedisManager
    ours: Redis
    plain: "redis.asyncio.Redis"


def _server() -> Iterator[RedisServer]:
    # The more often the server looks up, the sooner an empty BLPOP ends.
    server = RedisServer({"hz": 500, "databases": 16})
    asyncio.run(server.start())
    yield server
    asyncio.run(server.aclose())


@pytest.fixture(scope="module")
def our_server() -> Iterator[RedisServer]:
    yield from _server()


@pytest.fixture(scope="module")
def plain_server() -> Iterator[RedisServer]:
    yield from _server()


RESP3 = needs("RESP3 (HELLO)", redis="6.0")
EMPTYING = ["FLUSHALL", "SCRIPT FLUSH", *(["FUNCTION FLUSH"] if has(redis="7.0") else [])]


@pytest.fixture(
    params=[pytest.param(each, marks=RESP3 if each.protocol == 3 else ()) for each in VARIANTS],
    ids=str,
)
def variant(request: pytest.FixtureRequest) -> Variant:
    chosen: Variant = request.param
    return chosen


@pytest.fixture
async def pair(
    variant: Variant, our_server: RedisServer, plain_server: RedisServer
) -> AsyncIterator[Pair]:
    for server in (our_server, plain_server):
        async with server.client() as client:
            for command in EMPTYING:
                await client.execute_command(command)
    manager = RedisManager(
        url=our_server.url,
        protocol=variant.protocol,
        decode_responses=variant.decode,
        pipelining={"enabled": variant.pipelining},
        pool={"acquire_timeout": 10},
        timeout={"connect": 10, "command": 20},
        outage={"grace": 10},
        health={"interval": 60, "timeout": 5},
    )
    plain = plain_client(plain_server, variant)
    async with manager, manager.client() as ours, plain:
        yield Pair(variant, manager, ours, plain)


def plain_client(server: RedisServer, variant: Variant) -> "redis.asyncio.Redis":
    """Make a client of redis-py's own, without its retries."""
    options: dict[str, Any] = {
        "protocol": variant.protocol,
        "decode_responses": variant.decode,
        "retry": Retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    return redis.asyncio.Redis(host=server.host, port=server.port, **options)
