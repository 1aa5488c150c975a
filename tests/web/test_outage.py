"""One outage, as the users of a service see it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from redis_manager_fastapi import RedisDep, RedisManager, health_router
from redis_manager_fastapi.testing import RedisServer
from tests.kit.servers import needs
from tests.kit.serving import Serve, Site

DETECTION = 1.0
RECOVERY = 1.0
GRACE = 2.0
SLACK = 0.3


def counting_app(manager: RedisManager) -> FastAPI:
    app = FastAPI(lifespan=manager.lifespan)
    app.include_router(health_router)

    @app.post("/hits")
    async def hit(r: RedisDep) -> int:
        return int(await r.incr("hits"))

    @app.get("/hits")
    async def read(r: RedisDep) -> int:
        return int(await r.get("hits") or 0)

    return app


async def ask_until(site: Site, stop: asyncio.Event) -> list[httpx.Response]:
    """Read again and again until *stop*, and once more."""
    responses = []
    while not stop.is_set():
        responses.append(await site.http.get("/hits"))
    responses.append(await site.http.get("/hits"))
    return responses


async def test_kill_and_restart(serve: Serve, redis_url: str, redis_server: RedisServer) -> None:
    """Down: readiness 503 within 1 s and routes 503, never 500.  Up: 200 within 1 s, for good."""
    site = await serve(counting_app(RedisManager(url=redis_url)))
    await redis_server.kill()
    await site.until("/readyz", 503, within=DETECTION)
    down = [await site.http.request(method, "/hits") for method in ("POST", "GET", "GET")]
    await redis_server.start()
    await site.until("/readyz", 200, within=RECOVERY)
    up = [await site.http.post("/hits") for _ in range(50)]

    assert [response.status_code for response in down] == [503, 503, 503]
    assert all(response.headers["retry-after"] == "1" for response in down)
    assert [response.json() for response in up] == list(range(1, 51))


@pytest.mark.measures
async def test_known_outage_is_answered_at_once(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """Only the first callers wait for grace; the ones after it do not wait at all."""
    site = await serve(counting_app(RedisManager(url=redis_url, outage={"grace": 0.5})))
    await redis_server.kill()
    began = time.monotonic()
    first = await site.http.get("/hits")
    waited = time.monotonic() - began
    began = time.monotonic()
    later = [await site.http.get("/hits") for _ in range(20)]
    each = (time.monotonic() - began) / len(later)

    assert {first.status_code, *(response.status_code for response in later)} == {503}
    assert waited < 0.5 + SLACK
    assert each < 0.1


async def test_hung_server_is_detected_and_comes_back(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """SIGSTOP: readiness 503 within 1 s, routes 503; SIGCONT: served again within 1 s."""
    site = await serve(counting_app(RedisManager(url=redis_url)))
    await site.http.post("/hits")
    redis_server.pause()
    await site.until("/readyz", 503, within=DETECTION + SLACK)
    down = [await site.http.get("/hits") for _ in range(3)]
    redis_server.resume()
    await site.until("/readyz", 200, within=RECOVERY + SLACK)
    up = [await site.http.get("/hits") for _ in range(20)]

    assert {response.status_code for response in down} == {503}
    assert {(response.status_code, response.json()) for response in up} == {(200, 1)}


async def crash(server: RedisServer) -> None:
    await server.restart(crash=True)


async def shut_down(server: RedisServer) -> None:
    await server.restart()


@pytest.mark.parametrize("restart", [crash, shut_down])
async def test_short_restart_costs_no_read(
    serve: Serve,
    redis_url: str,
    redis_server: RedisServer,
    restart: Callable[[RedisServer], Awaitable[None]],
) -> None:
    """Readers during a restart shorter than grace are answered late, and all are answered."""
    site = await serve(counting_app(RedisManager(url=redis_url)))
    stop = asyncio.Event()
    readers = [asyncio.create_task(ask_until(site, stop)) for _ in range(10)]
    for _ in range(3):
        await restart(redis_server)
        await site.until("/readyz", 200)
    stop.set()
    responses = [response for each in await asyncio.gather(*readers) for response in each]

    assert {response.status_code for response in responses} == {200}


@needs("ACL", redis="6.0")
async def test_answers_hold_no_secret(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Neither bodies, headers nor the log tell the user, the password, the host or the port."""
    directives = {"user": "alice on >s3cret ~* &* +@all"}
    async with RedisServer(directives) as server:
        url = f"redis://alice:s3cret@localhost:{server.port}"
        manager = RedisManager(url=url, outage={"grace": 0.2})
        site = await serve(counting_app(manager))
        assert (await site.http.post("/hits")).json() == 1
        await server.command("ACL", "SETUSER", "alice", "resetpass", ">0ther")
        await server.command("CLIENT", "KILL", "USER", "alice")
        await site.until("/readyz", 503)
        refused = await site.http.get("/hits")
        await server.kill()
        unreachable = await site.http.get("/hits")
        answers = [refused, unreachable, await site.http.get("/readyz")]

    told = [text for each in answers for text in (each.text, str(each.headers))] + [
        record.getMessage() for record in caplog.records if record.name.startswith("redis")
    ]
    assert {each.status_code for each in answers} == {503}
    for secret in ("alice", "s3cret", "0ther", "localhost", str(server.port)):
        assert not [text for text in told if secret in text]


async def test_pool_too_small_is_told_apart(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """All dedicated connections leased: 503 with the numbers; readiness stays 200 (fault 26)."""
    manager = RedisManager(url=redis_url, pool={"max_connections": 2, "acquire_timeout": 0.2})
    app = counting_app(manager)

    @app.get("/wait")
    async def wait(r: RedisDep) -> Any:
        return await r.blpop(["queue"], timeout=5)

    site = await serve(app)
    callers = [asyncio.create_task(site.http.get("/wait")) for _ in range(6)]
    completed = asyncio.as_completed(callers)
    refused = [await next(completed) for _ in range(4)]
    ready = await site.http.get("/readyz")
    await redis_server.command("LPUSH", "queue", "a", "b")
    done = await asyncio.gather(*callers)

    assert {(r.status_code, r.json()["code"]) for r in refused} == {(503, "redis_pool_timeout")}
    assert "2 of 2 leased" in refused[0].json()["detail"]
    assert ready.status_code == 200
    assert sorted(response.status_code for response in done) == [200, 200, 503, 503, 503, 503]
