"""What happens to a manager, as hooks and as an iteration."""

import asyncio
import gc
import logging

import pytest

from redis_manager_fastapi import Event, Gap, PoolState, RedisManager, StateChanged
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.realtime.events import Events
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import until_state
from tests.kit.waiting import until


def states(events: list[Event | Gap]) -> list[str]:
    return [event.state for event in events if isinstance(event, StateChanged)]


async def test_the_life_of_a_manager_is_told_to_hooks_and_to_iterations(
    redis_server: RedisServer,
) -> None:
    manager = RedisManager(url=redis_server.url)
    hooked: list[Event | Gap] = []
    told = manager.on_event(hooked.append)
    assert told == hooked.append

    async def listen() -> list[Event | Gap]:
        return [event async for event in manager.events()]

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    async with manager:
        await redis_server.restart(crash=True)
        await until(lambda: "suspect" in states(hooked))
        await until_state(manager, PoolState.READY)
    iterated = await task

    assert iterated == hooked
    assert states(iterated)[0] == "starting"
    assert states(iterated)[-2:] == ["draining", "closed"]


async def test_a_hook_that_fails_or_is_slow_to_take_reaches_nobody_else(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    manager = RedisManager(url=redis_server.url)
    heard: list[Event] = []

    @manager.on_event
    def fail(_: Event) -> None:
        raise ValueError("mine")

    @manager.on_event
    def hear(event: Event) -> None:
        heard.append(event)

    never_taken = manager.events(buffer=1)
    async with manager:
        assert await manager.redis.set("key", 1)

    assert len(heard) == 4
    assert "a listener failed on StateChanged" in caplog.text
    assert [
        event if isinstance(event, Gap) else states([event]) async for event in never_taken
    ] == [Gap("this listener is too slow", dropped=3), ["closed"]]


async def test_an_iteration_that_was_left_is_forgotten() -> None:
    bus = Bus(())
    event = StateChanged("default", "new", "starting", 0, "")
    events = Events(bus, 10)
    bus.emit(event)

    async for each in events:
        assert each == event
        break
    del events
    gc.collect()

    assert bus._listeners == ()


@pytest.mark.parametrize("size", [0, -1, True, 1.5])
def test_a_buffer_holds_something(size: int) -> None:
    with pytest.raises(ValueError, match="buffer must be a whole number above 0"):
        RedisManager().events(buffer=size)


def test_a_coroutine_function_is_no_hook() -> None:
    async def wait(event: Event) -> None: ...

    with pytest.raises(TypeError, match="on_event takes a plain function"):
        RedisManager().on_event(wait)  # type: ignore[type-var]


@pytest.mark.usefixtures("pipelining")
async def test_what_observes_answers_is_left_out_once_it_fails(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    manager = RedisManager(url=redis_server.url)
    observed: list[tuple[float, int]] = []

    def fail(seconds: float, count: int) -> None:
        raise ValueError(f"{count} in {seconds}")

    manager.on_answers(fail)
    manager.on_answers(lambda seconds, count: observed.append((seconds, count)))
    with caplog.at_level(logging.ERROR):
        async with manager:
            await asyncio.gather(*(manager.redis.set(f"key:{n}", n) for n in range(10)))
            async with manager.connection() as own:
                await own.get("key:1")
            latency = manager.stats().latency

    assert sum(count for _, count in observed) == latency.count == 11
    assert latency.total == pytest.approx(sum(seconds * count for seconds, count in observed))
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
