"""Many listeners: a message reaches them in order, and holds up nobody else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from benchmarks.realtime_subscriptions import measure_sockets
from redis_manager_fastapi import Message
from tests.kit.managers import opened
from tests.kit.waiting import until
from tests.realtime.test_subscriptions import counts

STALL = 0.03
BODY = 30e-6  # seconds of the processor for one message


class Turns:
    """Notes the longest turn of the event loop by the processor's time that it took."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._began = time.thread_time()
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._began)
        self._began = now
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def stop(self) -> None:
        self._handle.cancel()


async def test_a_huge_crowd_does_not_hold_up_the_loop(redis_url: str) -> None:
    """What comes for 10,000 listeners is handed out over many turns, and in order."""
    async with opened(redis_url) as manager, AsyncExitStack() as stack:
        crowd = [
            await stack.enter_async_context(manager.subscribe("news", buffer=100))
            for _ in range(10_000)
        ]
        async with manager.client() as r, r.pipeline(transaction=False) as pipeline:
            for number in range(30):
                pipeline.publish("news", number)
            turns = Turns()
            await pipeline.execute()
        heard = [await anext(crowd[-1]) for _ in range(30)]
        turns.stop()
        first = [await anext(crowd[0]) for _ in range(30)]
        assert counts(manager).messages == 30

    assert heard == first == [Message("news", str(number)) for number in range(30)]
    assert turns.longest < STALL


@pytest.mark.parametrize("listen", ["subscribe", "tail"])
async def test_other_work_has_its_turns_while_a_crowd_is_woken(redis_url: str, listen: str) -> None:
    """Who is woken runs before anything else does, so not all are woken at the same time."""
    woken = 0

    async def work(items: AsyncIterator[object]) -> None:
        nonlocal woken
        async for _ in items:
            woken += 1
            ends = time.thread_time() + BODY
            while time.thread_time() < ends:
                pass

    async with opened(redis_url) as manager, AsyncExitStack() as stack:
        enter = getattr(manager, listen)
        crowd = [await stack.enter_async_context(enter("news")) for _ in range(1500)]
        tasks = [asyncio.create_task(work(items)) for items in crowd]
        await asyncio.sleep(0)
        turns = Turns()
        if listen == "tail":
            await manager.redis.xadd("news", {"n": 1})
        else:
            await manager.redis.publish("news", "all")
        await until(lambda: woken == len(crowd))
        turns.stop()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    assert turns.longest < STALL


@pytest.mark.measures
async def test_websockets_of_one_process_hear_through_a_restart() -> None:
    """`scripts/realtime subscriptions` does the same with 1,000 of them."""
    found = await measure_sockets(200, 30)

    assert found.connections == 1
    assert found.published.p99 < 0.25
    assert found.again < 1.0
    assert found.gaps == 200
