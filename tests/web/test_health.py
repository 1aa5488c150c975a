"""Liveness and readiness: answered from what is known, and true."""

import asyncio

import pytest
from fastapi import FastAPI

from redis_manager_fastapi import RedisManager, RedisSettings, health_router
from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import Serve


def health_app(manager: RedisManager) -> FastAPI:
    app = FastAPI(lifespan=manager.lifespan)
    app.include_router(health_router)
    return app


async def test_readiness_asks_nobody(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """A thousand questions send Redis nothing: only heartbeats are counted there."""
    manager = RedisManager(url=redis_url, health={"interval": 3600})
    site = await serve(health_app(manager))
    before = await redis_server.command("INFO", "commandstats")
    for _ in range(200):
        assert (await site.http.get("/readyz")).status_code == 200
        assert (await site.http.get("/livez")).text == "ok"
    after = await redis_server.command("INFO", "commandstats")

    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= {"cmdstat_info", "cmdstat_config|get", "cmdstat_client|setinfo"}


async def test_body_names_state_and_reason(
    serve: Serve, redis_url: str, redis_server: RedisServer
) -> None:
    """While down, readiness gives each deployment's state and reason, and Retry-After."""
    site = await serve(health_app(RedisManager(url=redis_url)))
    ready = await site.http.get("/readyz")
    await redis_server.kill()
    await site.until("/readyz", 503, within=1)
    # A probe that meets the dying process is told something else than the next one.
    async with asyncio.timeout(5):
        while "refused" not in (down := await site.http.get("/readyz")).text:
            pass

    assert ready.json() == {"status": "ready", "redis": {"default": {"state": "ready"}}}
    assert down.json() == {
        "status": "unavailable",
        "redis": {"default": {"state": "down", "reason": "connection refused"}},
    }
    assert down.headers["retry-after"] == "1"
    assert str(redis_server.port) not in down.text


@pytest.mark.parametrize(("critical", "status"), [("true", 503), ("false", 200)])
async def test_uncritical_deployment_is_shown_and_does_not_decide(
    serve: Serve,
    redis_url: str,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    critical: str,
    status: int,
) -> None:
    """`REDIS_CACHE_CRITICAL=false` keeps an app ready while that deployment is away."""
    monkeypatch.setenv("REDIS_CACHE_CRITICAL", critical)
    monkeypatch.setenv("REDIS_CACHE_STARTUP__POLICY", "degraded")
    async with RedisServer() as other:
        absent = other.url
    cache = RedisManager(RedisSettings(url=absent, _env_prefix="REDIS_CACHE_"), name="cache")
    main = RedisManager(url=redis_url)
    app = FastAPI(lifespan=main.wrap(cache.lifespan))
    app.include_router(health_router)
    site = await serve(app)
    response = await site.http.get("/readyz")

    assert response.status_code == status
    assert response.json()["redis"]["default"] == {"state": "ready"}
    assert response.json()["redis"]["cache"]["state"] != "ready"


async def test_health_routes_stay_out_of_the_schema(serve: Serve, redis_url: str) -> None:
    """They are for probes, not for the app's users."""
    site = await serve(health_app(RedisManager(url=redis_url)))

    assert (await site.http.get("/openapi.json")).json()["paths"] == {}
    assert (await site.http.head("/readyz")).status_code == 200
