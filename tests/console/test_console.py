"""The console's routes under a real uvicorn: what they send, and that it is no more than that."""

import asyncio
import json
import runpy
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from redis_manager_fastapi import (
    RedisManager,
    RedisRegistry,
    RedisSettings,
    console_router,
)
from redis_manager_fastapi.console.shown import in_words
from redis_manager_fastapi.observe.events import GroupRemade, StateChanged
from redis_manager_fastapi.testing import RedisServer
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.serving import PATIENCE, ROOT, Site, environment, server_process, serving

SECRET = "hunter2-console"


async def told(
    http: httpx.AsyncClient, path: str = "/redis/events"
) -> AsyncGenerator[tuple[str, Any], None]:
    """The name and the data of each event of the stream."""
    async with asyncio.timeout(PATIENCE), http.stream("GET", path) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def console_of(manager: RedisManager | RedisRegistry) -> FastAPI:
    app = FastAPI(lifespan=manager.lifespan)
    app.include_router(console_router, prefix="/redis")
    return app


@asynccontextmanager
async def looked_at(manager: RedisManager | RedisRegistry) -> AsyncIterator[Site]:
    async with serving(console_of(manager)) as site:
        yield site


async def test_the_page_and_its_parts_need_nothing_from_elsewhere(redis_url: str) -> None:
    async with looked_at(RedisManager(redis_url)) as site:
        page = await site.http.get("/redis")
        assert page.status_code == 200
        assert "://" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for part in ("console.js", "console.css", "icon.svg"):
            assert f'"redis/static/{part}"' in page.text
            first = await site.http.get(f"/redis/static/{part}")
            assert first.status_code == 200
            known = {"If-None-Match": first.headers["etag"]}
            again = await site.http.get(f"/redis/static/{part}", headers=known)
            assert again.status_code == 304
        assert (await site.http.get("/redis/static/router.py")).status_code == 404
        slash = await site.http.get("/redis/")
        assert slash.status_code == 307
        assert slash.headers["location"] == "../redis"
        assert "/redis" not in (await site.http.get("/openapi.json")).json()["paths"]


async def test_an_outage_is_told_as_it_happens_with_what_came_before(
    redis_server: RedisServer,
) -> None:
    manager = RedisManager(redis_server.url, outage={"grace": 0.1})
    async with looked_at(manager) as site, aclosing(told(site.http)) as stream:
        name, (limits,) = await anext(stream)
        assert name == "instances"
        assert limits["name"] == "default"
        assert limits["grace"] == 0.1
        name, (look,) = await anext(stream)
        assert name == "look"
        assert look["state"] == "ready"
        assert [each["state"] for each in look["news"]] == ["starting", "ready"]
        await redis_server.kill()
        states = await states_until(stream, "down")
        assert states[-2:] == ["suspect", "down"]
        await redis_server.start()
        assert (await states_until(stream, "ready"))[-1] == "ready"


async def states_until(stream: Any, state: str) -> list[str]:
    states: list[str] = []
    async for _, (look,) in stream:
        states += [each["state"] for each in look["news"]]
        if look["state"] == state:
            return states
    raise AssertionError(states)


async def test_the_numbers_are_the_manager_s(redis_url: str) -> None:
    manager = RedisManager(redis_url)
    async with looked_at(manager) as site:
        for _ in range(5):
            await manager.redis.incr("n")
        stream = told(site.http)
        await anext(stream)
        _, (look,) = await anext(stream)
        await stream.aclose()

        assert look["commands"] == manager.stats().commands
        assert sum(look["latency"]) == manager.stats().latency.count
        assert len(look["latency"]) == len(manager.stats().latency.buckets)


async def test_no_secret_no_key_and_no_address_is_sent() -> None:
    async with RedisServer(password=SECRET) as server:
        manager = RedisManager(server.url)
        async with looked_at(manager) as site:
            await manager.redis.set("a-key-of-mine", "a-value-of-mine")
            await server.kill()
            async for _, data in told(site.http):
                sent = json.dumps(data)
                for word in (SECRET, "a-key-of-mine", "a-value-of-mine", str(server.port)):
                    assert word not in sent
                if isinstance(data[0], dict) and data[0].get("state") == "down":
                    break
            page = (await site.http.get("/redis")).text
            assert SECRET not in page


async def test_each_instance_is_shown_and_a_mounted_app_finds_them(redis_url: str) -> None:
    nowhere = RedisSettings(url="redis://127.0.0.1:1", startup={"policy": "degraded"})
    registry = RedisRegistry(cache=redis_url, queue=nowhere)
    app = FastAPI(lifespan=registry.lifespan)
    app.mount("/ops", inner := FastAPI())
    inner.include_router(console_router, prefix="/redis")
    async with serving(app) as site:
        assert 'href="redis/static/console.css"' in (await site.http.get("/ops/redis")).text
        stream = told(site.http, "/ops/redis/events")
        _, instances = await anext(stream)
        assert [each["name"] for each in instances] == ["cache", "queue"]
        _, looks = await anext(stream)
        await stream.aclose()
        assert {each["name"]: each["state"] for each in looks}["cache"] == "ready"


async def test_the_shards_of_a_cluster_are_shown_with_what_is_not_served() -> None:
    deployment = ClusterDeployment(replicas=0)
    async with (
        deployment,
        looked_at(RedisManager(deployment.url)) as site,
        aclosing(told(site.http)) as stream,
    ):
        await anext(stream)
        await deployment.primaries[0].kill()
        look = await look_where(stream, lost)
        assert lost(look) == ["0-5460"]
        assert len(look["shards"]) == 3
        # Who opens the page only now sees how the whole came there.
        async with aclosing(told(site.http)) as later:
            _, (limits,) = await anext(later)
        came = [each["state"] for each in limits["states"]]
        assert came[-1] == look["state"]
        assert "ready" in came[:-1]
        assert sorted(limits["states"], key=lambda each: each["at"]) == limits["states"]


def lost(look: Any) -> list[str]:
    return [each["slots"] for each in look["shards"] if not each["serving"]]


async def test_with_sentinel_the_primary_and_who_watches_are_shown() -> None:
    async with SentinelDeployment(replicas=1) as deployment:
        manager = RedisManager(deployment.url, log_addresses=True)
        async with looked_at(manager) as site, aclosing(told(site.http)) as stream:
            await anext(stream)
            look = await look_where(stream, lambda look: look["sentinels"] == 3)
            assert look["address"] == f"127.0.0.1:{(await deployment.primary()).port}"
            await deployment.sentinels[0].kill()
            await look_where(stream, lambda look: look["sentinels"] == 2)


async def look_where(stream: Any, fits: Callable[[Any], object]) -> Any:
    async for _, (look,) in stream:
        if fits(look):
            return look
    raise AssertionError("the stream ended")


async def test_who_may_look_is_the_app_s_to_say(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("CONSOLE_PASSWORD", SECRET)
    app = runpy.run_path(str(ROOT / "examples/watched.py"))["app"]
    async with serving(app) as site:
        for path in ("/redis", "/redis/static/console.js", "/redis/events"):
            assert (await site.http.get(path)).status_code == 401
            wrong = await site.http.get(path, auth=("me", "guess"))
            assert wrong.status_code == 401
        assert (await site.http.get("/redis", auth=("me", SECRET))).status_code == 200


async def test_without_a_lifespan_it_says_what_is_missing() -> None:
    app = FastAPI()
    app.include_router(console_router, prefix="/redis")
    async with serving(app) as site:
        assert (await site.http.get("/redis/events")).status_code == 500


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_who_looks_does_not_hold_up_the_end_of_the_process(
    redis_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "watched.py").write_text(
        "from fastapi import FastAPI\n"
        "from redis_manager_fastapi import RedisManager, console_router\n"
        "manager = RedisManager()\n"
        "app = FastAPI(lifespan=manager)\n"
        "app.include_router(console_router, prefix='/redis')\n"
    )
    env = environment(REDIS_URL=redis_url, PYTHONPATH=str(ROOT))
    async with (
        server_process("watched:app", directory=tmp_path, env=env) as process,
        httpx.AsyncClient(base_url=await process.url(), timeout=PATIENCE) as http,
    ):
        stream = told(http)
        await anext(stream)
        process.signal(number)
        async for _ in stream:
            pass
        await asyncio.wait_for(process.ended(), PATIENCE)
        assert "Traceback" not in process.log


def test_events_are_told_in_words() -> None:
    healed = StateChanged(
        *("default", "down", "ready", 2, "serving", 1.25), elsewhere=True, waited=3, lost=1
    )
    fallen = StateChanged("default", "suspect", "down", 1, "connection refused")
    remade = GroupRemade("default", "orders", "billing", "0")
    assert in_words(healed) == "ready again after 1.25 s, on another server: 3 waited, 1 lost"
    assert in_words(fallen) == "down: connection refused"
    assert in_words(remade) == "group remade: stream orders, group billing"
