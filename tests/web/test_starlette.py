"""Plain Starlette apps: a request asks for the manager, and errors become answers."""

import asyncio

import pytest
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from redis_manager_fastapi import (
    HEALTH_ROUTES,
    REDIS_EXCEPTION_HANDLERS,
    PoolState,
    RedisManager,
    RedisManagerError,
    get_manager,
    get_redis,
)
from redis_manager_fastapi.testing import RedisServer
from tests.kit.managers import until_state
from tests.kit.serving import Serve


async def hits(request: Request) -> PlainTextResponse:
    async with get_manager(request).client() as r:
        return PlainTextResponse(str(await r.incr("hits")))


async def read(request: Request) -> PlainTextResponse:
    async with get_manager(request).client() as r:
        return PlainTextResponse(str(await r.get("hits")))


async def together(request: Request) -> PlainTextResponse:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read(request)) for _ in range(2)]
    return tasks[0].result()


async def count(websocket: WebSocket) -> None:
    await websocket.accept()
    async with get_manager(websocket).client() as r:
        async for word in websocket.iter_text():
            await websocket.send_text(str(await r.incr(word)))


ROUTES = [
    Route("/hits", hits, methods=["POST"]),
    Route("/read", read),
    Route("/together", together),
    WebSocketRoute("/count", count),
    *HEALTH_ROUTES,
]


async def test_routes_websockets_and_mounts(serve: Serve, redis_url: str) -> None:
    """`get_manager` finds the manager in each kind of route."""
    app = Starlette(
        routes=[*ROUTES, Mount("/sub", routes=ROUTES)],
        lifespan=RedisManager(url=redis_url).lifespan,
    )
    site = await serve(app)

    assert (await site.http.post("/hits")).text == "1"
    assert (await site.http.post("/sub/hits")).text == "2"
    async with site.websocket("/count") as socket:
        await socket.send("hits")
        assert await socket.recv() == "3"
    assert (await site.http.get("/readyz")).status_code == 200


async def test_outage_is_answered_without_any_registration(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """Asking for the manager is enough for 503 and, in a WebSocket, 1013."""
    manager = RedisManager(url=redis_url, outage={"grace": 0})
    site = await serve(Starlette(routes=ROUTES, lifespan=manager.lifespan))
    async with site.websocket("/count") as socket:
        await redis_server.kill()
        await site.until("/readyz", 503)
        await socket.send("hits")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    await until_state(manager, PoolState.DOWN)
    response, grouped = [await site.http.get(path) for path in ("/read", "/together")]

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "redis_unavailable")
    assert response.status_code == 503
    assert response.json()["code"] == "redis_unavailable"
    assert (grouped.status_code, grouped.json()) == (503, response.json())


async def test_registered_handlers_serve_routes_that_ask_nobody(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """`REDIS_EXCEPTION_HANDLERS` covers routes that use `manager.redis` directly."""
    manager = RedisManager(url=redis_url, outage={"grace": 0})

    async def direct(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(await manager.redis.get("hits")))

    async def grouping(request: Request) -> PlainTextResponse:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(direct(request))
        return task.result()

    app = Starlette(
        routes=[Route("/", direct), Route("/group", grouping), *HEALTH_ROUTES],
        lifespan=manager.lifespan,
        exception_handlers=REDIS_EXCEPTION_HANDLERS,
    )
    site = await serve(app)
    await redis_server.kill()
    await site.until("/readyz", 503)

    assert (await site.http.get("/")).status_code == 503
    assert (await site.http.get("/group")).status_code == 503


async def test_dependency_called_by_hand_says_what_to_do() -> None:
    """`get_redis` needs FastAPI's exit stack; without it the error names the alternative."""
    async with RedisManager(startup={"policy": "degraded"}) as manager:
        scope = {"type": "http", "state": {"redis_manager:default": manager}}
        with pytest.raises(RedisManagerError, match=r"async with get_manager\(request\)"):
            await get_redis(Request(scope))
