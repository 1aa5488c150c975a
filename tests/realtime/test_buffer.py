import asyncio

import pytest
from pydantic import BaseModel, ValidationError

from redis_manager_fastapi.realtime.buffer import TOO_SLOW, Buffer, Overflow
from redis_manager_fastapi.realtime.items import Gap, Message, StreamEntry


class TooSlowError(Exception):
    pass


def buffer(size: int = 3, overflow: Overflow = "drop") -> Buffer[int]:
    return Buffer(size, overflow, TooSlowError)


async def taken(queue: Buffer[int], many: int) -> list[int | Gap]:
    return [await queue.take() for _ in range(many)]


async def test_items_come_in_order() -> None:
    queue = buffer()
    waiting = asyncio.create_task(taken(queue, 3))
    for number in range(3):
        queue.put(number)
        await asyncio.sleep(0)
    assert await waiting == [0, 1, 2]


async def test_what_is_dropped_is_told_before_what_is_left() -> None:
    queue = buffer()
    for number in range(5):
        queue.put(number)
    assert await taken(queue, 4) == [Gap(TOO_SLOW, dropped=2), 2, 3, 4]
    assert queue.dropped == 2


async def test_a_break_is_told_after_what_came_before_it() -> None:
    queue = buffer()
    queue.put(1)
    queue.put_gap(Gap("it broke", 0.5))
    queue.put_gap(Gap("it broke", 0.25))
    queue.put(2)
    assert await taken(queue, 3) == [1, Gap("it broke", 0.75), 2]


async def test_a_break_that_is_dropped_is_told_with_what_was_dropped() -> None:
    queue = buffer(2)
    queue.put_gap(Gap("it broke", 0.5))
    for number in range(3):
        queue.put(number)
    gap, *rest = await taken(queue, 3)
    assert gap == Gap(f"it broke; {TOO_SLOW}", 0.5, 1)
    assert rest == [1, 2]


async def test_a_listener_that_may_lose_nothing_ends() -> None:
    queue = buffer(overflow="end")
    for number in range(4):
        queue.put(number)
    with pytest.raises(TooSlowError):
        await queue.take()


async def test_an_end_leaves_time_for_what_is_here() -> None:
    queue = buffer()
    queue.put(1)
    queue.put(2)
    queue.end(asyncio.get_running_loop().time() + 60)
    queue.put(3)
    assert await taken(queue, 2) == [1, 2]
    with pytest.raises(StopAsyncIteration):
        await queue.take()


async def test_an_end_at_once_ends_at_once() -> None:
    queue = buffer()
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.end(asyncio.get_running_loop().time())
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_a_cancelled_listener_loses_nothing() -> None:
    queue = buffer()
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.put(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await queue.take() == 1


class Order(BaseModel):
    number: int


def test_items_are_validated_as_models() -> None:
    assert Message("c", '{"number": 5}').parse(Order) == Order(number=5)
    assert StreamEntry("s", "1-0", {"number": "5"}).parse(Order) == Order(number=5)
    assert StreamEntry("s", "1-0", {"body": '{"number": 5}'}).parse(Order, "body").number == 5
    with pytest.raises(ValidationError):
        Message("c", "{}").parse(Order)
    with pytest.raises(ValidationError):
        StreamEntry("s", "1-0", {}).parse(Order, "body")
