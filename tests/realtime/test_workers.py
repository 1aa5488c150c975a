"""Handlers and loops that run in the lifespan."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from redis_manager_fastapi import Event, PoolState, RedisManager, StreamEntry, WorkerFailed
from redis_manager_fastapi.testing import RedisServer
from tests.kit.consuming import GROUP, SOON, STREAM, add, listening, members, pending
from tests.kit.managers import until_state
from tests.kit.waiting import eventually, until


class BodyError(Exception):
    pass


async def acknowledged(server: RedisServer) -> bool:
    return await pending(server) == []


async def test_a_handler_runs_from_start_to_end(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    seen: list[str] = []

    @manager.consumer(STREAM, group=GROUP)
    async def handle(entry: StreamEntry) -> None:
        seen.append(entry.fields["n"])

    await handle(StreamEntry(STREAM, "0-1", {"n": "called"}))
    for number in range(2):  # opened again, it runs again
        async with manager:
            await add(redis_server, [number])
            await until(lambda: len(seen) == number + 2)  # noqa: B023
    assert seen == ["called", "0", "1"]
    assert await pending(redis_server) == []
    assert await members(redis_server) == []


async def test_so_many_entries_at_a_time(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    running: set[str] = set()
    most: list[int] = []
    enough = asyncio.Event()

    @manager.consumer(STREAM, group=GROUP, concurrency=3, batch=10)
    async def handle(entry: StreamEntry) -> None:
        running.add(entry.id)
        most.append(len(running))
        await enough.wait()
        running.discard(entry.id)

    await add(redis_server, range(20))
    async with manager:
        await until(lambda: len(running) == 3)
        await asyncio.sleep(0.05)
        enough.set()
        await until(lambda: len(most) == 20)
        await eventually(lambda: acknowledged(redis_server))
    assert max(most) == 3


async def test_what_raises_stays_pending_and_comes_again(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    manager = RedisManager(url=redis_server.url, listeners=[events.append])
    seen: list[tuple[str, int]] = []

    @manager.consumer(STREAM, group=GROUP, claim_after=SOON)
    async def handle(entry: StreamEntry) -> None:
        seen.append((entry.fields["n"], entry.delivered))
        if entry.delivered == 1 and int(entry.fields["n"]) < 5:
            raise BodyError(entry.fields["n"])

    await add(redis_server, range(10))
    async with manager:
        await until(lambda: len(seen) == 15)
        await eventually(lambda: acknowledged(redis_server))
        [consumer] = listening(manager).consumers
        [worker] = listening(manager).workers

    assert sorted(seen[10:]) == [(str(number), 2) for number in range(5)]
    assert (consumer.failed, consumer.handled, consumer.claimed) == (5, 10, 5)
    assert (worker.running, worker.restarts, worker.error) == (True, 0, "BodyError")
    failures = [each for each in events if isinstance(each, WorkerFailed)]
    assert len(failures) == 5
    lines = [record for record in caplog.records if "BodyError" in record.message]
    assert len(lines) == 1  # in a minute
    assert lines[0].exc_info is not None


async def test_an_error_that_cannot_be_shown_is_one_too(redis_server: RedisServer) -> None:
    class UnshownError(Exception):
        def __str__(self) -> str:
            raise BodyError

    manager = RedisManager(url=redis_server.url)

    @manager.consumer(STREAM, group=GROUP, max_deliveries=1, dead_letter="dead")
    async def handle(entry: StreamEntry) -> None:
        raise UnshownError

    await add(redis_server, [1])
    async with manager:
        await until(lambda: any(each.dead_lettered for each in listening(manager).consumers))
        [(_, fields)] = await manager.redis.xrange("dead")
    assert fields["dead_letter.reason"] == "UnshownError: ?"


async def test_what_does_not_validate_counts_as_raised(redis_server: RedisServer) -> None:
    from pydantic import BaseModel

    class Order(BaseModel):
        n: int

    manager = RedisManager(url=redis_server.url)
    seen: list[int] = []

    @manager.consumer(STREAM, group=GROUP, max_deliveries=1, dead_letter="dead")
    async def handle(entry: StreamEntry) -> None:
        seen.append(entry.parse(Order).n)

    await add(redis_server, [1, "two", 3])
    async with manager:
        await until(lambda: len(seen) == 2)
        await eventually(lambda: acknowledged(redis_server))
    [(_, fields)] = await _range(redis_server, "dead")
    assert seen == [1, 3]
    assert fields["dead_letter.reason"].startswith("ValidationError")


async def _range(server: RedisServer, stream: str) -> Any:
    async with server.client() as client:
        return await client.xrange(stream)


async def test_a_reader_that_raises_is_begun_again(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    seen: list[str] = []

    @manager.consumer(STREAM, group=GROUP)
    async def handle(entry: StreamEntry) -> None:
        seen.append(entry.fields["n"])

    await redis_server.command("SET", STREAM, "text")
    async with manager:
        await until(lambda: listening(manager).workers[0].restarts >= 2)
        assert listening(manager).workers[0].error == "ResponseError"
        await redis_server.command("DEL", STREAM)
        await add(redis_server, [1])
        await until(lambda: seen == ["1"], 10)


async def test_the_end_waits_for_what_is_in_hand(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    begun, through = asyncio.Event(), []

    @manager.consumer(STREAM, group=GROUP, concurrency=2)
    async def handle(entry: StreamEntry) -> None:
        begun.set()
        await asyncio.sleep(0.3 * (1 + int(entry.fields["n"])))
        await manager.redis.rpush("through", entry.id)  # the pool still serves
        through.append(entry.id)

    await add(redis_server, range(10))
    async with manager:
        await begun.wait()
    assert len(through) == 2
    assert len(await pending(redis_server)) == 8
    assert {times for _, _, times in await pending(redis_server)} == {0}


async def test_the_end_cuts_what_takes_longer(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url, shutdown={"drain": 1.0})
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    quick = asyncio.Event()

    @manager.consumer(STREAM, group=GROUP, concurrency=2)
    async def handle(entry: StreamEntry) -> None:
        begun.set()
        if entry.fields["n"] == "0":
            await asyncio.sleep(60)
        quick.set()

    await add(redis_server, range(2))
    async with manager:
        await begun.wait()
        await quick.wait()
        began = loop.time()
    assert loop.time() - began < 1.3
    assert [times for _, _, times in await pending(redis_server)] == [1]


async def test_with_an_apps_own_lifespan(redis_server: RedisServer) -> None:
    """Workers begin after it has started, and are drained before it ends."""
    manager = RedisManager(url=redis_server.url)
    order: list[str] = []

    @manager.consumer(STREAM, group=GROUP)
    async def handle(entry: StreamEntry) -> None:
        order.append("handler begins")
        await asyncio.sleep(0.2)
        order.append("handler ends")

    @manager.background
    async def loop() -> None:
        order.append("loop begins")
        try:
            await asyncio.sleep(60)
        finally:
            order.append("loop ends")

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        await asyncio.sleep(0.1)
        order.append("app begins")
        yield
        order.append("app ends")
        await manager.redis.ping()

    await add(redis_server, [1])
    async with manager.wrap(lifespan)(None):
        await until(lambda: "handler begins" in order)
    assert order[0] == "app begins"
    assert order[-1] == "app ends"
    assert {"loop ends", "handler ends"} <= set(order)


async def test_a_loop_is_begun_again_when_it_raises(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    manager = RedisManager(url=redis_server.url)
    begun = 0

    @manager.background
    async def loop() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise BodyError

    async with manager:
        await until(lambda: begun == 4, 10)
        await until(lambda: not listening(manager).workers[0].running)
        [stats] = listening(manager).workers
        await asyncio.sleep(0.2)
    assert begun == 4  # it returned, and has ended
    assert (stats.restarts, stats.error) == (3, "BodyError")
    assert stats.name.endswith("loop")
    assert sum("BodyError" in record.message for record in caplog.records) == 1


async def _await_one_that_is_cancelled() -> None:
    other = asyncio.create_task(asyncio.sleep(60))
    other.cancel()
    await other


async def test_a_cancellation_from_within_is_an_error_like_others(
    redis_server: RedisServer,
) -> None:
    """Only the manager ends a loop, and an entry whose handler lets one out is told of."""
    manager = RedisManager(url=redis_server.url)
    begun = 0

    @manager.background
    async def loop() -> None:
        nonlocal begun
        begun += 1
        await _await_one_that_is_cancelled()

    @manager.consumer(STREAM, group=GROUP, max_deliveries=1, dead_letter="dead")
    async def handle(entry: StreamEntry) -> None:
        await _await_one_that_is_cancelled()

    await add(redis_server, [1])
    async with manager:
        await until(lambda: begun == 3, 10)
        await until(lambda: listening(manager).consumers[0].dead_lettered == 1)
        [consumer] = listening(manager).consumers
        workers = listening(manager).workers
    assert [(each.error, each.restarts > 0) for each in workers] == [
        ("RuntimeError", True),
        ("RuntimeError", False),
    ]
    assert consumer.failed == 1


async def test_a_loop_waits_while_redis_is_away(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "redis_manager_fastapi")
    manager = RedisManager(url=redis_server.url, outage={"grace": 0.2})
    begun = 0

    @manager.background
    async def loop() -> None:
        nonlocal begun
        begun += 1
        while True:
            await manager.redis.incr("count")
            await asyncio.sleep(0.01)

    async with manager:
        await until(lambda: begun == 1)
        await redis_server.kill()
        await until_state(manager, PoolState.DOWN)
        await until(lambda: not listening(manager).workers[0].running)
        await asyncio.sleep(1.0)
        assert begun == 1
        await redis_server.start()
        await until(lambda: begun == 2)
    raised = [record for record in caplog.records if "raised" in record.message]
    assert len(raised) == 1
    assert raised[0].exc_info is None


async def test_a_loop_begins_when_redis_is_there() -> None:
    begun = asyncio.Event()
    async with RedisServer() as server:
        await server.kill()
        manager = RedisManager(url=server.url, startup={"policy": "degraded"})

        @manager.background
        async def loop() -> None:
            begun.set()

        async with manager:
            await asyncio.sleep(0.3)
            assert not begun.is_set()
            await server.start()
            async with asyncio.timeout(5):
                await begun.wait()


async def test_what_is_registered_late_begins_at_once(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    begun = asyncio.Event()
    async with manager:

        @manager.background
        async def loop() -> None:
            begun.set()

        async with asyncio.timeout(5):
            await begun.wait()


async def test_a_loop_that_will_not_end_is_left(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url, shutdown={"drain": 0.5})
    let_go, begun = asyncio.Event(), asyncio.Event()

    @manager.background
    async def loop() -> None:
        begun.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    async with manager:
        await begun.wait()
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1.5
    let_go.set()


def plain(entry: Any) -> None:
    """Is not async."""


async def nothing() -> None:
    """Takes no entry."""


async def one(entry: Any) -> None:
    """Takes one."""


class Callable:
    """An object that can be awaited when it is called."""

    async def __call__(self, entry: Any) -> None:
        """Take one."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (plain, "takes an async function"),
        (nothing, "takes `async def handle"),
        (None, "takes an async function"),
    ],
)
def test_a_wrong_handler_is_told_at_once(function: Any, words: str) -> None:
    manager = RedisManager(url="redis://127.0.0.1:1")
    with pytest.raises(TypeError, match=words):
        manager.consumer(STREAM, group=GROUP)(function)


@pytest.mark.parametrize(
    ("function", "words"), [(plain, "takes an async function"), (one, "takes `async def loop")]
)
def test_a_wrong_loop_is_told_at_once(function: Any, words: str) -> None:
    manager = RedisManager(url="redis://127.0.0.1:1")
    with pytest.raises(TypeError, match=words):
        manager.background(function)


def test_wrong_options_are_told_at_once() -> None:
    manager = RedisManager(url="redis://127.0.0.1:1")
    with pytest.raises(ValueError, match="batch must be"):
        manager.consumer(STREAM, group=GROUP, batch=0)
    with pytest.raises(ValueError, match="concurrency must be"):
        manager.consumer(STREAM, group=GROUP, concurrency=0)
    with pytest.raises(TypeError, match="needs the key of a stream"):
        manager.consumer(group=GROUP)


def test_whatever_can_be_awaited_is_taken() -> None:
    manager = RedisManager(url="redis://127.0.0.1:1")
    manager.consumer(STREAM, group=GROUP)(Callable())
    manager.consumer(STREAM, group=GROUP)(functools.partial(one))
