"""A name that leads elsewhere while the old server lives, or to nowhere for a while."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from redis_manager_fastapi import ProbeFailed, RedisManager
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.naming import NAME, Known, manager
from tests.kit.servers import needs
from tests.kit.waiting import eventually, until


async def test_a_resolver_that_hangs_takes_no_thread_of_the_app(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 21: it is asked once a second, and `asyncio.to_thread` goes on working."""
    answers, hanging, real = threading.Event(), list[str](), socket.getaddrinfo
    answers.set()

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == NAME:
            hanging.append(threading.current_thread().name)
            answers.wait(20)
            hanging.pop()
            host = "127.0.0.1"
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    limits: Any = {"timeout": {"connect": 0.1}, "health": {"backoff_cap": 0.05}}
    events: list[Any] = []
    settings: Any = {"host": NAME, "port": redis_server.port, "listeners": [events.append]}
    async with RedisManager(**settings, **limits, startup={"policy": "fail"}) as opened:
        tasks = asyncio.all_tasks()
        try:
            answers.clear()
            await redis_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await until(lambda: sum(isinstance(each, ProbeFailed) for each in events) > 12)
            assert 0 < len(hanging) <= 4
            assert {each.partition("-")[0] for each in hanging} == {"redis"}
        finally:
            answers.set()
        await until(lambda: opened.is_ready)
        assert await opened.redis.ping()
        await until(lambda: asyncio.all_tasks() <= tasks)


async def test_an_event_loop_s_own_resolver_is_asked(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    real, asked = loop.getaddrinfo, list[str]()

    async def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        return await real("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with RedisManager(host=NAME, port=redis_server.port) as opened:
        assert await opened.redis.ping()

    assert NAME in asked


async def test_a_lease_goes_to_the_server_of_the_shared_connection(
    redis_server: RedisServer, known: Known
) -> None:
    """Also while the name leads to another one already, and until the shared one follows."""
    async with RedisServer() as new:
        known(("127.0.0.1", redis_server.port))
        async with manager() as opened:
            await opened.redis.set("key", "value")
            known(("127.0.0.1", new.port))

            assert await opened.redis.get("key") == "value"
            assert await opened.redis.with_options(dedicated=True).get("key") == "value"


def served(opened: RedisManager) -> bool:
    """Whether cached reads are answered."""
    stats: Any = opened.stats().cache
    return stats is not None and stats.off_since is None


@needs("CLIENT TRACKING for caching", redis="7.0")
async def test_cached_reads_are_of_the_server_of_the_shared_connection(
    redis_server: RedisServer, known: Known
) -> None:
    """Another server at the name would tell neither what this one has nor what changes here."""
    async with RedisServer() as new:
        known(("127.0.0.1", redis_server.port))
        async with manager(pool={"max_lifetime": 2.0}) as opened:
            cached = opened.redis.with_options(cache=30.0)
            await opened.redis.set("key", "old server")
            await new.command("SET", "key", "new server")
            known(("127.0.0.1", new.port))
            assert await cached.get("key") == "old server"
            await until(lambda: served(opened))
            assert await cached.get("key") == "old server"
            await opened.redis.set("key", "written")
            assert await cached.get("key") == "written"

            await until(lambda: opened.stats().generation > 1)
            assert await opened.redis.get("key") == "new server"
            await until(lambda: served(opened))
            assert await cached.get("key") == "new server"


async def test_sentinels_are_heard_where_their_name_leads_now(known: Known) -> None:
    """Row 67: the old one lives, and knows nothing of the deployment any more."""
    async with SentinelDeployment(sentinels=2) as deployment:
        first, second = deployment.sentinels
        known(("127.0.0.1", first.port))
        sentinel: Any = {"nodes": [(NAME, 26379)], "service": deployment.service}
        settings: Any = {"startup": {"policy": "fail"}, "pool": {"max_lifetime": 1.0}}
        async with RedisManager(sentinel=sentinel, **settings) as opened:
            await until(lambda: opened.stats().sentinels == 1)
            known(("127.0.0.1", second.port))

            async def is_heard_there() -> bool:
                return " sub=2 " in str(await second.command("CLIENT", "LIST"))

            await eventually(is_heard_there, 10)
            await until(lambda: opened.stats().sentinels == 1)
            assert await opened.redis.set("key", "value")


async def test_a_name_whose_addresses_change_places_leads_nowhere_else(known: Known) -> None:
    """As those of several balancers do; who listens stays where it is."""
    async with RedisServer({"bind": "127.0.0.1 127.0.0.2"}) as server:
        addresses = [("127.0.0.1", server.port), ("127.0.0.2", server.port)]
        known(*addresses)
        async with manager(pool={"max_lifetime": 0.5}) as opened, opened.redis.pubsub() as pubsub:
            await pubsub.subscribe("news")
            hearing = asyncio.ensure_future(pubsub.get_message(timeout=30))
            assert (await hearing or {})["type"] == "subscribe"
            hearing = asyncio.ensure_future(pubsub.get_message(timeout=30))
            for generation in range(1, 4):
                addresses.reverse()
                known(*addresses)
                await until(lambda n=generation: opened.stats().generation > n)
            await asyncio.sleep(0.1)

            assert opened.stats().resubscribed == 0
            await opened.redis.publish("news", "hello")
            assert (await hearing or {})["data"] == "hello"
