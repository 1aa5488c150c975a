"""What the start-up policies do when Redis is not there (faults 1 and 2)."""

import asyncio
import logging
import sys
import time
from asyncio.subprocess import PIPE, STDOUT

import pytest
from fastapi import FastAPI

from redis_manager_fastapi import Event, ProbeFailed, RedisDep, RedisManager, health_router
from redis_manager_fastapi.supervision import deployment
from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import ROOT, Serve, StartError, environment
from tests.kit.waiting import until

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


async def uvicorn_output(url: str, **variables: str) -> str:
    """What a plain uvicorn prints of an app whose Redis is not there."""
    env = environment(REDIS_URL=url, REDIS_STARTUP__POLICY="fail", **variables)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "tests.kit.service:app", "--port", "0",
        cwd=ROOT, env=env, stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode()


@pytest.mark.parametrize("addresses", [True, False])
async def test_uvicorn_prints_where_it_looked_and_one_traceback(
    redis_server: RedisServer, addresses: bool
) -> None:
    await redis_server.kill()
    output = await uvicorn_output(redis_server.url, REDIS_LOG_ADDRESSES=str(addresses).lower())

    assert output.count("Traceback (most recent call last)") == 1
    assert output.count(".py") <= 8  # the lifespans that it passes through
    says = f"says ({redis_server.host}:{redis_server.port})" if addresses else "says"
    told = f"is down: connection refused; it was looked for where REDIS_URL {says}: start it there"
    assert output.count(told) == (1 if addresses else 2)
    assert "or correct REDIS_URL" in output
    assert output.count(f":{redis_server.port}") == addresses


async def test_a_wait_is_told_before_it_is_over(
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Policy `wait`: nobody has to guess why the app does not start."""
    monkeypatch.setattr(deployment, "_FIRST_REMINDER", 0.2)
    await redis_server.kill()
    manager = RedisManager(url=redis_server.url)
    starting = asyncio.create_task(manager.open())
    await until(lambda: "redis_start_delayed" in events(caplog))
    await redis_server.start()
    await starting
    await manager.aclose()

    told = next(each for each in caplog.records if "redis_start_delayed" in event_of(each))
    assert told.getMessage() == (
        "still waiting after 0.2 s, at most 10 s: redis 'default' is down: connection refused;"
        " it is looked for where the given URL says"
    )
    assert "redis_start_failed" not in events(caplog)
    assert not [task for task in asyncio.all_tasks() if "_remind" in repr(task)]


def event_of(record: logging.LogRecord) -> str:
    return getattr(record, "event", "")


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [event_of(record) for record in caplog.records]
