"""An app whose lifespan never ran, or opened another manager, says so once and clearly."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import websockets
from fastapi import FastAPI, WebSocket
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from redis_manager_fastapi import (
    PoolClosedError,
    RedisConfigError,
    RedisDep,
    RedisManager,
    RedisNotStartedError,
    RedisRegistry,
    get_manager,
    health_router,
)
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.testing import RedisServer, RunningApp
from tests.kit.serving import Serve, StartError

Run = Callable[[Any], Awaitable[RunningApp]]


def app_without_lifespan() -> FastAPI:
    app = FastAPI()
    app.include_router(health_router)

    @app.get("/")
    async def route(r: RedisDep) -> None:
        await r.get("key")

    @app.websocket("/before")
    async def before(websocket: WebSocket, r: RedisDep) -> None:
        await websocket.accept()

    @app.websocket("/after")
    async def after(websocket: WebSocket) -> None:
        await websocket.accept()
        get_manager(websocket)

    return app


async def test_error_says_how_to_fix_app_and_tests() -> None:
    """The message names the lifespan for the app, and what runs it in a test."""
    transport = httpx.ASGITransport(app_without_lifespan())
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with pytest.raises(RedisNotStartedError) as caught:
            await client.get("/")

    assert "FastAPI(lifespan=manager.lifespan)" in str(caught.value)
    assert "with TestClient(app) as client" in str(caught.value)


async def test_a_transport_without_lifespan_is_told_what_is_missing(redis_url: str) -> None:
    """The manager is open and the app has its lifespan; nobody has run that lifespan."""
    manager = RedisManager(url=redis_url)
    app = FastAPI(lifespan=manager)

    @app.get("/")
    async def route(r: RedisDep) -> None:
        await r.get("key")

    transport = httpx.ASGITransport(app)
    async with manager, httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with pytest.raises(RedisNotStartedError) as caught:
            await client.get("/")

    assert "the app's lifespan has not run" in str(caught.value)
    assert "`async with manager:` opens a manager for your own code" in str(caught.value)
    assert "httpx.ASGITransport(await run_app(app))" in str(caught.value)


@pytest.mark.parametrize("runs", ["lifespan_context", "run_app"])
async def test_a_transport_without_the_state_of_a_lifespan_that_ran_is_told_so(
    redis_url: str, run_app: Run, runs: str
) -> None:
    """The lifespan has run; what it yielded is not in the requests."""
    app = FastAPI(lifespan=RedisManager(url=redis_url))

    @app.get("/")
    async def route(r: RedisDep) -> None:
        await r.get("key")

    async with AsyncExitStack() as stack:
        if runs == "run_app":
            await run_app(app)
        else:
            await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://app")
        )
        with pytest.raises(RedisNotStartedError, match="state did not reach this") as caught:
            await client.get("/")

    assert "give ASGITransport what `run_app(app)` returned" in str(caught.value)


def test_an_app_with_another_lifespan_is_told_to_pass_the_manager_s() -> None:
    with (
        TestClient(app_without_lifespan()) as client,
        pytest.raises(RedisNotStartedError) as caught,
    ):
        client.get("/")

    assert "or it opened no Redis manager" in str(caught.value)
    assert "FastAPI(lifespan=manager.lifespan)" in str(caught.value)


async def test_request_is_answered_500_and_logged_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a mistake in the app: 500, one traceback, no Retry-After."""
    site = await serve(app_without_lifespan())
    response = await site.http.get("/")

    assert response.status_code == 500
    assert "retry-after" not in response.headers
    assert len([r for r in caplog.records if "is not started" in (r.exc_text or "")]) == 1


async def test_websocket_is_refused_with_500_or_closed_with_1011(serve: Serve) -> None:
    """Before the handshake's end the answer is 500; after it the close code is 1011."""
    site = await serve(app_without_lifespan())
    with pytest.raises(websockets.InvalidStatus) as refused:
        await site.open_websocket("/before")
    async with site.websocket("/after") as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()

    assert refused.value.response.status_code == 500
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


async def test_readiness_does_not_claim_what_nobody_knows(serve: Serve) -> None:
    """Without a manager `/readyz` fails instead of saying ready."""
    site = await serve(app_without_lifespan())

    assert (await site.http.get("/readyz")).status_code == 500
    assert (await site.http.get("/livez")).status_code == 200


async def test_manager_of_another_name_is_mentioned(serve: Serve, redis_url: str) -> None:
    """An app whose only manager is called otherwise reads its name in the error."""
    app = FastAPI(lifespan=RedisManager(url=redis_url, name="cache").lifespan)

    @app.get("/")
    async def route(connection: HTTPConnection) -> str:
        try:
            get_manager(connection)
        except RedisNotStartedError as error:
            return str(error)
        return ""

    site = await serve(app)

    assert "opened 'cache'" in (await site.http.get("/")).json()


async def test_two_managers_of_one_name_stop_the_start(
    serve: Serve, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A manager that would hide another one of the same name is a mistake in the app."""
    outer, inner = RedisManager(url=redis_url), RedisManager(url=redis_url)

    with pytest.raises(StartError):
        await serve(FastAPI(lifespan=outer.wrap(inner.lifespan)))

    assert RedisConfigError.__name__ in caplog.text
    assert outer.stats().state.value == inner.stats().state.value == "closed"


@pytest.mark.parametrize("scope", [{}, {"state": {}}])
def test_scope_without_state_is_the_same_mistake(scope: dict[str, Any]) -> None:
    """Whether the server knows lifespan state or not, the error is the same one."""
    with pytest.raises(RedisNotStartedError, match="is not started in this app"):
        get_manager(HTTPConnection({"type": "http", **scope}))


def test_test_client_runs_the_lifespan(redis_url: str) -> None:
    """Starlette's `TestClient`, entered, opens the manager; not entered, it does not."""
    app = FastAPI(lifespan=RedisManager(url=redis_url).lifespan)

    @app.get("/")
    async def route(r: RedisDep) -> int:
        return int(await r.incr("hits"))

    with TestClient(app) as client:
        assert client.get("/").json() == 1
    with pytest.raises(RedisNotStartedError):
        TestClient(app).get("/")


def test_a_manager_used_after_its_app_has_ended_is_closed(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    with TestClient(FastAPI(lifespan=manager.lifespan)):
        pass

    with pytest.raises(PoolClosedError, match="is closed"):
        asyncio.run(manager.redis.get("key"))


@pytest.mark.parametrize("timeout", [0, -1, "5", pytest.param(10**400, id="huge")])
def test_a_timeout_is_a_number_above_zero(timeout: Any) -> None:
    with pytest.raises(ValueError, match="a number of seconds above 0"):
        RedisManager().redis.with_options(timeout=timeout)


def test_a_url_is_the_first_argument_or_a_keyword() -> None:
    first = RedisManager("redis://example", pool={"max_waiting": 3})

    assert first.settings == RedisManager(url="redis://example", pool={"max_waiting": 3}).settings


def test_settings_are_given_once() -> None:
    with pytest.raises(TypeError, match="URL is given twice"):
        RedisManager("redis://example", url="redis://example")
    with pytest.raises(TypeError, match="either settings or single fields"):
        RedisManager(RedisSettings(), host="example")
    with pytest.raises(TypeError, match="neither a RedisSettings nor a URL"):
        RedisManager(6379)  # type: ignore[arg-type]


def test_a_client_is_handed_out_by_a_block() -> None:
    """`manager.client().get("key")` reads what to write instead."""
    with pytest.raises(AttributeError, match=r"'get'.*`async with manager.client\(\) as r:`"):
        RedisManager().client().get  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(RedisManager().client(), "__deepcopy__")


@pytest.mark.parametrize("listeners", [print, [print, 5], "events"])
def test_listeners_are_several_callables(listeners: Any) -> None:
    for make in (RedisManager, RedisRegistry.from_env):
        with pytest.raises(TypeError, match=r"write listeners=\[your_function\]"):
            make(listeners=listeners)


@pytest.mark.parametrize("name", [5, "", None])
def test_a_name_is_a_text(name: Any) -> None:
    with pytest.raises(TypeError, match=r"write RedisManager\(name='cache'\)"):
        RedisManager(name=name)
