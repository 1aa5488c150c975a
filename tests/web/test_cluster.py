"""The same routes on a Cluster."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from redis_manager_fastapi import RedisDep, RedisManager, health_router
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.serving import Serve

KEYS = [f"key{number}" for number in range(30)]


@pytest.fixture
async def deployment() -> AsyncIterator[ClusterDeployment]:
    """Three primaries without a replica."""
    async with ClusterDeployment(replicas=0) as deployment:
        yield deployment


async def test_routes_and_readiness(serve: Serve, deployment: ClusterDeployment) -> None:
    """Routes count over all shards; a lost shard is 503 there, in words that name no address."""
    manager = RedisManager(url=deployment.url, outage={"grace": 0.2})
    app = FastAPI(lifespan=manager.lifespan)
    app.include_router(health_router)

    @app.post("/hits/{page}")
    async def hit(page: str, r: RedisDep) -> int:
        return int(await r.incr(page))

    site = await serve(app)
    ready = await site.http.get("/readyz")
    counted = {(await site.http.post(f"/hits/{key}")).json() for key in KEYS}
    await deployment.nodes[0].kill()
    answers = [await site.http.post(f"/hits/{key}") for key in KEYS]
    unready = await site.until("/readyz", 503)

    assert ready.status_code == 200
    assert counted == {1}
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in (*answers, unready):
        for node in deployment.nodes:
            assert str(node.port) not in answer.text
            assert "127.0.0.1" not in answer.text
    assert manager.stats().clients == 0
