"""Tails through kills, hangs, silent connections, crowds and cancellation."""

import asyncio
import random
from typing import Any, Literal

import pytest

from redis_manager_fastapi import RedisManager, RedisManagerError
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.cancelling import MOMENTS
from tests.kit.managers import opened
from tests.kit.servers import PROMPT, needs
from tests.kit.stepping import Stepper
from tests.kit.tails import END, add, rest, stats_of, take, values
from tests.kit.waiting import until

SURE: dict[str, Any] = {"appendonly": "yes", "appendfsync": "always", **PROMPT}
PATIENT: dict[str, Any] = {"outage": {"grace": 10.0}, "timeout": {"command": 10.0}}


async def coming_back(manager: RedisManager, stream: str, random_: random.Random) -> list[str]:
    """Follow a stream from its start to its end in many blocks, each after the last one."""
    found: list[str] = []
    after = "start"
    while True:
        buffer, stay = random_.choice([3, 50, 1000]), random_.randint(1, 200)
        async with manager.tail(stream, after=after, buffer=buffer) as tail:
            async for item in tail:
                after = item.cursor
                found += values([item])
                if found[-1] == END:
                    return found[:-1]
                stay -= 1
                if not stay:
                    break


async def staying(manager: RedisManager, stream: str, **options: Any) -> list[str]:
    """Follow it in one block."""
    async with manager.tail(stream, after="start", **options) as tail:
        return values(await rest(tail, 60.0))


async def adding(manager: RedisManager, stream: str, count: int, together: int) -> None:
    """Add entries, a few at a time."""
    for start in range(0, count, together):
        async with manager.redis.pipeline(transaction=False) as pipeline:
            for number in range(start, start + together):
                pipeline.xadd(stream, {"n": number})
            await pipeline.execute()


@pytest.mark.parametrize("protocol", [2, pytest.param(3, marks=needs("RESP3", redis="6.0"))])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_newcomers_join_while_thousands_of_entries_are_added(
    protocol: Literal[2, 3], pipelining: bool, redis_url: str
) -> None:
    """The seam between what is read in pages and what comes: nothing lost, nothing twice."""
    random_ = random.Random(protocol)
    manager = RedisManager(
        url=redis_url, protocol=protocol, pipelining={"enabled": pipelining}, **PATIENT
    )
    async with manager:
        source = asyncio.create_task(adding(manager, "s", 4000, 20))
        followers = [asyncio.create_task(coming_back(manager, "s", random_)) for _ in range(4)]
        for number in range(8):
            buffer = random_.choice([2, 20, 1000])
            followers.append(asyncio.create_task(staying(manager, "s", buffer=buffer)))
            await until(lambda number=number: stats_of(manager).entries > number * 300)
        await source
        await add(manager, "s", END)
        found = await asyncio.gather(*followers)

    for each in found:
        assert each == [str(number) for number in range(4000)]


async def test_nothing_is_lost_or_doubled_through_kills() -> None:
    async with RedisServer(SURE) as server, opened(server.url, **PATIENT) as manager:
        random_ = random.Random(7)
        number, ended = 0, False

        async def add_on() -> None:
            nonlocal number
            while not ended:
                number += 1
                try:
                    await manager.redis.xadd("s", {"n": number})
                except RedisManagerError:
                    await asyncio.sleep(0.01)

        sources = [asyncio.create_task(add_on()) for _ in range(3)]
        followers = [asyncio.create_task(coming_back(manager, "s", random_)) for _ in range(5)]
        followers += [asyncio.create_task(staying(manager, "s")) for _ in range(3)]
        for kills in range(1, 4):
            await until(lambda kills=kills: number > kills * 100, 20)
            await server.kill()
            await server.start()
        ended = True
        await asyncio.gather(*sources)
        await add(manager, "s", END)
        found = await asyncio.gather(*followers)
        entries = [fields["n"] for _, fields in await manager.redis.xrange("s")][:-1]

    for each in found:
        assert each == entries


async def test_a_server_that_hangs_loses_nothing(redis_server: RedisServer) -> None:
    async with opened(redis_server.url, **PATIENT) as manager, manager.tail("s") as tail:
        await add(manager, "s", "a")
        await take(tail, 1)
        redis_server.pause()
        await until(lambda: not manager.is_ready)
        redis_server.resume()
        await add(manager, "s", "b", END)
        assert values(await rest(tail)) == ["b"]


async def test_a_connection_that_dies_silently_is_noticed(redis_server: RedisServer) -> None:
    async with FaultProxy(redis_server.host, redis_server.port) as proxy:
        settings: dict[str, Any] = {"health": {"interval": 0.2, "timeout": 0.3}}
        async with opened(proxy.url, **settings) as manager, manager.tail("s") as tail:
            await redis_server.command("XADD", "s", "*", "n", "a")
            await take(tail, 1)
            loop = asyncio.get_running_loop()
            await proxy.black_hole(new=False)
            await redis_server.command("XADD", "s", "*", "n", "b")
            begun = loop.time()
            await until(lambda: not manager._tails._readers[None].connected)
            noticed = loop.time() - begun
            await redis_server.command("XADD", "s", "*", "n", END)
            assert values(await rest(tail)) == ["b"]

    assert noticed < 0.2 + 0.3 + 0.2


async def read_two(manager: RedisManager, after: str | None) -> None:
    async with manager.tail("s", after=after) as tail:
        await take(tail, 2 if after else 0)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("after", [None, "start"])
@pytest.mark.parametrize("alone", [True, False])
async def test_cancelled_at_each_await(
    alone: bool, after: str | None, moment: Any, redis_url: str
) -> None:
    """Nothing is left behind, and those who listen to the same stream hear on."""
    async with opened(redis_url) as manager:
        await add(manager, "s", "a", "b")
        other = manager.tail("s")
        if not alone:
            await other.__aenter__()
        number, cancelled = 0, True
        while cancelled:
            number += 1
            stepper = Stepper(read_two(manager, after), number, moment)
            task = asyncio.ensure_future(stepper.run())
            await asyncio.wait([task])
            cancelled = stepper.cancelled
            assert task.cancelled() is cancelled
            assert stats_of(manager).tails == int(not alone)
            assert stats_of(manager).streams == int(not alone)
        if not alone:
            await add(manager, "s", "c", END)
            assert values(await rest(other)) == ["c"]
            await other.__aexit__(None, None, None)
        await until(lambda: not manager.stats().leased)

    assert number > (2 if alone else after is not None)
