"""`manager.tail`: its arguments, its buffer, and its end."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redis_manager_fastapi import (
    Gap,
    ListenerTooSlowError,
    PoolClosedError,
    RedisManager,
    RedisPermissionError,
    RedisUnavailableError,
    StreamEntry,
)
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.tails import END, add, rest, stats_of, take, values
from tests.kit.waiting import until


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"stream": ["a"]}, TypeError, "one stream"),
        ({"stream": b"a"}, TypeError, "is a str"),
        ({"stream": "\ud800"}, ValueError, "cannot be sent"),
        ({"after": 5}, TypeError, "cursor"),
        ({"buffer": 0}, ValueError, "1 or more"),
        ({"buffer": True}, TypeError, "a number"),
        ({"overflow": "wait"}, ValueError, "drop"),
    ],
)
def test_bad_arguments_raise_at_once(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        RedisManager().tail(**{"stream": "s"} | arguments)


async def test_all_tails_share_one_connection(redis_url: str, redis_server: RedisServer) -> None:
    async with opened(redis_url) as manager:
        tails = [manager.tail(f"s{number % 5}") for number in range(50)]
        for tail in tails:
            await tail.__aenter__()
        for number in range(5):
            await add(manager, f"s{number}", "a")
        for tail in tails:
            assert values(await take(tail, 1)) == ["a"]
        stats = stats_of(manager)
        assert (stats.tails, stats.streams, stats.entries) == (50, 5, 5)
        assert manager.stats().leased == 1
        for tail in tails:
            await tail.__aexit__(None, None, None)


async def test_a_cursor_near_the_end_needs_no_read(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with opened(redis_url) as manager, manager.tail("s") as first:
        await add(manager, "s", *range(20))
        items = await take(first, 20)
        before = await redis_server.command("INFO", "commandstats")
        async with manager.tail("s", after=items[9].cursor) as tail:
            assert values(await take(tail, 10)) == [str(number) for number in range(10, 20)]
        after = await redis_server.command("INFO", "commandstats")
        assert after.get("cmdstat_xrange") == before.get("cmdstat_xrange")


async def test_a_slow_listener_reads_what_it_missed_from_the_server(redis_url: str) -> None:
    async with opened(redis_url) as manager, manager.tail("s", buffer=5) as tail:
        await add(manager, "s", *range(100), END)
        await until(lambda: stats_of(manager).entries == 101)
        assert values(await rest(tail)) == [str(number) for number in range(100)]
        assert stats_of(manager).gaps == 0


async def test_a_slow_listener_may_be_ended_and_slows_no_other(redis_url: str) -> None:
    async with (
        opened(redis_url) as manager,
        manager.tail("s") as other,
        manager.tail("s", buffer=5, overflow="end") as tail,
    ):
        await add(manager, "s", *range(7))
        assert len(await take(other, 7)) == 7
        with pytest.raises(ListenerTooSlowError, match="5 entries behind"):
            await anext(tail)


async def test_what_cannot_be_decoded_is_kept(redis_url: str) -> None:
    async with opened(redis_url, decode_responses=False) as manager, manager.tail("s") as tail:
        await manager.redis.xadd("s", {b"\xff": b"\xfe"})
        (entry,) = await take(tail, 1)
        assert isinstance(entry, StreamEntry)
        assert entry.fields == {"\udcff": "\udcfe"}


async def test_a_key_that_is_no_stream_is_the_apps_mistake(redis_url: str) -> None:
    async with opened(redis_url) as manager, manager.tail("s") as tail:
        await manager.redis.set("text", "value")
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await manager.tail("text").__aenter__()
        await add(manager, "s", END)
        assert await rest(tail) == []


async def test_a_key_that_is_no_stream_stops_nothing_else(redis_url: str) -> None:
    """It alone is followed, both from the start and by a listener that has entered."""
    async with opened(redis_url) as manager:
        await manager.redis.set("text", "value")
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await manager.tail("text").__aenter__()
        async with manager.tail("later") as tail:
            await manager.redis.set("later", "value")
            with pytest.raises(ResponseError, match="WRONGTYPE"):
                await take(tail, 1)
            async with manager.tail("s") as other:  # while the failed one is not left yet
                await add(manager, "s", 1, END)
                assert values(await rest(other, timeout=2.0)) == ["1"]


@needs("ACL", redis="6.0")
async def test_a_forbidden_read_is_told(redis_server: RedisServer) -> None:
    """The server may answer what a stream is, and still not read it to this user."""
    user = ("ACL", "SETUSER", "half", "on", ">p", "~*", "&*", "+@all", "-xread")
    await redis_server.command(*user)
    url = redis_server.url.replace("://", "://half:p@")
    async with opened(url) as manager, manager.tail("s") as tail:
        await add(manager, "s", 1)
        with pytest.raises(RedisPermissionError):
            await take(tail, 1)


async def test_one_who_leaves_a_failed_stream_takes_it_from_nobody(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        failed = await manager.tail("s").__aenter__()
        await manager.redis.set("s", "value")
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await take(failed, 1)
        await manager.redis.delete("s")
        async with manager.tail("s") as tail:
            await failed.__aexit__(None, None, None)
            await add(manager, "s", 1, END)
            assert values(await rest(tail)) == ["1"]


async def test_entering_in_an_outage_raises_after_grace(redis_server: RedisServer) -> None:
    async with (
        opened(redis_server.url, outage={"grace": 0.2}) as manager,
        manager.tail("s") as tail,
    ):
        await redis_server.kill()
        await until(lambda: not manager.is_ready)
        with pytest.raises(RedisUnavailableError):
            await manager.tail("other").__aenter__()
        async with manager.tail("s") as second:
            await redis_server.start()
            await manager.wait_ready(5.0)
            await add(manager, "s", END)
            assert [type(item) for item in await rest(tail)] in ([], [Gap])
            await rest(second)


async def test_closing_ends_the_iteration_and_refuses_another(redis_url: str) -> None:
    manager = RedisManager(url=redis_url)
    async with manager:
        tail = await manager.tail("s").__aenter__()
        waiting = asyncio.ensure_future(anext(tail, "ended"))
        await asyncio.sleep(0)
        manager._stop_realtime()
        assert await asyncio.wait_for(waiting, 1.0) == "ended"
        with pytest.raises(PoolClosedError):
            await manager.tail("s").__aenter__()
    await tail.__aexit__(None, None, None)
    async with manager, manager.tail("s") as again:
        await add(manager, "s", END)
        assert await rest(again) == []


class Client:
    """Goes away when told."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_it_ends_when_its_client_has_gone(redis_url: str) -> None:
    client = Client()
    async with opened(redis_url) as manager, manager.tail("s", until=client) as tail:
        waiting = asyncio.ensure_future(anext(tail, "ended"))
        await asyncio.sleep(0)
        client.left.set()
        assert await asyncio.wait_for(waiting, 1.0) == "ended"
