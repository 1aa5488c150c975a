"""The tracked connection: its losses, its silences, where it goes, and servers that have none."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.observe.events import CacheChanged, Event
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.caching import cache_of, lane_of, until_cached
from tests.kit.managers import pool_of
from tests.kit.servers import needs
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("pipelining")
_DELETE = "for i = 0, 49 do redis.call('DEL', i .. string.rep('x', 30000 - #tostring(i))) end"
TRACKS = needs("CLIENT TRACKING with RESP3", redis="7.0")


@pytest.fixture
async def manager(redis_server: RedisServer) -> AsyncIterator[RedisManager]:
    async with RedisManager(url=redis_server.url) as opened:
        yield opened


async def tracked_clients(server: RedisServer) -> list[str]:
    """The ids of the connections that the server tracks."""
    async with server.client() as client:
        return [each["id"] for each in await client.client_list() if "t" in each["flags"]]


@TRACKS
async def test_lane_opens_at_the_first_cached_read(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    cached = manager.redis.with_options(cache=60.0)
    assert await tracked_clients(redis_server) == []
    assert (cache_of(manager).stats().off_since, cache_of(manager).stats().reason) == (None, "")

    await until_cached(manager, cached)
    await cached.get("key")

    assert len(await tracked_clients(redis_server)) == 1
    async with redis_server.client() as other:
        assert (await other.info("stats"))["tracking_total_keys"] >= 1


@TRACKS
async def test_lost_lane_serves_nothing_from_the_turn_it_is_lost_in(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    cached = manager.redis.with_options(cache=60.0)
    await until_cached(manager, cached)
    await manager.redis.set("key", "old")
    assert await cached.get("key") == "old"
    lane, (tracked,) = lane_of(manager), await tracked_clients(redis_server)
    link = lane.link

    async with redis_server.client() as other:
        await other.client_kill_filter(_id=tracked)
        await other.set("key", "new")
    await until(lambda: lane.link is not link)

    assert await cached.get("key") == "new"
    await until(lambda: lane.link is not None)
    assert [await cached.get("key") for _ in range(2)] == ["new", "new"]


@TRACKS
async def test_outage_of_the_lane_alone_uses_no_grace(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    await until_cached(manager, manager.redis.with_options(cache=60.0))
    pool_of(manager).counters.waited += 1  # in an outage of the pool's own
    lane, (tracked,) = lane_of(manager), await tracked_clients(redis_server)
    link = lane.link

    async with redis_server.client() as other:
        await other.client_kill_filter(_id=tracked)
    await until(lambda: lane.link not in (link, None))

    assert manager.stats().grace_longest == 0.0


@TRACKS
async def test_changes_that_are_told_ahead_of_a_reply_do_not_make_it_a_large_one(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    """A paused server takes both commands, and then tells of 1.5 MB of changes in between."""
    cached = manager.redis.with_options(cache=60.0)
    await until_cached(manager, cached)
    keys = [f"{number}".ljust(30_000, "x") for number in range(50)]
    async with redis_server.client() as other:
        await other.mset(dict.fromkeys(keys, "value"))
        await asyncio.gather(*map(cached.get, keys))
        connection = await other.connection_pool.get_connection()
        await other.client_pause(300, all=True)
        await connection.send_command("EVAL", _DELETE, 0)

        assert await cached.get("small") is None
        await connection.read_response()
        await other.connection_pool.release(connection)
    await until(lambda: cache_of(manager).stats().invalidations == len(keys))
    assert not pool_of(manager).link_set.room.alone


@TRACKS
async def test_silent_lane_serves_no_longer_than_a_heartbeat_proves(
    redis_server: RedisServer,
) -> None:
    """The lane alone is cut off without a word: the other lane writes, and who reads knows when."""
    async with FaultProxy(redis_server.host, redis_server.port) as proxy:
        health: Any = {"interval": 0.1, "timeout": 0.2}
        async with RedisManager(url=proxy.url, health=health) as manager:
            cached = manager.redis.with_options(cache=60.0, timeout=5.0)
            await until_cached(manager, cached)
            await manager.redis.set("key", "old")
            assert await cached.get("key") == "old"
            life, clock = lane_of(manager).life, asyncio.get_running_loop().time
            await proxy.black_hole()
            cut = clock()
            async with redis_server.client() as other:
                await other.set("key", "new")

            seen = cut
            while life.clock() < life.fresh_until:
                assert await cached.get("key") == "old"
                seen = clock()
                await asyncio.sleep(0.005)
            await proxy.pass_through()

            assert await cached.get("key") == "new"
            assert seen - cut < 0.35


@TRACKS
async def test_stalled_process_serves_nothing_before_it_has_heard(
    redis_server: RedisServer,
) -> None:
    """After a stall the first to run may be a reader: what the socket holds is unread then."""
    health: Any = {"interval": 0.1, "timeout": 0.2}
    async with RedisManager(url=redis_server.url, health=health) as manager:
        cached = manager.redis.with_options(cache=60.0)
        await until_cached(manager, cached)
        await manager.redis.set("key", "old")
        assert await cached.get("key") == "old"
        with redis.Redis(host=redis_server.host, port=redis_server.port) as other:
            other.set("key", "new")

        time.sleep(0.4)  # noqa: ASYNC251 (the stall)

        assert ("GET", "key") in cache_of(manager).store.tables[True][False]
        assert await cached.get("key") == "new"


@TRACKS
async def test_restarted_server_begins_empty(
    redis_server: RedisServer, manager: RedisManager
) -> None:
    cached = manager.redis.with_options(cache=60.0)
    await until_cached(manager, cached)
    await manager.redis.set("key", "value")
    assert await cached.get("key") == "value"

    await redis_server.restart(crash=True)

    assert await cached.get("key") is None
    await until(lambda: cache_of(manager).stats().off_since is None)
    assert cache_of(manager).stats().entries <= 1


@TRACKS
async def test_lane_follows_the_pool_to_another_server(manager: RedisManager) -> None:
    cached = manager.redis.with_options(cache=60.0)
    await until_cached(manager, cached)
    lane = lane_of(manager)
    life, generation = lane.life, lane._pool.generation

    manager._deployment.require().moved("for the test")

    assert not life.goes_on
    await until(lambda: lane.link is not None)
    assert lane._pool.generation > generation


@TRACKS
async def test_listeners_hear_when_the_cache_serves(redis_server: RedisServer) -> None:
    heard: list[Event] = []
    async with RedisManager(url=redis_server.url, listeners=[heard.append]) as manager:
        await until_cached(manager, manager.redis.with_options(cache=60.0))

    changes = [each for each in heard if isinstance(each, CacheChanged)]
    assert [each.serving for each in changes] == [True, False]


async def test_server_that_does_not_track_is_read_as_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One warning, however many reads; the counters say why."""
    async with (
        RedisServer({"rename-command": "CLIENT ''"}) as server,
        RedisManager(url=server.url) as manager,
    ):
        cached = manager.redis.with_options(cache=60.0)
        with caplog.at_level(logging.WARNING):
            await cached.set("key", "value")
            await cached.get("key")
            await until(lambda: cache_of(manager).stats().reason != "connecting")
            assert [await cached.get("key") for _ in range(3)] == ["value"] * 3

        stats = cache_of(manager).stats()
        assert (stats.hits, stats.misses) == (0, 0)
        assert "does not track" in stats.reason or "7.0" in stats.reason
        assert stats.off_since is not None
        lines = [each for each in caplog.records if getattr(each, "event", "") == "redis_cache_off"]
        assert len(lines) == 1
        await until(lambda: lane_of(manager)._pool.state.value == "closed")


@TRACKS
async def test_lane_that_cannot_connect_is_tried_again_whatever_its_server_is_called(
    tmp_path: Path,
) -> None:
    """It is given up for what the server says of HELLO, not for a text that has the word."""
    link = tmp_path / "hello.sock"
    async with RedisServer(unix_socket=True) as server:
        socket = server.unix_url.removeprefix("unix://")
        link.symlink_to(socket)
        async with RedisManager(url=f"unix://{link}") as manager:
            cached = manager.redis.with_options(cache=60.0)
            link.unlink()
            await cached.get("key")
            backoff = lane_of(manager)._supervisor._backoff
            await until(lambda: backoff.attempts >= 1)
            link.symlink_to(socket)

            await until_cached(manager, cached)
