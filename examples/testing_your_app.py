"""Test an app against a real Redis: `pytest testing_your_app.py`, with the extra `testing`."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from redis_manager_fastapi import RedisDep, RedisManager
from redis_manager_fastapi.testing import RedisServer


def create_app(manager: RedisManager) -> FastAPI:
    app = FastAPI(lifespan=manager.lifespan)

    @app.post("/hits/{page}")
    async def hit(page: str, r: RedisDep) -> dict[str, int]:
        return {"hits": await r.incr(f"hits:{page}")}

    return app


@pytest.fixture
def client(redis_url: str) -> Iterator[TestClient]:
    manager = RedisManager(url=redis_url, outage={"grace": 0})
    with TestClient(create_app(manager)) as client:  # `with` runs the lifespan
        yield client


def test_hits_are_counted(client: TestClient) -> None:
    assert client.post("/hits/home").json() == {"hits": 1}
    assert client.post("/hits/home").json() == {"hits": 2}


@pytest.mark.asyncio
async def test_outage_is_a_503(client: TestClient, redis_server: RedisServer) -> None:
    await redis_server.kill()

    response = client.post("/hits/home")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
