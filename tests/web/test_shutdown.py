"""The end of an app: what is running finishes, what cannot finish does not hold it up."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from redis_manager_fastapi import RedisDep, RedisManager
from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import (
    PATIENCE,
    ROOT,
    Serve,
    ServerProcess,
    clients_fall_to,
    environment,
    server_process,
)
from tests.kit.waiting import eventually, until

COMMAND = 2.0
DRAIN = 1.0
SLACK = 2.0  # uvicorn looks every 0.1 s; the interpreter's own end


def waiting_app(manager: RedisManager) -> FastAPI:
    app = FastAPI(lifespan=manager.lifespan)

    @app.get("/wait")
    async def wait(r: RedisDep) -> Any:
        return await r.blpop(["queue"], timeout=2)

    @app.get("/set")
    async def store(r: RedisDep) -> Any:
        return await r.set("k", "v" * 70_000)

    return app


async def test_drain_lets_running_work_finish(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """What was running when the manager began to close gets its reply, and then it is closed."""
    manager = RedisManager(url=redis_url)
    site = await serve(waiting_app(manager))
    request = asyncio.create_task(site.http.get("/wait"))
    await until(lambda: manager.stats().leased == 1, PATIENCE)
    closing = asyncio.create_task(manager.aclose())
    await asyncio.sleep(0)
    refused = await site.http.get("/wait")
    await redis_server.command("LPUSH", "queue", "element")
    response = await request
    await closing

    assert (refused.status_code, refused.json()["code"]) == (503, "redis_closed")
    assert response.json() == ["queue", "element"]
    assert manager.stats().state.value == "closed"


@pytest.mark.measures
async def test_drain_is_bounded(serve: Serve, redis_url: str, redis_server: RedisServer) -> None:
    """Work that does not finish within `shutdown.drain` is cut off, and its caller is told."""
    manager = RedisManager(url=redis_url, shutdown={"drain": 0.3})
    site = await serve(waiting_app(manager))
    await site.http.get("/set")
    redis_server.pause()
    request = asyncio.create_task(site.http.get("/set"))
    await until(lambda: manager.stats().leased == 1, PATIENCE)
    began = time.monotonic()
    await manager.aclose()
    took = time.monotonic() - began
    redis_server.resume()

    assert 0.3 <= took < 0.3 + 0.3
    assert (await request).status_code == 503
    assert (manager.stats().leased, manager.stats().links) == (0, 0)


@asynccontextmanager
async def service(
    url: str, *arguments: str, app: str = "tests.kit.service:app"
) -> AsyncIterator[tuple[ServerProcess, httpx.AsyncClient]]:
    """Run the service in a process of its own, with a client on it."""
    env = environment(REDIS_URL=url, REDIS_SHUTDOWN__DRAIN=str(DRAIN))
    async with (
        server_process(app, *arguments, directory=ROOT, env=env) as server,
        httpx.AsyncClient(base_url=await server.url(), timeout=PATIENCE) as http,
    ):
        yield server, http


async def arrived(http: httpx.AsyncClient, count: int) -> bool:
    return int((await http.get("/clients")).text) == count


@pytest.mark.measures
@pytest.mark.parametrize("signals", [1, 2])
async def test_sigterm_while_redis_hangs(
    redis_url: str, redis_server: RedisServer, signals: int
) -> None:
    """Callers are answered, and the process ends, in time; no error is logged (row 31)."""
    async with service(redis_url) as (server, http):
        assert (await http.post("/hits/a")).json() == 1
        redis_server.pause()
        paths = ["/hits/a"] * 20 + ["/wait/queue"] * 5
        requests = [asyncio.create_task(http.get(path)) for path in paths]
        await eventually(lambda: arrived(http, len(paths)), PATIENCE)
        began = time.monotonic()
        for _ in range(signals):
            server.signal(signal.SIGTERM)
        responses = await asyncio.gather(*requests)
        code = await server.ended()
        took = time.monotonic() - began

    assert {response.status_code for response in responses} <= {503, 504}
    assert took < COMMAND + DRAIN + SLACK
    assert code == -signal.SIGTERM
    assert "Application shutdown complete" in server.log
    assert "Traceback" not in server.log
    redis_server.resume()
    await clients_fall_to(0, redis_server)


@pytest.mark.measures
async def test_sigterm_while_redis_is_down(redis_url: str, redis_server: RedisServer) -> None:
    """Nothing waits for a server that is known to be away."""
    async with service(redis_url) as (server, http):
        await redis_server.kill()
        response = await http.get("/hits/a")
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        code = await server.ended()
        took = time.monotonic() - began

    assert response.status_code == 503
    assert took < SLACK
    assert code == -signal.SIGTERM
    assert "Traceback" not in server.log


@pytest.mark.measures
async def test_endless_command_ends_with_uvicorn_s_own_limit(
    redis_url: str, redis_server: RedisServer
) -> None:
    """`BLPOP 0` on a server that is well is cut by `--timeout-graceful-shutdown`."""
    async with service(redis_url, "--timeout-graceful-shutdown", "1") as (server, http):
        request = asyncio.create_task(http.get("/wait/queue"))
        await eventually(lambda: somebody_waits(redis_server), PATIENCE)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        await server.ended()
        took = time.monotonic() - began
        await asyncio.gather(request, return_exceptions=True)

    assert took < 1 + DRAIN + SLACK
    await clients_fall_to(0, redis_server)


async def somebody_waits(server: RedisServer) -> bool:
    info = await server.command("INFO", "clients")
    return int(info["blocked_clients"]) > 0
