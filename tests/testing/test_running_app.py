"""An app in a test, with its lifespan run and no server in front of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from redis_manager_fastapi import PoolState, RedisDep, RedisManager, RedisUnavailableError
from redis_manager_fastapi.testing import RedisServer, RunningApp

Run = Callable[[Any], Awaitable[RunningApp]]


def counting(manager: RedisManager) -> FastAPI:
    app = FastAPI(lifespan=manager)

    @app.post("/hits")
    async def hit(r: RedisDep) -> int:
        return int(await r.incr("hits"))

    return app


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")


async def test_routes_find_their_manager(run_app: Run, redis_server: RedisServer) -> None:
    """In the test's own event loop, so that it may use the manager as the routes do."""
    manager = RedisManager(url=redis_server.url, outage={"grace": 0})
    async with client(await run_app(counting(manager))) as http:
        hits = [(await http.post("/hits")).json() for _ in range(2)]
        seen = await manager.redis.get("hits")
        await redis_server.kill()
        refused = await http.post("/hits")

    assert (hits, seen) == ([1, 2], "2")
    assert refused.status_code == 503


async def test_the_lifespan_ends_with_the_block(redis_url: str) -> None:
    manager = RedisManager(url=redis_url)
    async with RunningApp(counting(manager)) as running, client(running) as http:
        await http.post("/hits")

    assert manager.stats().state is PoolState.CLOSED


async def test_a_start_that_fails_raises_its_error() -> None:
    manager = RedisManager("redis://127.0.0.1:1", startup={"policy": "fail"})

    with pytest.raises(RedisUnavailableError, match="refused"):
        async with RunningApp(counting(manager)):
            pass


async def test_an_end_that_fails_raises_its_error() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, int]]:
        yield {"number": 7}
        raise LookupError("at the end")

    app = FastAPI(lifespan=lifespan)

    @app.get("/number")
    async def number(request: Request) -> int:
        return int(request.state.number)

    with pytest.raises(LookupError, match="at the end"):
        async with RunningApp(app) as running, client(running) as http:
            found = (await http.get("/number")).json()

    assert found == 7


async def test_an_app_that_knows_no_lifespan_runs_all_the_same() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with RunningApp(app) as running, client(running) as http:
        assert (await http.get("/")).status_code == 204
