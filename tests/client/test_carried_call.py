"""A command that a coroutine carries out: it is one, with the words for a forgotten `await`."""

import copy
import gc
import inspect
import pickle
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import fastapi
import fastapi.testclient
import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.tracing import instrument
from tests.kit.collecting import collected
from tests.kit.spans import Recorder


@pytest.fixture
async def manager(redis_url: str) -> AsyncIterator[RedisManager]:
    async with RedisManager(url=redis_url) as manager:
        yield manager


def dedicated(manager: RedisManager) -> Any:
    return manager.redis.with_options(dedicated=True)


def pinned(manager: RedisManager) -> Any:
    return manager.redis.client()


def traced(manager: RedisManager) -> Any:
    instrument(manager, Recorder().provider)
    return manager.redis


CLIENTS = pytest.mark.parametrize("client_of", [dedicated, pinned, traced])


@CLIENTS
@pytest.mark.parametrize(
    "use",
    [
        bool,
        int,
        list,
        len,
        lambda call: call == 1,
        lambda call: "a" in call,
        lambda call: call[0],
        lambda call: call + 1,
    ],
)
async def test_a_forgotten_await_is_named(
    manager: RedisManager, client_of: Callable[[RedisManager], Any], use: Callable[[Any], Any]
) -> None:
    async with client_of(manager) as r:
        call = r.exists("key")

        with pytest.raises(TypeError, match=r"^EXISTS was not awaited"):
            use(call)
        assert await call == 0
        assert call  # as any coroutine, to those who show tasks
        with pytest.raises(TypeError, match=r"^the reply to EXISTS is what `await` returned"):
            list(call)


@CLIENTS
async def test_looked_at_it_is_not_sent(
    manager: RedisManager, client_of: Callable[[RedisManager], Any]
) -> None:
    async with client_of(manager) as r:
        call: Any = r.lpush("list", "a")

        inspect.getmembers(call)
        assert repr(call) == "<CarriedCall LPUSH not awaited>"
        assert inspect.iscoroutine(call)
        assert inspect.getcoroutinestate(call) == inspect.CORO_CREATED
        frame = call.cr_frame
        assert frame is not None
        assert call.cr_code is frame.f_code
        assert (call.cr_await, call.cr_running, call.cr_suspended) == (None, False, False)
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                attempt(call)
        assert await call == 1
        assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED
        assert repr(call) == "<CarriedCall LPUSH done>"
        with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited"):
            await call


@CLIENTS
async def test_never_awaited_it_says_so_once(
    manager: RedisManager, client_of: Callable[[RedisManager], Any]
) -> None:
    async with client_of(manager) as r:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cycle = [r.lpush("list", "a")]
            cycle.append(cycle)
            del cycle
            gc.collect()

    assert [str(each.message) for each in caught] == ["LPUSH was never awaited, so it was not sent"]
    assert await manager.redis.llen("list") == 0


async def test_a_command_in_one_text_shows_its_first_word_alone(manager: RedisManager) -> None:
    for args, name in (
        (("AUTH hunter2",), "AUTH"),
        ((b"auth", "hunter2"), "AUTH"),
        ((), "a command"),
    ):
        call: Any = manager.redis.execute_command(*args)
        with pytest.raises(TypeError, match=f"^{name} was not awaited") as caught:
            bool(call)
        assert "hunter2" not in f"{caught.value} {call!r}"
        call.close()


_manager = RedisManager()


def exists() -> Any:
    return _manager.redis.with_options(dedicated=True).exists("key")


def test_a_route_that_forgets_to_await_hears_of_it() -> None:
    app = fastapi.FastAPI()
    app.get("/")(exists)

    with (
        pytest.warns(RuntimeWarning, match="EXISTS was never awaited, so it was not sent"),
        collected(),
        pytest.raises(ValueError, match="EXISTS was not awaited"),
    ):
        fastapi.testclient.TestClient(app).get("/")
