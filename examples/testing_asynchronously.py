"""Test an app in the test's own event loop: `pytest testing_asynchronously.py`."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from redis_manager_fastapi import RedisDep, RedisManager
from redis_manager_fastapi.testing import RedisServer, RunningApp

Run = Callable[[FastAPI], Awaitable[RunningApp]]


def create_app(manager: RedisManager) -> FastAPI:
    app = FastAPI(lifespan=manager.lifespan)

    @app.post("/hits/{page}")
    async def hit(page: str, r: RedisDep) -> dict[str, int]:
        return {"hits": await r.incr(f"hits:{page}")}

    return app


@pytest.mark.asyncio
async def test_a_restart_costs_no_error(redis_server: RedisServer, run_app: Run) -> None:
    manager = RedisManager(url=redis_server.url)
    running = await run_app(create_app(manager))  # runs the lifespan until the test ends
    transport = httpx.ASGITransport(running)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        await client.post("/hits/home")
        await redis_server.restart(0.5)
        response = await client.post("/hits/home")

    assert response.status_code == 200
