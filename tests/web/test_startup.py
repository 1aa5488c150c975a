"""What the start-up policies do when Redis is not there (faults 1 and 2)."""

import asyncio
import time

import pytest
from fastapi import FastAPI

from redis_manager_fastapi import Event, ProbeFailed, RedisDep, RedisManager, health_router
from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import Serve, StartError

CONNECT = 0.3
SLACK = 1.0  # uvicorn's own start and end, on a busy machine


@pytest.fixture(params=["nothing listens", "the server hangs"])
async def absent(request: pytest.FixtureRequest, redis_server: RedisServer) -> RedisServer:
    """A server that is not there: killed, or stopped, where the kernel still accepts."""
    if request.param == "nothing listens":
        await redis_server.kill()
    else:
        redis_server.pause()
    return redis_server


async def come_back(server: RedisServer) -> None:
    if server.running:
        server.resume()
    else:
        await server.start()


def app_with(manager: RedisManager) -> FastAPI:
    app = FastAPI(lifespan=manager.lifespan)
    app.include_router(health_router)

    @app.get("/hits")
    async def hits(r: RedisDep) -> int:
        return int(await r.incr("hits"))

    return app


@pytest.mark.measures
async def test_fail_stops_the_start_at_once(
    serve: Serve, absent: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Policy `fail`: one attempt within the connect timeout; the log has the cause."""
    manager = RedisManager(url=absent.url, startup={"policy": "fail"}, timeout={"connect": CONNECT})
    began = time.monotonic()
    with pytest.raises(StartError):
        await serve(app_with(manager))

    assert time.monotonic() - began < CONNECT + SLACK
    cause = "no connection within 0.3 s" if absent.running else "connection refused"
    assert cause in caplog.text
    assert manager.stats().connects == 1


@pytest.mark.measures
async def test_wait_gives_up_at_its_limit(
    serve: Serve, absent: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Policy `wait`: the start fails after `startup.timeout`, and says how long it waited."""
    manager = RedisManager(
        url=absent.url, startup={"policy": "wait", "timeout": 0.5}, timeout={"connect": CONNECT}
    )
    began = time.monotonic()
    with pytest.raises(StartError):
        await serve(app_with(manager))

    assert 0.5 <= time.monotonic() - began < 0.5 + SLACK
    assert "(waited 0.5 s, policy 'wait')" in caplog.text


async def test_wait_starts_when_redis_comes(serve: Serve, absent: RedisServer) -> None:
    """Policy `wait`: requests are served from the moment that Redis answers, without an error."""
    failed = asyncio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, ProbeFailed):
            failed.set()

    manager = RedisManager(url=absent.url, timeout={"connect": CONNECT}, listeners=[listen])
    starting = asyncio.create_task(serve(app_with(manager)))
    await failed.wait()
    assert not starting.done()
    await come_back(absent)
    site = await starting

    assert (await site.http.get("/readyz")).status_code == 200
    assert (await site.http.get("/hits")).json() == 1


async def test_degraded_serves_without_redis_and_heals(serve: Serve, absent: RedisServer) -> None:
    """Policy `degraded`: readiness and routes answer 503 until Redis comes, then 200."""
    manager = RedisManager(
        url=absent.url,
        startup={"policy": "degraded"},
        timeout={"connect": CONNECT},
        outage={"grace": 0.1},
    )
    site = await serve(app_with(manager))
    ready, hits = await site.http.get("/readyz"), await site.http.get("/hits")
    alive = await site.http.get("/livez")
    await come_back(absent)
    healed = await site.until("/readyz", 200, within=3)

    assert (ready.status_code, hits.status_code, alive.status_code) == (503, 503, 200)
    assert healed.json()["redis"] == {"default": {"state": "ready"}}
    assert (await site.http.get("/hits")).json() == 1


async def test_settings_are_checked_before_anything_connects() -> None:
    """A wrong setting stops the import of the app, with the field, the variable and the fix."""
    with pytest.raises(ValueError, match=r"startup\.policy \(REDIS_STARTUP__POLICY\)"):
        RedisManager(startup={"policy": "hope"})  # type: ignore[arg-type]
