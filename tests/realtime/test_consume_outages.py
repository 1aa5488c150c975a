"""A consumer through outages (rows 3, 6, 7, 9, 27 and 31): nothing is lost, nothing is raised."""

import asyncio
import logging
import random
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from redis_manager_fastapi import PoolState, RedisManager
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.cancelling import MOMENTS
from tests.kit.consuming import (
    GROUP,
    SOON,
    STREAM,
    add,
    consumed,
    delivered,
    members,
    numbers,
    pending,
)
from tests.kit.managers import assert_at_rest, opened, until_state
from tests.kit.servers import DURABLE
from tests.kit.stepping import Moment, Stepper
from tests.kit.waiting import eventually

SYNCED: dict[str, Any] = {**DURABLE, "appendfsync": "always"}
HEALTH: Any = {"interval": 0.3, "timeout": 0.3}


async def consume_all(manager: RedisManager, many: int, **options: Any) -> Counter[int]:
    """Consume until so many different entries are through; return how often each was."""
    seen: Counter[int] = Counter()
    async with manager.consume(STREAM, group=GROUP, **options) as entries:
        async for entry in entries:
            seen[int(entry.fields["n"])] += 1
            await asyncio.sleep(0)
            if len(seen) == many:
                entries.done()
                break
    return seen


async def none_pending(server: RedisServer) -> bool:
    return await pending(server) == []


@pytest.mark.parametrize("settings", [{}, {"pipelining": {"enabled": False}}], ids=["", "alone"])
async def test_kills_and_restarts(settings: dict[str, Any]) -> None:
    """Rows 3 and 4: what comes twice was in hand at a break."""
    async with RedisServer(SYNCED) as server, opened(server.url, **settings) as manager:
        await add(server, range(3000))
        task = asyncio.create_task(consume_all(manager, 3000, batch=10, claim_after=0.5))
        for _ in range(4):
            await asyncio.sleep(0.15)
            await server.restart(0.1, crash=True)
        async with asyncio.timeout(30):
            seen = await task
        await eventually(lambda: none_pending(server))

    assert len(seen) == 3000
    assert sum(seen.values()) - 3000 <= 4 * 10


@pytest.mark.parametrize("seconds", [0.5, 3.0])
async def test_a_frozen_server(redis_server: RedisServer, seconds: float) -> None:
    """Row 6: for less than grace, and for more."""
    await add(redis_server, range(10))
    async with opened(redis_server.url, health=HEALTH) as manager:
        async with manager.consume(STREAM, group=GROUP, batch=5) as entries:
            found = [await anext(entries) for _ in range(5)]
            redis_server.pause()
            waiting = asyncio.ensure_future(anext(entries))
            await asyncio.sleep(seconds)
            redis_server.resume()
            async with asyncio.timeout(5):
                found.append(await waiting)
                found += [await anext(entries) for _ in range(4)]
        assert sorted(numbers(found)) == list(range(10))
        assert await pending(redis_server) == []


async def test_a_blocked_read_whose_flow_dies_silently_is_noticed(
    redis_server: RedisServer,
) -> None:
    """Row 7: a NAT forgets the connections that are there; new ones work."""
    async with (
        FaultProxy(redis_server.host, redis_server.port) as proxy,
        opened(proxy.url, health=HEALTH) as manager,
        manager.consume(STREAM, group=GROUP) as entries,
    ):
        await add(redis_server, [0])
        await anext(entries)
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(0.5)
        await proxy.black_hole(new=False)
        await add(redis_server, [1])
        began = asyncio.get_running_loop().time()
        entry = await waiting
        took = asyncio.get_running_loop().time() - began

    assert numbers([entry]) == [1]
    assert took < 2 * (HEALTH["interval"] + HEALTH["timeout"]) + 0.2  # heard of; then healed


class Forgetful:
    """A NAT before a server, which forgets the connections that have read from a group."""

    def __init__(self, server: RedisServer) -> None:
        self.forgotten: set[object] = set()
        self._server = server
        self._readers: set[object] = set()

    def forget(self) -> None:
        self.forgotten |= self._readers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._server.host, self._server.port)
        flow = object()
        try:
            await asyncio.gather(
                self._pass(flow, reader, there[1]), self._pass(flow, there[0], writer)
            )
        finally:
            writer.close()
            there[1].close()

    async def _pass(
        self, flow: object, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                if b"XREADGROUP" in data:
                    self._readers.add(flow)
                if flow not in self.forgotten:
                    target.write(data)
        target.close()


async def test_a_read_alone_on_a_flow_that_dies_silently_is_noticed(
    redis_server: RedisServer,
) -> None:
    """Row 45: the heartbeats, on another connection, are answered."""
    nat = Forgetful(redis_server)
    async with await asyncio.start_server(nat.serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        url = redis_server.url.replace(f":{redis_server.port}", f":{port}")
        async with RedisManager(url=url, health=HEALTH) as manager:
            async with manager.consume(STREAM, group=GROUP) as entries:
                await add(redis_server, [0])
                await anext(entries)
                waiting = asyncio.ensure_future(anext(entries))
                await asyncio.sleep(0.5)
                nat.forget()
                await add(redis_server, [1])
                began = asyncio.get_running_loop().time()
                entry = await waiting
                took = asyncio.get_running_loop().time() - began
            assert manager.stats().generation == 1

    assert numbers([entry]) == [1]
    assert took < 2 * (HEALTH["interval"] + HEALTH["timeout"]) + 0.2


async def test_entries_in_a_lost_reply_are_asked_for_again(redis_server: RedisServer) -> None:
    """They need not wait for `claim_after`."""
    async with (
        FaultProxy(redis_server.host, redis_server.port) as proxy,
        opened(proxy.url, health=HEALTH) as manager,
    ):
        async with manager.consume(STREAM, group=GROUP) as entries:
            await add(redis_server, [0])
            await anext(entries)
            waiting = asyncio.ensure_future(anext(entries))
            await asyncio.sleep(0.5)
            await proxy.black_hole(to_server=False, new=False)
            await add(redis_server, range(1, 4))
            await eventually(lambda: _delivered(redis_server, 3))
            async with asyncio.timeout(5):
                found = [await waiting, await anext(entries), await anext(entries)]
        assert numbers(found) == [1, 2, 3]
        assert await pending(redis_server) == []


async def _delivered(server: RedisServer, many: int) -> bool:
    return len(await pending(server)) >= many


async def test_an_acknowledgement_whose_reply_is_lost_is_repeated(
    redis_server: RedisServer,
) -> None:
    async with (
        FaultProxy(redis_server.host, redis_server.port) as proxy,
        opened(proxy.url, health=HEALTH) as manager,
    ):
        await add(redis_server, range(3))
        async with manager.consume(STREAM, group=GROUP) as entries:
            for _ in range(3):
                await anext(entries)
            await proxy.black_hole(new=False)
        assert await pending(redis_server) == []
        assert await members(redis_server) == []


@pytest.mark.parametrize("direction", ["to_client", "to_server"])
@pytest.mark.parametrize("seed", range(3))
async def test_resets_at_random_bytes(redis_server: RedisServer, seed: int, direction: Any) -> None:
    """Row 9."""
    random_ = random.Random(seed)
    await add(redis_server, range(500))
    async with (
        FaultProxy(redis_server.host, redis_server.port) as proxy,
        opened(proxy.url, health={"backoff_cap": 0.05}) as manager,
    ):
        task = asyncio.create_task(consume_all(manager, 500, batch=7, claim_after=1.0))
        for _ in range(25):
            await proxy.reset_at(random_.randrange(600), direction=direction)
            await asyncio.sleep(0.04)
        await proxy.pass_through()
        async with asyncio.timeout(20):
            seen = await task
        await eventually(lambda: none_pending(redis_server))

    assert len(seen) == 500
    assert sum(seen.values()) - 500 <= 25 * 7


async def test_it_waits_in_silence_while_redis_is_away(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "redis_manager_fastapi")
    async with (
        opened(redis_server.url) as manager,
        manager.consume(STREAM, group=GROUP) as entries,
    ):
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(0.2)
        await redis_server.kill()
        await until_state(manager, PoolState.DOWN)
        await asyncio.sleep(2.5)  # past grace
        caplog.clear()
        await asyncio.sleep(1.0)
        assert manager.stats().waiting == 0
        assert [record.message for record in caplog.records] == []
        await redis_server.start()
        await add(redis_server, [1])
        async with asyncio.timeout(5):
            assert numbers([await waiting]) == [1]


async def test_entering_needs_no_redis() -> None:
    async with RedisServer() as server:
        await server.kill()
        async with (
            RedisManager(url=server.url, startup={"policy": "degraded"}) as manager,
            manager.consume(STREAM, group=GROUP) as entries,
        ):
            waiting = asyncio.ensure_future(anext(entries))
            await asyncio.sleep(0.3)
            await server.start()
            await add(server, [1])
            async with asyncio.timeout(5):
                assert numbers([await waiting]) == [1]


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_the_end_while_redis_is_away_is_within_the_drain(
    redis_server: RedisServer, how: str
) -> None:
    """Row 31."""
    await add(redis_server, range(2))
    loop = asyncio.get_running_loop()

    async def consume(manager: RedisManager) -> None:
        async with manager.consume(STREAM, group=GROUP) as entries:
            async for entry in entries:
                if entry.fields["n"] == "1":
                    await (redis_server.kill() if how == "kill" else _pause(redis_server))

    async with RedisManager(url=redis_server.url, shutdown={"drain": 1.0}) as manager:
        task = asyncio.create_task(consume(manager))
        await asyncio.sleep(0.7)
        began = loop.time()
    took = loop.time() - began
    if how == "pause":
        redis_server.resume()

    assert task.done()
    assert task.result() is None
    assert took < 1.0 + 0.5


async def _pause(server: RedisServer) -> None:
    server.pause()


@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelled_at_every_await(redis_server: RedisServer, moment: Moment) -> None:
    """Row 27: nothing leaks, and no entry is lost, wherever it was cancelled."""
    async with opened(redis_server.url) as manager:
        await manager.redis.ping()
        step, total = 0, 0
        while True:
            step += 1
            await add(redis_server, range(total, total + 3))
            seen: list[int] = []
            stepper = Stepper(_three(manager, seen), step, moment)
            with suppress(asyncio.CancelledError):
                await asyncio.ensure_future(stepper.run())
            assert_at_rest(manager)
            assert not manager._consumers._open
            left = total + 3 - len(await _acknowledged(redis_server))
            if left:
                rest = await consumed(manager, left, claim_after=SOON / 4)
                assert len(set(numbers(rest))) == left
            total += 3
            if not stepper.cancelled:
                break
        assert step > 5
        assert await pending(redis_server) == []


async def _three(manager: RedisManager, seen: list[int]) -> None:
    async with manager.consume(STREAM, group=GROUP, batch=2) as entries:
        async for entry in entries:
            await manager.redis.ping()
            seen.append(int(entry.fields["n"]))
            if len(seen) == 3:
                entries.done()
                break


async def _acknowledged(server: RedisServer) -> list[str]:
    """The IDs of what was delivered and is not pending."""
    open_ids = {each for each, _, _ in await pending(server)}
    return [each for each in await delivered(server) if each not in open_ids]
