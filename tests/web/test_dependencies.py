"""Where `get_redis` and its relatives work: everywhere that FastAPI resolves a dependency."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import redis.asyncio
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from redis_manager_fastapi import (
    Redis,
    RedisConnectionDep,
    RedisDep,
    RedisManager,
    get_manager,
    get_redis,
    get_redis_manager,
)
from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import Serve


async def hit(r: RedisDep) -> int:
    return int(await r.incr("hits"))


async def test_route_gets_a_redis_client(serve: Serve, redis_url: str) -> None:
    """What a route is given is a `redis.asyncio.Redis` on the app's manager."""
    manager = RedisManager(url=redis_url)
    app = FastAPI(lifespan=manager.lifespan)

    @app.get("/")
    async def route(r: RedisDep) -> dict[str, Any]:
        await r.set("key", "value")
        return {"value": await r.get("key"), "isa": isinstance(r, redis.asyncio.Redis)}

    site = await serve(app)
    response = await site.http.get("/")

    assert response.json() == {"value": "value", "isa": True}
    assert manager.stats().clients == 0


async def test_mounted_sub_app_shares_the_manager(serve: Serve, redis_url: str) -> None:
    """A sub-app, whose own lifespan never runs, finds the manager of the app that mounts it."""
    app = FastAPI(lifespan=RedisManager(url=redis_url).lifespan)
    sub = FastAPI()
    app.add_api_route("/hits", hit)
    sub.add_api_route("/hits", hit)
    app.mount("/sub", sub)

    site = await serve(app)

    assert (await site.http.get("/hits")).json() == 1
    assert (await site.http.get("/sub/hits")).json() == 2


async def test_websocket_keeps_its_client_as_long_as_it_is_open(
    serve: Serve, redis_url: str
) -> None:
    """The client of a WebSocket serves message after message and ends with the socket."""
    manager = RedisManager(url=redis_url)
    app = FastAPI(lifespan=manager.lifespan)

    @app.websocket("/count")
    async def count(websocket: WebSocket, r: RedisDep) -> None:
        await websocket.accept()
        async for word in websocket.iter_text():
            await websocket.send_text(str(await r.incr(word)))

    site = await serve(app)
    async with site.websocket("/count") as socket:
        replies = []
        for _ in range(3):
            await socket.send("word")
            replies.append(await socket.recv())
        clients_while_open = manager.stats().clients

    assert replies == ["1", "2", "3"]
    assert clients_while_open == 1


async def test_router_with_its_own_lifespan_keeps_both_states(serve: Serve, redis_url: str) -> None:
    """The lifespan state of a router and the manager of the app reach the same route."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        yield {"colour": "blue"}

    router = APIRouter(lifespan=lifespan)

    @router.get("/")
    async def route(request: Request, r: RedisDep) -> list[Any]:
        return [request.state.colour, await r.incr("hits")]

    app = FastAPI(lifespan=RedisManager(url=redis_url).lifespan)
    app.include_router(router)
    site = await serve(app)

    assert (await site.http.get("/")).json() == ["blue", 1]


async def test_router_may_bring_the_manager(serve: Serve, redis_url: str) -> None:
    """An app and a router that bring one manager each serve with both."""
    router = APIRouter(lifespan=RedisManager(url=redis_url, name="cache").lifespan)

    @router.get("/")
    async def route(request: Request, r: RedisDep) -> list[str]:
        return [get_manager(request).name, get_manager(request, "cache").name]

    app = FastAPI(lifespan=RedisManager(url=redis_url).lifespan)
    app.include_router(router)
    site = await serve(app)

    assert (await site.http.get("/")).json() == ["default", "cache"]


async def test_background_task_may_use_the_client(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """A background task of the request runs before the request's client ends."""
    app = FastAPI(lifespan=RedisManager(url=redis_url).lifespan)

    noted = asyncio.Event()

    async def note(r: Redis) -> None:
        await r.set("noted", "yes")
        noted.set()

    @app.post("/")
    async def route(r: RedisDep, tasks: BackgroundTasks) -> str:
        tasks.add_task(note, r)
        return "accepted"

    site = await serve(app)
    response = await site.http.post("/")
    async with asyncio.timeout(5):
        await noted.wait()

    assert response.status_code == 200
    assert await redis_server.command("GET", "noted") == "yes"


async def test_base_http_middleware_changes_nothing(serve: Serve, redis_url: str) -> None:
    """Behind `BaseHTTPMiddleware`, which runs the app in a task of its own, all is the same."""
    manager = RedisManager(url=redis_url)
    app = FastAPI(lifespan=manager.lifespan)
    app.add_api_route("/", hit)

    async def middle(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-middle"] = "yes"
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=middle)
    site = await serve(app)
    responses = [await site.http.get("/") for _ in range(3)]

    assert [response.json() for response in responses] == [1, 2, 3]
    assert responses[0].headers["x-middle"] == "yes"
    assert manager.stats().clients == 0


async def test_connection_dependency_is_one_connection_and_ends_with_the_function(
    serve: Serve, redis_url: str
) -> None:
    """Commands of a pinned client run on one connection; it is back before the response is sent."""
    manager = RedisManager(url=redis_url)
    app = FastAPI(lifespan=manager.lifespan)

    async def note() -> None:
        leased.append(manager.stats().leased)

    @app.get("/")
    async def route(r: RedisConnectionDep, tasks: BackgroundTasks) -> list[Any]:
        tasks.add_task(note)  # not a thread's: the next request's lease could be there by then
        ids = {await r.client_id() for _ in range(3)}
        return [len(ids), manager.stats().leased]

    leased: list[int] = []
    site = await serve(app)
    response = await site.http.get("/")
    await site.http.get("/")

    assert response.json() == [1, 1]
    assert leased[0] == 0


async def test_manager_dependency(serve: Serve, redis_url: str) -> None:
    """`get_redis_manager` hands out the manager that the lifespan opened."""
    manager = RedisManager(url=redis_url)
    app = FastAPI(lifespan=manager.lifespan)

    @app.get("/")
    async def route(found: Annotated[RedisManager, Depends(get_redis_manager)]) -> bool:
        return found is manager

    site = await serve(app)

    assert (await site.http.get("/")).json() is True


async def test_two_apps_with_different_settings_in_one_process(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """Each app's routes use that app's manager, with its database and its options."""
    sites = []
    for db, decode in ((1, True), (2, False)):
        manager = RedisManager(url=redis_url.removesuffix("/0"), db=db, decode_responses=decode)
        app = FastAPI(lifespan=manager.lifespan)

        @app.get("/")
        async def route(r: RedisDep) -> str:
            await r.set("key", "value")
            return type(await r.get("key")).__name__

        sites.append(await serve(app))

    assert [(await site.http.get("/")).json() for site in sites] == ["str", "bytes"]
    info = await redis_server.command("INFO", "keyspace")
    assert info.keys() == {"db1", "db2"}


async def test_two_deployments_in_one_app(serve: Serve, redis_url: str) -> None:
    """Managers of different names stand side by side; each is asked for by its name."""
    queue = RedisManager(url=redis_url)
    cache = RedisManager(url=redis_url.removesuffix("/0"), db=3, name="cache")
    app = FastAPI(lifespan=queue.wrap(cache.lifespan))

    async def get_cache(connection: HTTPConnection) -> AsyncIterator[Redis]:
        async with get_manager(connection, "cache").client() as r:
            yield r

    @app.get("/")
    async def route(q: RedisDep, c: Annotated[Redis, Depends(get_cache)]) -> list[Any]:
        await q.set("key", "queue")
        await c.set("key", "cache")
        return [await q.get("key"), await c.get("key")]

    site = await serve(app)

    assert (await site.http.get("/")).json() == ["queue", "cache"]


async def test_own_dependency_may_build_on_it(serve: Serve, redis_url: str) -> None:
    """A user's `yield` dependency still has the client when its own clean-up runs."""
    app = FastAPI(lifespan=RedisManager(url=redis_url).lifespan)

    async def guarded(r: RedisDep) -> AsyncIterator[Redis]:
        await r.incr("entered")
        yield r
        await r.incr("left")

    @app.get("/")
    async def route(r: RedisDep, own: Annotated[Redis, Depends(guarded)]) -> bool:
        return r is own

    @app.get("/counts")
    async def counts(r: RedisDep) -> list[Any]:
        return [await r.get("entered"), await r.get("left")]

    site = await serve(app)

    assert (await site.http.get("/")).json() is True
    assert (await site.http.get("/counts")).json() == ["1", "1"]


async def test_override_replaces_the_dependency(serve: Serve, redis_url: str) -> None:
    """`dependency_overrides[get_redis]` is all that a test of a route needs."""
    app = FastAPI()
    app.add_api_route("/hits", hit)
    async with RedisManager(url=redis_url) as manager, manager.client() as client:
        app.dependency_overrides[get_redis] = lambda: client
        site = await serve(app)

        assert (await site.http.get("/hits")).json() == 1
