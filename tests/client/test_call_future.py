"""A call as the future that it becomes, and the facts of CPython that this stands on."""

import asyncio
import contextvars
import inspect
import io
import sys
import types
from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from typing import Any

import pytest
import tornado.gen

from redis_manager_fastapi import ClientEndedError, RedisManager
from redis_manager_fastapi.client.call import Call, CommandFuture
from redis_manager_fastapi.client.call_future import ISFUTURE, change_type
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.managers import opened
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("pipelining")


@pytest.fixture
async def manager(redis_url: str) -> AsyncIterator[RedisManager]:
    async with RedisManager(url=redis_url) as manager:
        yield manager


async def test_asyncio_sends_it_by_asking_whether_it_is_a_future(manager: RedisManager) -> None:
    call: Any = manager.redis.incr("counter")

    assert asyncio.isfuture(call)

    assert manager.stats().in_flight == 1
    assert type(call) is CommandFuture
    assert not inspect.iscoroutine(call)
    assert not asyncio.iscoroutine(call)
    assert await call == await call == 1


async def test_asyncio_is_told_no_of_what_cannot_leave_now(manager: RedisManager) -> None:
    call: Any = manager.redis.set("large", b"x" * 100_000)

    assert not asyncio.isfuture(call)

    assert inspect.iscoroutine(call)
    assert await call is True
    assert not asyncio.isfuture(call)


# What a task's user asks: `ensure_future` is known to return one.


async def test_it_does_what_a_task_does(manager: RedisManager) -> None:
    future: Any = asyncio.ensure_future(manager.redis.get("key"))

    public = {name for name in dir(asyncio.Task) if not name.startswith("_")}
    assert {name for name in public if not hasattr(future, name)} == set()
    assert future.get_name() == "GET"
    future.set_name("first")
    assert future.get_name() == "first"
    assert future.get_coro().__name__ == "GET"
    assert isinstance(future.get_context(), contextvars.Context)
    assert future.get_stack() == future.get_stack(limit=1) == []
    written = io.StringIO()
    future.print_stack(limit=1, file=written)
    assert written.getvalue() == "No stack for <CommandFuture GET in flight>\n"
    future._log_destroy_pending = False  # as some do who give up a task
    assert (future.cancelling(), future.uncancel()) == (0, 0)
    assert await future is None


async def test_it_counts_its_cancellation(manager: RedisManager) -> None:
    future: Any = asyncio.ensure_future(manager.redis.get("key"))

    assert future.cancel("enough")

    assert (future.cancelling(), future.cancelled()) == (1, True)
    assert not future.cancel()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await future


# By its type it is a future: those who ask that and no more find one, too.


async def test_tornado_waits_for_many(manager: RedisManager) -> None:
    gen: Any = tornado.gen
    r = manager.redis
    calls: dict[str, Any] = {"set": r.set("key", "value"), "large": r.set("l", b"x" * 100_000)}

    assert await gen.multi(calls) == {"set": True, "large": True}
    assert await gen.multi([r.get("key"), r.strlen("l"), r.get("key")]) == [
        "value",
        100_000,
        "value",
    ]
    assert await gen.with_timeout(timedelta(seconds=5), r.get("key")) == "value"


@pytest.mark.parametrize("size", [1, 100_000], ids=["leaves", "waits"])
async def test_used_as_a_future_it_is_one(manager: RedisManager, size: int) -> None:
    told: list[Any] = []
    call: Any = manager.redis.set("key", b"x" * size)
    assert isinstance(call, asyncio.Future)
    assert not call.done()
    assert not call.cancelled()

    call.add_done_callback(told.append)
    await until(call.done)

    assert call.result() is await call is True
    assert told == [call]
    assert call.get_loop() is asyncio.get_running_loop()


@pytest.mark.parametrize("size", [1, 100_000], ids=["leaves", "waits"])
async def test_cancelled_as_a_future_it_is_not_sent(manager: RedisManager, size: int) -> None:
    call: Any = manager.redis.append("key", b"x" * size)

    assert call.cancel("enough")

    with pytest.raises(asyncio.CancelledError, match="enough"):
        await call
    assert await manager.redis.get("key") is None


async def test_an_error_is_the_futures(manager: RedisManager) -> None:
    async with manager.client() as ended:
        pass
    call: Any = ended.get("key")
    assert call.get_loop() is asyncio.get_running_loop()

    with pytest.raises(ClientEndedError):
        await call


async def test_what_was_awaited_becomes_no_future(manager: RedisManager) -> None:
    call: Any = manager.redis.get("key")
    await call

    for use in (lambda: call.add_done_callback(print), call.cancel, call.get_loop):
        with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
            use()


async def test_what_waits_for_its_value_is_cancelled_with_it(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as manager:
        tasks = asyncio.all_tasks()
        call: Any = manager.redis.set("large", b"x" * 100_000)
        redis_server.pause()
        call.add_done_callback(lambda _: None)
        await until(lambda: manager.stats().opening == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: asyncio.all_tasks() <= tasks)
        redis_server.resume()


# Read in CPython 3.11.7, 3.12.1 and 3.13.0.


def test_isfuture_is_python_code_that_asks_for_the_class_first() -> None:
    asked: list[Any] = []

    class Asked:
        @property  # type: ignore[misc]  # it cannot be set
        def __class__(self) -> Any:
            asked.append(inspect.currentframe().f_back.f_code)  # type: ignore[union-attr]
            return types.CoroutineType

        @property
        def _asyncio_future_blocking(self) -> bool:
            raise AssertionError("asked of what has no such class")

    assert not asyncio.isfuture(Asked())
    assert asked == [ISFUTURE]


def test_isinstance_goes_by_the_class_that_is_shown_too() -> None:
    class Shown:
        __class__: Any = types.CoroutineType

    shown: Any = Shown()

    assert inspect.iscoroutine(shown)
    assert isinstance(shown, Shown)
    assert not hasattr(types.CoroutineType, "_asyncio_future_blocking")


async def test_a_future_begins_when_it_is_initialized() -> None:
    future = asyncio.Future.__new__(asyncio.Future)

    assert not future.done()
    assert not future.cancelled()
    for use in (future.result, future.get_loop, future.cancel):
        with pytest.raises((RuntimeError, asyncio.InvalidStateError), match="not initialized"):
            use()


async def test_one_type_of_a_layout_is_changed_to_another() -> None:
    call: Any = asyncio.Future.__new__(Call)
    call.future = call

    change_type(call, CommandFuture)

    assert type(call) is call.__class__ is CommandFuture


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asks for it from 3.12 on")
async def test_the_repr_of_a_task_asks_for_the_truth_of_its_coroutine() -> None:
    asked: list[str] = []

    class Asked(Coroutine[Any, Any, None]):
        def __bool__(self) -> bool:
            frame: Any = sys._getframe(1)
            asked.append(frame.f_globals["__name__"])
            return True

        def __await__(self) -> Any:
            yield

        def send(self, value: Any) -> Any:
            raise StopIteration

        def throw(self, *error: Any) -> Any:
            raise error[0]

        def close(self) -> None:
            pass

    task = asyncio.create_task(Asked())
    repr(task)
    await task

    assert asked == ["asyncio.base_tasks"]
