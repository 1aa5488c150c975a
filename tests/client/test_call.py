"""What a client's method returns: to be awaited as redis-py's coroutine, or taken for a future."""

import asyncio
import contextvars
import gc
import inspect
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest
from redis.exceptions import DataError, ResponseError

from redis_manager_fastapi import (
    ClientEndedError,
    CommandTimeoutError,
    RedisManager,
    RedisNotStartedError,
    ReplyLostError,
)
from redis_manager_fastapi.client.call import CommandFuture
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.managers import opened, pool_of
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("pipelining")


@pytest.fixture
async def manager(redis_url: str) -> AsyncIterator[RedisManager]:
    async with RedisManager(url=redis_url) as manager:
        yield manager


def coroutine(call: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    """The call as what it is; redis-py's annotations only promise that it can be awaited."""
    assert isinstance(call, Coroutine)
    return call


def sent_commands(manager: RedisManager) -> int:
    """How many commands are queued, or on their way, on the shared connection."""
    return manager.stats().in_flight


# Gathered, it needs no task.


async def test_gathered_commands_need_no_tasks(
    manager: RedisManager, made: list[asyncio.Task[Any]]
) -> None:
    await manager.redis.mset({f"key {number}": str(number) for number in range(10)})
    made.clear()

    values = await asyncio.gather(*(manager.redis.get(f"key {number}") for number in range(10)))

    assert values == [str(number) for number in range(10)]
    assert made == []


async def test_gathered_commands_are_parsed_like_awaited_ones(manager: RedisManager) -> None:
    r = manager.redis
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: r.set("string", "1"),
        lambda: r.incr("string"),
        lambda: r.hset("hash", mapping={"a": "1", "b": "2"}),
        lambda: r.hgetall("hash"),
        lambda: r.zadd("sorted", {"a": 1.5}),
        lambda: r.zrange("sorted", 0, -1, withscores=True),
        lambda: r.sadd("set", "a"),
        lambda: r.smembers("set"),
        lambda: r.info("server"),
        lambda: r.dump("hash"),
        lambda: r.object("encoding", "nothing"),
        lambda: r.scan(0),
    ]
    gathered = await asyncio.gather(*(call() for call in calls))
    await r.delete("string", "hash", "sorted", "set")
    awaited = [await call() for call in calls]

    kinds = [type(value) for value in awaited]
    assert [type(value) for value in gathered] == kinds
    assert gathered[:8] == awaited[:8]


async def test_one_error_is_one_callers_own(manager: RedisManager) -> None:
    await manager.redis.set("string", "text")

    outcomes: Any = await asyncio.gather(
        manager.redis.get("string"),
        manager.redis.incr("string"),
        manager.redis.get("string"),
        manager.redis.lpush("string", "a"),
        return_exceptions=True,
    )

    assert outcomes[0] == outcomes[2] == "text"
    assert isinstance(outcomes[1], ResponseError)
    assert "WRONGTYPE" in str(outcomes[3])
    with pytest.raises(ResponseError, match="not an integer"):
        await asyncio.gather(manager.redis.incr("string"), manager.redis.get("string"))


async def test_what_cannot_leave_now_is_met_when_it_is_awaited(manager: RedisManager) -> None:
    """No error comes from `gather` itself, as none would with a coroutine."""
    async with manager.client() as ended:
        pass
    gathered = asyncio.gather(
        manager.redis.set("key", None),  # type: ignore[call-overload]
        ended.get("key"),
        RedisManager().redis.get("key"),
        manager.redis.execute_command(),
        manager.redis.with_options(dedicated=True).get("none"),
        manager.redis.set("large", b"x" * 100_000),
        manager.redis.client_id(),
        return_exceptions=True,
    )
    outcomes: list[Any] = await gathered

    kinds = [DataError, ClientEndedError, RedisNotStartedError, IndexError]
    assert [type(outcome) for outcome in outcomes[:4]] == kinds
    assert outcomes[4:6] == [None, True]
    assert isinstance(outcomes[6], int)


async def test_more_than_the_connection_takes_waits_for_room(redis_url: str) -> None:
    settings: Any = {"pipelining": {"max_in_flight": 8}}
    async with opened(redis_url, **settings) as manager:
        tokens = [str(number) for number in range(100)]
        assert await asyncio.gather(*map(manager.redis.echo, tokens)) == tokens


# Taken for a future.


async def test_it_is_the_future_that_others_expect(manager: RedisManager) -> None:
    await manager.redis.set("key", "value")
    told: list[Any] = []

    future = asyncio.ensure_future(manager.redis.get("key"))
    future.add_done_callback(told.append)
    assert not future.done()
    with pytest.raises(asyncio.InvalidStateError):
        future.result()
    await until(future.done)

    assert future.result() == await future == await future == "value"
    assert future.exception() is None
    assert told == [future]
    assert not future.cancelled()
    assert await asyncio.shield(manager.redis.get("key")) == "value"
    assert await asyncio.wait_for(manager.redis.get("key"), 5) == "value"
    first = await next(iter(asyncio.as_completed([manager.redis.get("key")])))
    assert first == "value"
    futures = [asyncio.ensure_future(manager.redis.get("key"))]
    assert not asyncio.iscoroutine(futures[0])
    done, waiting = await asyncio.wait(futures)
    assert [each.result() for each in done] == ["value"]
    assert not waiting


async def test_a_cancelled_future_is_not_written(manager: RedisManager) -> None:
    cancelled = asyncio.ensure_future(manager.redis.incr("counter"))
    kept = asyncio.ensure_future(manager.redis.incr("counter"))
    cancelled.cancel("enough")

    with pytest.raises(asyncio.CancelledError, match="enough"):
        await cancelled
    assert await kept == 1
    assert cancelled.cancelled()


async def test_a_gather_that_is_cancelled_leaves_nothing(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as manager:
        redis_server.pause()
        gathered = asyncio.gather(*(manager.redis.get("key") for _ in range(10)))
        await asyncio.sleep(0.01)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        redis_server.resume()

        assert await asyncio.wait_for(manager.redis.echo("in step"), 5) == "in step"
        assert sent_commands(manager) == 0


async def test_an_error_that_nobody_saw_is_reported(
    manager: RedisManager, complaints: list[dict[str, Any]]
) -> None:
    await manager.redis.set("string", "text")

    futures = [asyncio.ensure_future(manager.redis.incr("string")) for _ in range(2)]
    await until(lambda: all(future.done() for future in futures))
    assert isinstance(futures.pop().exception(), ResponseError)
    futures.clear()
    gc.collect()

    messages = [context["message"] for context in complaints]
    assert messages == ["CommandFuture exception was never retrieved"]


# As a coroutine.


async def test_a_task_can_be_made_of_it(manager: RedisManager) -> None:
    await manager.redis.set("key", "value")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine(manager.redis.get("key"))) for _ in range(3)]
        dedicated = manager.redis.with_options(dedicated=True)
        slow = group.create_task(coroutine(dedicated.get("none")))
    assert [task.result() for task in tasks] == ["value"] * 3
    assert slow.result() is None
    assert "GET" in repr(tasks[0])

    async with anyio.create_task_group() as crowd:
        command: Any = manager.redis.set
        crowd.start_soon(command, "other", "1")
    assert await manager.redis.get("other") == "1"


async def test_a_task_that_is_cancelled_before_it_runs_sends_nothing(
    manager: RedisManager,
) -> None:
    task = asyncio.create_task(coroutine(manager.redis.incr("counter")))
    task.cancel()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(asyncio.CancelledError):
            await task
        coroutine(manager.redis.incr("counter")).close()

    assert await manager.redis.get("counter") is None


async def test_a_command_that_is_never_awaited_is_not_sent_and_says_so(
    manager: RedisManager,
) -> None:
    with pytest.warns(RuntimeWarning, match="SET was never awaited, so it was not sent"):
        manager.redis.set("key", "value")  # type: ignore[unused-coroutine]

    assert await manager.redis.get("key") is None


async def test_redis_py_takes_a_command_that_is_not_listed_for_a_coroutine(
    manager: RedisManager,
) -> None:
    """redis-py 8.1's XREAD and XREADGROUP ask `inspect.iscoroutine`, and measure nothing else."""
    await manager.redis.xadd("stream", {"a": "1"})
    call = manager.redis.xread({"stream": 0})
    assert inspect.iscoroutine(call)
    assert len(await call)


@pytest.mark.parametrize("command", ["get", "client_id"])
async def test_it_is_awaited_once(manager: RedisManager, command: str) -> None:
    call = manager.redis.get("key") if command == "get" else manager.redis.client_id()
    await call
    coroutine(call).close()

    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        await call
    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        await asyncio.gather(call)


def test_a_loop_that_does_not_run_yet_takes_it(redis_url: str) -> None:
    with asyncio.Runner() as runner:
        manager = RedisManager(url=redis_url)
        runner.run(manager.open())
        try:
            assert runner.run(manager.redis.set("key", "value")) is True
            assert runner.get_loop().run_until_complete(manager.redis.get("key")) == "value"
        finally:
            runner.run(manager.aclose())


async def test_another_thread_hands_it_to_the_loop(manager: RedisManager) -> None:
    await manager.redis.set("key", "value")
    loop = asyncio.get_running_loop()

    def ask() -> Any:
        call = coroutine(manager.redis.get("key"))
        return asyncio.run_coroutine_threadsafe(call, loop).result(5)

    assert await asyncio.to_thread(ask) == "value"


async def test_another_loop_is_refused_by_either_way(manager: RedisManager) -> None:
    def ask() -> list[Any]:
        async def both() -> list[Any]:
            gathered = asyncio.gather(manager.redis.get("key"), return_exceptions=True)
            try:
                return [await manager.redis.get("key")]
            except RedisNotStartedError as error:
                return [error, *await gathered]

        return asyncio.run(both())

    refused = await asyncio.to_thread(ask)
    assert [type(error) for error in refused] == [RedisNotStartedError] * 2


# What goes wrong on the way.


@pytest.mark.parametrize("gathered", [False, True], ids=["awaited", "gathered"])
async def test_reads_and_writes_keep_the_contract(
    redis_server: RedisServer, gathered: bool
) -> None:
    """A read that was sent is sent again, a write is reported, whichever way it was waited for."""

    async def wait(call: Awaitable[Any]) -> Any:
        return (await asyncio.gather(call))[0] if gathered else await call

    async with opened(redis_server.url) as manager:
        redis_server.pause()
        read = asyncio.create_task(wait(manager.redis.get("key")))
        write = asyncio.create_task(wait(manager.redis.incr("key")))
        await until(lambda: sent_commands(manager) == 2)
        await redis_server.kill()
        await until(lambda: not manager.is_ready)
        unsent = asyncio.create_task(wait(manager.redis.echo("unsent")))
        await redis_server.start()

        assert await read is None
        assert await unsent == "unsent"
        with pytest.raises(ReplyLostError) as raised:
            await write
        assert raised.value.maybe_executed


@pytest.mark.parametrize("gathered", [False, True], ids=["awaited", "gathered"])
async def test_a_deadline_is_kept(redis_server: RedisServer, gathered: bool) -> None:
    settings: Any = {"timeout": {"command": 0.2}, "health": {"interval": 5, "timeout": 5}}
    async with opened(redis_server.url, **settings) as manager:
        redis_server.pause()
        call: Awaitable[Any] = manager.redis.incr("key")
        with pytest.raises(CommandTimeoutError) as raised:
            await (asyncio.gather(call) if gathered else call)
        redis_server.resume()
        assert raised.value.maybe_executed
        await until(lambda: sent_commands(manager) == 0)


@pytest.mark.parametrize("gathered", [False, True], ids=["awaited", "gathered"])
async def test_a_caller_that_leaves_in_an_outage_leaves_nothing(
    redis_server: RedisServer, gathered: bool
) -> None:
    async with opened(redis_server.url, outage={"grace": 5}) as manager:
        tasks = asyncio.all_tasks()
        redis_server.pause()
        call: Awaitable[Any] = manager.redis.get("key")
        waiting: asyncio.Future[Any] = (
            asyncio.gather(call) if gathered else asyncio.create_task(coroutine(call))
        )
        await until(lambda: sent_commands(manager) == 1)
        await redis_server.kill()
        await until(lambda: manager.stats().waiting == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        await until(lambda: manager.stats().waiting == 0)
        await until(lambda: asyncio.all_tasks() <= tasks)
        await redis_server.start()


@pytest.mark.parametrize("gathered", [False, True], ids=["awaited", "gathered"])
async def test_a_connection_is_rid_of_what_has_expired(
    redis_server: RedisServer, gathered: bool
) -> None:
    """A retired connection closes with its last deadline, before the caller has even heard."""
    settings: Any = {"timeout": {"command": 0.2}, "health": {"interval": 5, "timeout": 5}}
    async with opened(redis_server.url, **settings) as manager:
        (link,) = pool_of(manager).links
        redis_server.pause()
        call: Awaitable[Any] = manager.redis.incr("key")
        asked = asyncio.gather(call) if gathered else asyncio.create_task(coroutine(call))
        await asyncio.sleep(0)
        link.retire()
        with pytest.raises(CommandTimeoutError):
            await asked
        assert link.lost
        redis_server.resume()


@pytest.mark.parametrize("gathered", [False, True], ids=["awaited", "gathered"])
async def test_what_expired_unsent_is_never_written(manager: RedisManager, gathered: bool) -> None:
    (link,) = pool_of(manager).links
    link.pause_writing()
    call: Awaitable[Any] = manager.redis.incr("key")
    asked = asyncio.gather(call) if gathered else asyncio.create_task(coroutine(call))
    await asyncio.sleep(0)
    request: Any = link._queue[0]
    request.deadline = asyncio.get_running_loop().time()
    link._expire(request.deadline)
    link.resume_writing()  # before the caller has heard

    with pytest.raises(CommandTimeoutError) as raised:
        await asked
    assert not raised.value.maybe_executed
    assert await manager.redis.get("key") is None


async def test_what_is_kept_of_a_future_is_its_value(manager: RedisManager) -> None:
    kept = asyncio.ensure_future(manager.redis.set("key", "x" * 50_000))
    cancelled = asyncio.ensure_future(manager.redis.get("key"))
    cancelled.cancel()
    seen = weakref.ref(cancelled)
    gc.disable()
    try:
        del cancelled
        await kept
        assert isinstance(kept, CommandFuture)
        assert kept.packed == b""
        assert seen() is None
    finally:
        gc.enable()


class Later:
    """A value that has to be awaited, as redis-py's callbacks may return one."""

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return "later"


def broken(reply: Any, **options: Any) -> Any:
    raise StopIteration(reply)


class Attributes(dict[str, Any]):
    """Values in the manner of some users: every missing attribute is a KeyError."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


def cancelling(reply: Any, **options: Any) -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize("gathered", [False, True], ids=["awaited", "gathered"])
@pytest.mark.parametrize(
    ("callback", "error"),
    [
        (broken, RuntimeError),
        (cancelling, asyncio.CancelledError),
        (lambda _reply, **_options: Attributes(), KeyError),
    ],
)
async def test_no_callback_harms_the_connection(
    manager: RedisManager, callback: Any, error: type[BaseException], gathered: bool
) -> None:
    """Also one that was put past `set_response_callback`, and runs between others' replies."""
    client: Any = manager.redis.with_options()
    client.response_callbacks = dict(client.response_callbacks) | {"ECHO": callback}

    async def ask() -> None:
        await (asyncio.gather(client.echo("text")) if gathered else client.echo("text"))

    outcome, other = await asyncio.wait_for(
        asyncio.gather(ask(), manager.redis.incr("key"), return_exceptions=True), 5
    )
    assert isinstance(outcome, error)
    assert other == 1
    assert pool_of(manager).generation == 1


tenant = contextvars.ContextVar("tenant", default="nobody")


@pytest.mark.parametrize("gathered", [False, True], ids=["awaited", "gathered"])
async def test_a_callback_runs_in_its_callers_context(
    manager: RedisManager, gathered: bool
) -> None:
    client: Any = manager.redis.with_options()
    client.set_response_callback("get", lambda _reply, **_options: tenant.get())
    tenant.set("alice")

    value = await (asyncio.gather(client.get("key")) if gathered else client.get("key"))

    assert value == (["alice"] if gathered else "alice")
    assert await manager.redis.get("key") is None


@pytest.mark.parametrize("gathered", [False, True], ids=["awaited", "gathered"])
async def test_callbacks_may_wait_and_fail(manager: RedisManager, gathered: bool) -> None:
    """A callback's failure is its caller's, and the connection's other callers do not notice."""
    client: Any = manager.redis.with_options()
    client.set_response_callback("GET", lambda _reply, **_options: Later())
    client.set_response_callback("ECHO", broken)
    client.set_response_callback("STRLEN", lambda reply, **_options: 1 // reply)
    calls = (client.get("key"), client.echo("text"), client.strlen("key"), client.exists("key"))

    outcomes: Any = []
    if gathered:
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    else:
        for call in calls:
            try:
                outcomes.append(await call)
            except Exception as error:
                outcomes.append(error)

    assert outcomes[0] == "later"
    assert type(outcomes[1]) is RuntimeError
    assert type(outcomes[2]) is ZeroDivisionError
    assert outcomes[3] == 0
    assert pool_of(manager).generation == 1
