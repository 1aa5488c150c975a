"""Which answer each error becomes, over HTTP and over WebSockets, and who may change it."""

import asyncio
import re
from typing import Any

import pytest
import redis.exceptions
import websockets
from fastapi import FastAPI, WebSocket
from starlette.requests import Request
from starlette.responses import JSONResponse

from redis_manager_fastapi import (
    REDIS_RESPONSES,
    ClientEndedError,
    CommandTimeoutError,
    PoolClosedError,
    PoolState,
    PoolTimeoutError,
    RedisAuthError,
    RedisDep,
    RedisManager,
    RedisManagerError,
    RedisNotStartedError,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisTLSError,
    RedisUnavailableError,
    RedisWritesRefusedError,
    ReplyLostError,
    TooManyWaitersError,
    health_router,
)
from redis_manager_fastapi.testing import RedisServer
from tests.kit.doors import BANNERS, PROTECTED, saying
from tests.kit.serving import Serve, Site
from tests.kit.waiting import until

CLASSES: dict[str, type[RedisManagerError]] = {
    cls.code: cls
    for cls in (
        ClientEndedError,
        CommandTimeoutError,
        PoolClosedError,
        PoolTimeoutError,
        RedisAuthError,
        RedisManagerError,
        RedisNotStartedError,
        RedisOutOfMemoryError,
        RedisPermissionError,
        RedisTLSError,
        RedisUnavailableError,
        RedisWritesRefusedError,
        ReplyLostError,
        TooManyWaitersError,
    )
}


def raising_app(manager: RedisManager) -> FastAPI:
    """Return an app whose routes meet the error that the path names."""
    app = FastAPI(lifespan=manager.lifespan)

    @app.get("/{code}")
    async def route(code: str, r: RedisDep) -> None:
        raise CLASSES[code]("the reason", instance="one")

    @app.websocket("/before/{code}")
    async def before(websocket: WebSocket, code: str, r: RedisDep) -> None:
        raise CLASSES[code]("the reason", instance="one")

    @app.websocket("/after/{code}")
    async def after(websocket: WebSocket, code: str, r: RedisDep) -> None:
        await websocket.accept()
        raise CLASSES[code]("the reason", instance="one")

    return app


async def closed(site: Site, path: str) -> tuple[int, str]:
    """Return the code and the reason with which the app closes the WebSocket."""
    async with site.websocket(path) as socket:
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await socket.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def denied(site: Site, path: str) -> Any:
    """Return the response with which the app refuses the WebSocket."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        await site.open_websocket(path)
    return caught.value.response


UNAVAILABLE = (
    RedisUnavailableError,
    RedisWritesRefusedError,
    RedisOutOfMemoryError,
    ReplyLostError,
    PoolTimeoutError,
    TooManyWaitersError,
    RedisAuthError,
    RedisPermissionError,
    RedisTLSError,
)
TOLD = [(cls, 503, "1", 1013) for cls in UNAVAILABLE] + [
    (PoolClosedError, 503, None, 1012),
    (CommandTimeoutError, 504, None, 1013),
]


@pytest.mark.parametrize(("cls", "status", "retry_after", "code"), TOLD)
async def test_errors_are_told_as_the_contract_says(
    serve: Serve,
    redis_url: str,
    cls: type[RedisManagerError],
    status: int,
    retry_after: str | None,
    code: int,
) -> None:
    """Status, Retry-After and body of the response; close code, or denial, of the WebSocket."""
    body = {"detail": "the reason", "code": cls.code, "instance": "one"}
    site = await serve(raising_app(RedisManager(url=redis_url)))
    response = await site.http.get(f"/{cls.code}")
    denial = await denied(site, f"/before/{cls.code}")

    assert (response.status_code, response.json()) == (status, body)
    assert response.headers.get("retry-after") == retry_after
    assert (denial.status_code, denial.headers.get("retry-after")) == (status, retry_after)
    assert denial.body == response.content
    assert await closed(site, f"/after/{cls.code}") == (code, cls.code)


@pytest.mark.parametrize("cls", [RedisNotStartedError, ClientEndedError])
async def test_mistakes_of_the_app_stay_errors_of_the_app(
    serve: Serve, redis_url: str, cls: type[RedisManagerError], caplog: pytest.LogCaptureFixture
) -> None:
    """They are 500 and 1011, and the server logs each as any other unhandled error."""
    site = await serve(raising_app(RedisManager(url=redis_url)))
    response = await site.http.get(f"/{cls.code}")
    denial = await denied(site, f"/before/{cls.code}")

    assert (response.status_code, denial.status_code) == (500, 500)
    assert await closed(site, f"/after/{cls.code}") == (1011, cls.code)
    assert len([r for r in caplog.records if cls.__name__ in (r.exc_text or "")]) == 3


@pytest.mark.parametrize(
    ("handled", "unavailable", "reply_lost", "timeout", "not_started"),
    [
        (ReplyLostError, 503, 418, 504, 500),
        (RedisUnavailableError, 418, 418, 504, 500),
        (CommandTimeoutError, 503, 503, 418, 500),
        (redis.exceptions.ConnectionError, 418, 418, 504, 500),
        (redis.exceptions.TimeoutError, 503, 503, 418, 500),
        (redis.exceptions.RedisError, 418, 418, 418, 500),
        (RuntimeError, 503, 503, 504, 418),
        (RedisManagerError, 418, 418, 418, 418),
    ],
)
async def test_handler_of_the_app_goes_first(
    serve: Serve,
    redis_url: str,
    handled: type[Exception],
    unavailable: int,
    reply_lost: int,
    timeout: int,
    not_started: int,
) -> None:
    """A handler for a class, or for any base of it, wins; the other classes stay covered."""
    app = raising_app(RedisManager(url=redis_url))

    async def teapot(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({}, 418)

    app.add_exception_handler(handled, teapot)
    site = await serve(app)
    statuses = [
        (await site.http.get(f"/{cls.code}")).status_code
        for cls in (
            RedisUnavailableError,
            ReplyLostError,
            CommandTimeoutError,
            RedisNotStartedError,
        )
    ]

    assert statuses == [unavailable, reply_lost, timeout, not_started]


def grouped(codes: str) -> ExceptionGroup[Exception]:
    """Return a group, the last error in a group of its own; an unknown code is a KeyError."""
    first, *rest = [CLASSES.get(code, KeyError)("the reason") for code in codes.split(",")]
    return ExceptionGroup("outer", [first, *(ExceptionGroup("inner", [error]) for error in rest)])


def grouping_app(manager: RedisManager) -> FastAPI:
    """Return an app whose routes raise a group of the errors that the path names."""
    app = FastAPI(lifespan=manager.lifespan)

    @app.get("/{codes}")
    async def route(codes: str, r: RedisDep) -> None:
        raise grouped(codes)

    @app.websocket("/before/{codes}")
    async def before(websocket: WebSocket, codes: str, r: RedisDep) -> None:
        raise grouped(codes)

    @app.websocket("/after/{codes}")
    async def after(websocket: WebSocket, codes: str, r: RedisDep) -> None:
        await websocket.accept()
        raise grouped(codes)

    return app


@pytest.mark.parametrize(
    ("codes", "told", "status", "retry_after", "close"),
    [
        ("redis_unavailable", "redis_unavailable", 503, "1", 1013),
        ("redis_timeout,redis_timeout", "redis_timeout", 504, None, 1013),
        ("redis_timeout,redis_reply_lost,redis_auth", "redis_reply_lost", 503, "1", 1013),
        ("redis_closed,redis_timeout", "redis_closed", 503, None, 1012),
    ],
)
async def test_group_is_told_as_the_gravest_of_its_errors(
    serve: Serve,
    redis_url: str,
    codes: str,
    told: str,
    status: int,
    retry_after: str | None,
    close: int,
) -> None:
    """503 before 504, and among equals the first; so an `asyncio.TaskGroup` needs no `try`."""
    site = await serve(grouping_app(RedisManager(url=redis_url)))
    response = await site.http.get(f"/{codes}")
    denial = await denied(site, f"/before/{codes}")

    assert (response.status_code, response.json()["code"]) == (status, told)
    assert response.headers.get("retry-after") == retry_after
    assert (denial.status_code, denial.body) == (status, response.content)
    assert await closed(site, f"/after/{codes}") == (close, told)


async def test_group_with_an_error_of_another_stays_as_it_is(
    serve: Serve, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = await serve(grouping_app(RedisManager(url=redis_url)))
    response = await site.http.get("/redis_unavailable,foreign")
    denial = await denied(site, "/before/foreign,redis_unavailable")

    assert (response.status_code, denial.status_code) == (500, 500)
    assert len([r for r in caplog.records if "KeyError" in (r.exc_text or "")]) == 2


async def test_mistake_of_the_app_is_not_hidden_by_an_outage(
    serve: Serve, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    codes = "redis_unavailable,redis_client_ended"
    site = await serve(grouping_app(RedisManager(url=redis_url)))
    response = await site.http.get(f"/{codes}")
    denial = await denied(site, f"/before/{codes}")

    assert (response.status_code, denial.status_code) == (500, 500)
    assert await closed(site, f"/after/{codes}") == (1011, "redis_client_ended")
    assert len([r for r in caplog.records if "ClientEndedError" in (r.exc_text or "")]) == 3


@pytest.mark.parametrize(
    ("handled", "unavailable", "timeout"),
    [
        (ExceptionGroup, 418, 418),
        (RedisUnavailableError, 418, 504),
        (redis.exceptions.TimeoutError, 503, 418),
        (RedisManagerError, 418, 418),
        (KeyError, 503, 504),
    ],
)
@pytest.mark.parametrize("threaded", [False, True])
async def test_handler_of_the_app_goes_first_for_a_group_too(
    serve: Serve,
    redis_url: str,
    handled: type[Exception],
    unavailable: int,
    timeout: int,
    threaded: bool,
) -> None:
    """A handler for groups, or for the error as which the group is told."""
    app = grouping_app(RedisManager(url=redis_url))

    async def teapot(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({}, 418)

    def teapot_in_a_thread(request: Request, error: Exception) -> JSONResponse:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return JSONResponse({}, 418)

    app.add_exception_handler(handled, teapot_in_a_thread if threaded else teapot)
    site = await serve(app)

    assert (await site.http.get("/redis_unavailable")).status_code == unavailable
    assert (await site.http.get("/redis_timeout")).status_code == timeout


async def test_handlers_of_an_app_and_of_its_sub_app_stay_apart(
    serve: Serve, redis_url: str
) -> None:
    """A sub-app with a handler of its own uses it; the app around it keeps the library's."""
    manager = RedisManager(url=redis_url)
    app, sub = raising_app(manager), raising_app(manager)
    outer = FastAPI(lifespan=manager.lifespan)
    outer.mount("/plain", app)
    outer.mount("/own", sub)

    @sub.exception_handler(RedisUnavailableError)
    async def teapot(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({}, 418)

    site = await serve(outer)

    assert (await site.http.get("/own/redis_unavailable")).status_code == 418
    assert (await site.http.get("/plain/redis_unavailable")).status_code == 503


async def test_overdue_command_is_504(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """A server that is merely slow makes the command's deadline pass."""
    manager = RedisManager(url=redis_url, timeout={"command": 0.2})
    app = FastAPI(lifespan=manager.lifespan)

    @app.get("/")
    async def route(r: RedisDep) -> Any:
        return await r.get("key")

    site = await serve(app)
    await site.until("/", 200)  # so that a connection is open, whichever kind it takes
    redis_server.pause()
    response = await site.http.get("/")
    redis_server.resume()

    assert (response.status_code, response.json()["code"]) == (504, "redis_timeout")
    assert (await site.until("/", 200)).json() is None


async def test_closed_manager_refuses_without_inviting_back(serve: Serve, redis_url: str) -> None:
    """When the process is going away: 503 without Retry-After, 1012, readiness 503."""
    manager = RedisManager(url=redis_url)
    app = raising_app(manager)

    @app.websocket("/count")
    async def count(websocket: WebSocket, r: RedisDep) -> None:
        await websocket.accept()
        async for word in websocket.iter_text():
            await websocket.send_text(str(await r.incr(word)))

    site = await serve(app)
    async with site.websocket("/count") as socket:
        await manager.aclose()
        await socket.send("word")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await socket.recv()
    response = await site.http.get("/any")
    denial = await denied(site, "/count")

    assert (response.status_code, response.json()["code"]) == (503, "redis_closed")
    assert (denial.status_code, denial.body) == (503, response.content)
    assert "retry-after" not in response.headers
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1012, "redis_closed")


async def test_websocket_whose_client_is_gone_is_left_alone(
    serve: Serve, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An error after the client left closes nothing and is no error of its own."""
    manager = RedisManager(url=redis_url)
    app = FastAPI(lifespan=manager.lifespan)

    @app.websocket("/received")
    async def received(websocket: WebSocket, r: RedisDep) -> None:
        await websocket.accept()
        await websocket.receive()
        raise RedisUnavailableError

    @app.websocket("/unseen")
    async def unseen(websocket: WebSocket, r: RedisDep) -> None:
        await websocket.accept()
        await r.blpop(["left"])
        raise RedisUnavailableError

    site = await serve(app)
    for path in ("/received", "/unseen"):
        async with site.websocket(path):
            pass
    async with manager.client() as r:
        await r.lpush("left", "yes")
    await site.http.get("/openapi.json")

    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_outage_answers_stand_in_openapi(serve: Serve, redis_url: str) -> None:
    """`REDIS_RESPONSES` documents both statuses, the body and Retry-After."""
    app = FastAPI(lifespan=RedisManager(url=redis_url).lifespan)

    @app.get("/", responses=REDIS_RESPONSES)
    async def route(r: RedisDep) -> None:
        pass

    site = await serve(app)
    document = (await site.http.get("/openapi.json")).json()
    responses = document["paths"]["/"]["get"]["responses"]
    schema = responses["503"]["content"]["application/json"]["schema"]

    assert responses.keys() == {"200", "503", "504"}
    for status, error in (("503", RedisUnavailableError), ("504", CommandTimeoutError)):
        example = responses[status]["content"]["application/json"]["example"]
        assert example["code"] == error.code
        assert "'default'" in example["detail"]
    assert schema["required"] == ["detail", "code", "instance"]
    assert responses["503"]["headers"]["Retry-After"]["schema"] == {"type": "integer"}


@pytest.mark.parametrize(
    "banner", [PROTECTED, b"-ERR upstream secret.internal is away\r\n"], ids=["protected", "other"]
)
async def test_what_a_server_says_at_the_door_is_in_no_response(
    serve: Serve, banner: bytes
) -> None:
    """Row 55: a route and readiness tell the reason in our words."""
    async with saying(banner, at_once=False, hang_up=False) as port:
        manager = RedisManager(
            f"redis://127.0.0.1:{port}", startup={"policy": "degraded"}, outage={"grace": 0}
        )
        app = FastAPI(lifespan=manager.lifespan)
        app.include_router(health_router)

        @app.get("/hits")
        async def hits(r: RedisDep) -> str | None:
            return await r.get("hits")

        site = await serve(app)
        await until(lambda: manager.stats().state is PoolState.DOWN)
        answers = [await site.until("/hits", 503), await site.until("/readyz", 503)]

        for answer in answers:
            assert re.search(BANNERS[banner], answer.text)
            assert "secret.internal" not in answer.text
            assert "adopt one of the following" not in answer.text
