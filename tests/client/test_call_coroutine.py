"""A call as whoever looks at it sees it: a coroutine, which is sent by being awaited alone."""

import asyncio
import copy
import functools
import inspect
import logging
import pickle
import pprint
import reprlib
import sys
import types
import warnings
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
    Sequence,
)
from typing import Any
from unittest import mock

import anyio
import fastapi
import fastapi.testclient
import pytest
from fastapi.encoders import jsonable_encoder
from redis.exceptions import DataError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.call import Call
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.collecting import collected
from tests.kit.managers import opened
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("pipelining")


@pytest.fixture
async def manager(redis_url: str) -> AsyncIterator[RedisManager]:
    async with RedisManager(url=redis_url) as manager:
        yield manager


async def plain() -> None:
    """A coroutine to compare with."""
    await asyncio.sleep(0)


def made_plain(_: RedisManager) -> Any:
    return plain()


def made_call(manager: RedisManager) -> Any:
    return manager.redis.lpush("list", "a")


def made_of_a_coroutine(manager: RedisManager) -> Any:
    return manager.redis.with_options(dedicated=True).lpush("list", "a")


# Looked at, it is not sent.


def every_name(call: Any) -> None:
    for name in {*dir(call), *(name for base in type(call).__mro__ for name in vars(base))}:
        hasattr(call, name)


def asked_as_asyncio_asks(call: Any) -> None:
    """The words of `asyncio.isfuture`, in somebody else's mouth."""
    assert not hasattr(call.__class__, "_asyncio_future_blocking")


LOOKS: list[Callable[[Any], Any]] = [
    inspect.getmembers,
    inspect.getmembers_static,
    every_name,
    asked_as_asyncio_asks,
    pprint.pformat,
    reprlib.repr,
    mock.create_autospec,
    inspect.isawaitable,
    inspect.iscoroutine,
    inspect.isgenerator,
    inspect.iscoroutinefunction,
    inspect.getcoroutinestate,
    inspect.getcoroutinelocals,
    asyncio.iscoroutine,
    sys.getsizeof,
    callable,
    hash,
    lambda call: logging.getLogger().info("%s", call),
    lambda call: [isinstance(call, kind) for kind in (Mapping, Sequence, Awaitable, dict)],
    functools.singledispatch(lambda call: None),
    lambda call: (call == object(), call is None, f"{call} {call!r}"),
]


@pytest.mark.parametrize("look", LOOKS)
async def test_no_look_sends_it(manager: RedisManager, look: Callable[[Any], Any]) -> None:
    call: Any = manager.redis.lpush("list", "a")

    look(call)

    assert call.future is None
    assert repr(call) == "<Call LPUSH not awaited>"
    assert manager.stats().in_flight == 0
    assert await call == 1


async def test_its_names_are_a_coroutines(manager: RedisManager) -> None:
    coroutine = plain()
    call = manager.redis.get("key")

    assert dir(call) == dir(coroutine)
    missing = {name for name in dir(coroutine) if not hasattr(call, name)}
    assert missing <= {"__qualname__"}  # a class cannot have a property of this name
    await coroutine
    await call


async def test_it_cannot_be_copied_or_stored(manager: RedisManager) -> None:
    call = manager.redis.get("key")

    for attempt in (copy.copy, copy.deepcopy, pickle.dumps, vars):
        with pytest.raises(TypeError):
            attempt(call)
    await call


# Asked what it is, it is a coroutine.


async def test_it_is_a_coroutine(manager: RedisManager) -> None:
    call: Any = manager.redis.get("key")

    assert inspect.iscoroutine(call)
    assert asyncio.iscoroutine(call)
    assert inspect.isawaitable(call)
    assert isinstance(call, types.CoroutineType)
    assert isinstance(call, Coroutine)
    assert not inspect.isgenerator(call)
    kind: Any = type(call)
    assert kind is Call
    assert await call is None
    assert inspect.iscoroutine(call)


async def test_its_method_is_a_coroutine_function(manager: RedisManager) -> None:
    """Starlette's background tasks, and whoever asks, would else call it in a thread."""
    execute = manager.redis.execute_command
    assert inspect.iscoroutinefunction(execute)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert asyncio.iscoroutinefunction(execute)
        assert asyncio.iscoroutinefunction(functools.partial(execute, "PING"))
    assert await execute("PING")


async def test_the_state_of_one_that_leaves_at_once(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as manager:
        call: Any = manager.redis.get("key")
        assert inspect.getcoroutinestate(call) == inspect.CORO_CREATED
        assert inspect.getcoroutinelocals(call) == {"self": call}
        assert (call.cr_await, call.cr_origin, call.cr_running) == (None, None, False)
        assert call.cr_code is call.cr_frame.f_code
        redis_server.pause()
        task = asyncio.create_task(call)
        await until(lambda: manager.stats().in_flight == 1)

        assert inspect.getcoroutinestate(call) == inspect.CORO_SUSPENDED
        assert isinstance(call.cr_await, asyncio.Future)
        assert [frame.f_code for frame in task.get_stack()] == [call.cr_code]
        assert repr(call) == "<Call GET in flight>"

        redis_server.resume()
        assert await task is None
        assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
        assert call.cr_frame is call.cr_await is None
        assert repr(call) == "<Call GET done>"


@pytest.mark.parametrize("start", ["await", "task"])
async def test_the_state_of_one_that_has_to_wait(redis_server: RedisServer, start: str) -> None:
    """It is the coroutine's that waits in its place."""
    async with opened(redis_server.url) as manager:
        client: Any = manager.redis.with_options()
        client.set_response_callback("GET", lambda reply: reply)
        call = client.get("key")

        async def wait() -> Any:
            return await call

        redis_server.pause()
        task = asyncio.create_task(wait() if start == "await" else call)
        await until(lambda: manager.stats().in_flight == 1)

        assert inspect.getcoroutinestate(call) == inspect.CORO_SUSPENDED
        assert call.cr_await.cr_code.co_name == "deliver"
        assert call.cr_frame.f_lineno > call.cr_code.co_firstlineno
        assert repr(call) == "<Call GET in flight>"

        redis_server.resume()
        assert await task is None
        assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
        assert repr(call) == "<Call GET done>"


async def test_the_state_of_one_that_is_closed(manager: RedisManager) -> None:
    call: Any = manager.redis.get("key")
    call.close()

    assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED


def closed_after_its_start(coroutine: Any) -> None:
    coroutine.send(None)
    coroutine.close()
    coroutine.close()


def left_with_an_error(coroutine: Any) -> None:
    coroutine.send(None)
    with pytest.raises(ZeroDivisionError):
        coroutine.throw(ZeroDivisionError())


def left_before_its_start(coroutine: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        coroutine.throw(ZeroDivisionError())


@pytest.mark.parametrize(
    "leave", [closed_after_its_start, left_with_an_error, left_before_its_start]
)
@pytest.mark.parametrize("made", [made_plain, made_call, made_of_a_coroutine])
async def test_what_is_left_by_hand_is_over(
    manager: RedisManager, leave: Callable[[Any], None], made: Callable[[RedisManager], Any]
) -> None:
    await manager.redis.with_options(dedicated=True).ping()  # no connection is to be opened
    coroutine = made(manager)
    leave(coroutine)

    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    for go_on in (lambda: coroutine.send(None), lambda: coroutine.throw(KeyError())):
        with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited"):
            go_on()
    with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited"):
        await coroutine
    if made is made_call:  # what was not written never is
        assert await manager.redis.llen("list") == 0


@pytest.mark.parametrize("made", [made_plain, made_call, made_of_a_coroutine])
async def test_nothing_is_sent_into_its_start(
    manager: RedisManager, made: Callable[[RedisManager], Any]
) -> None:
    coroutine = made(manager)

    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        coroutine.send(1)
    await coroutine


@pytest.mark.parametrize("made", [made_plain, made_call, made_of_a_coroutine])
async def test_a_marked_generator_goes_on_with_it(
    manager: RedisManager, made: Callable[[RedisManager], Any]
) -> None:
    def generator() -> Any:
        def delegating() -> Generator[Any, Any, Any]:
            value: Any = yield from made(manager)
            return value

        return delegating

    marked, unmarked = types.coroutine(generator()), generator()
    assert await marked() in (1, None)
    with (
        pytest.warns(RuntimeWarning, match="never awaited"),
        collected(),
        pytest.raises(TypeError),
    ):
        list(unmarked())


async def test_a_task_shows_the_command(manager: RedisManager) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    call: Any = manager.redis.get("key")
    task = asyncio.create_task(call)

    assert "coro=<GET() running at " in repr(task)
    await task
    assert "coro=<GET() done, defined at " in repr(task)


async def test_a_task_group_that_takes_coroutines_alone_takes_it(manager: RedisManager) -> None:
    """Before 4.14, anyio's asks `inspect.iscoroutine`."""
    command: Any = manager.redis.set

    async with anyio.create_task_group() as group:
        group.start_soon(command, "key", "value")

    assert await manager.redis.get("key") == "value"


# Taken for its value, it says what was forgotten.


@pytest.mark.parametrize(
    "use",
    [
        bool,
        len,
        list,
        iter,
        lambda call: call[0],
        lambda call: "member" in call,
        lambda call: [*call],
        lambda call: not call,
        lambda call: dict(call),
        int,
        float,
        complex,
        bytes,
        round,
        reversed,
        lambda call: call + 1,
        lambda call: 1 + call,
        lambda call: call - 1,
        lambda call: "text " + call,
        lambda call: call > 1,
        lambda call: -call,
        lambda call: range(10)[call],
        lambda call: call == "text",
        lambda call: call != 1,
        lambda call: call in ("a", "b"),
        lambda call: {"a"} | call,
    ],
)
async def test_a_forgotten_await_is_named(manager: RedisManager, use: Callable[[Any], Any]) -> None:
    call: Any = manager.redis.smembers("key")

    with pytest.raises(TypeError, match=r"^SMEMBERS was not awaited"):
        use(call)
    assert await call == set()


@pytest.mark.parametrize(
    "use", [lambda call: call.split(), lambda call: call.items(), lambda call: call.decode()]
)
async def test_a_method_of_a_reply_names_the_forgotten_await(
    manager: RedisManager, use: Callable[[Any], Any]
) -> None:
    call: Any = manager.redis.smembers("key")

    with pytest.raises(AttributeError, match=r"^SMEMBERS was not awaited.*no attribute"):
        use(call)
    assert not hasattr(call, "keys")
    assert await call == set()


async def test_a_call_as_an_argument_names_the_forgotten_await(manager: RedisManager) -> None:
    argument: Any = manager.redis.get("key")

    with pytest.raises(DataError, match=r"an argument is <Call GET not awaited>: write `await`"):
        await manager.redis.set("other", argument)
    await argument


async def test_a_call_equals_itself_alone(manager: RedisManager) -> None:
    call: Any = manager.redis.get("key")
    other: Any = manager.redis.get("key")

    assert call == call
    assert call != other
    assert call not in (None, other, object())
    assert {call: 1, other: 2}[other] == 2
    assert not any(await asyncio.gather(call, other))
    assert call != "text"


async def test_the_value_is_what_await_returned(manager: RedisManager) -> None:
    call: Any = manager.redis.smembers("key")
    await call

    assert call  # as any coroutine, to those who show tasks
    with pytest.raises(TypeError, match=r"^the reply to SMEMBERS is what `await` returned"):
        list(call)


async def test_a_future_has_a_futures_truth(manager: RedisManager) -> None:
    call: Any = manager.redis.exists("key")
    future = asyncio.ensure_future(call)

    assert future
    assert future is call
    assert not await future
    assert future


def exists() -> Any:
    return _manager.redis.exists("key")


def exists_untyped():  # type: ignore[no-untyped-def]  # noqa: ANN201 (FastAPI encodes it otherwise)
    return _manager.redis.exists("key")


def exists_among_others() -> dict[str, Any]:
    return {"key": _manager.redis.exists("key")}


_manager = RedisManager(pipelining={"enabled": True})  # made before a fixture could say so


@pytest.mark.parametrize("route", [exists, exists_untyped, exists_among_others])
def test_a_route_that_forgets_to_await_hears_of_it(route: Callable[[], Any]) -> None:
    app = fastapi.FastAPI()
    app.get("/")(route)

    with (
        pytest.warns(RuntimeWarning, match="EXISTS was never awaited, so it was not sent"),
        collected(),
        pytest.raises(ValueError, match="EXISTS was not awaited"),
    ):
        fastapi.testclient.TestClient(app).get("/")


async def test_what_makes_json_of_it_hears_of_it(manager: RedisManager) -> None:
    call: Any = manager.redis.exists("key")

    with pytest.raises(ValueError, match="EXISTS was not awaited"):
        jsonable_encoder(call)
    with pytest.raises(TypeError, match="coroutine is not JSON serializable"):
        fastapi.responses.JSONResponse(call)
    await call
