"""Channels, tails and consumers over TLS and over a unix socket, through a break."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from redis_manager_fastapi import Gap, Message
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.consuming import GROUP
from tests.kit.managers import opened
from tests.kit.tails import PATIENCE, add, take, values
from tests.kit.waiting import until

CERTIFICATES = Path(__file__).parents[1] / "kit" / "certificates"


@pytest.fixture(params=["tls", "unix"])
async def reached(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RedisServer, str, Any]]:
    """A server, its URL, and the settings to reach it."""
    async with RedisServer(unix_socket=True) as server:
        if request.param == "unix":
            yield server, server.unix_url, {}
            return
        certificate = CERTIFICATES / "valid.pem"
        async with FaultProxy(server.host, server.port, cert_file=certificate) as proxy:
            yield server, proxy.url, {"tls": {"ca_file": CERTIFICATES / "ca.pem"}}


async def test_what_listens_goes_on_after_a_break(reached: tuple[RedisServer, str, Any]) -> None:
    server, url, settings = reached
    async with (
        asyncio.timeout(2 * PATIENCE),
        opened(url, **settings) as manager,
        manager.subscribe("news") as messages,
        manager.tail("s") as tail,
        manager.consume("s", group=GROUP) as entries,
    ):
        await manager.redis.publish("news", "a")
        await add(manager, "s", "a")
        assert await anext(messages) == Message("news", "a")
        assert values(await take(tail, 1)) == ["a"]
        assert (await anext(entries)).fields == {"n": "a"}

        generation = manager.stats().generation
        for kind in ("pubsub", "normal"):
            await server.command("CLIENT", "KILL", "TYPE", kind)
        assert isinstance(await anext(messages), Gap)
        # The end of the connections passes through the proxy, and so may come later.
        await until(lambda: manager.stats().generation > generation)
        await manager.redis.publish("news", "b")
        await add(manager, "s", "b")
        assert await anext(messages) == Message("news", "b")
        assert values(await take(tail, 1)) == ["b"]
        assert (await anext(entries)).fields == {"n": "b"}
