"""A FastAPI app on a Cluster: the same dependency, the same answers, readiness by shard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import redis.asyncio
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from redis_manager_fastapi import PoolState, RedisDep, RedisManager, health_router
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.clusters import keys_in
from tests.kit.waiting import until


def app_on(manager: RedisManager) -> FastAPI:
    app = FastAPI(lifespan=manager.lifespan)
    app.include_router(health_router)

    @app.post("/hits/{page}")
    async def hit(page: str, r: RedisDep) -> dict[str, int]:
        assert isinstance(r, redis.asyncio.RedisCluster)
        return {"hits": await r.incr(page)}

    return app


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The app without a network, its lifespan run."""
    async with app.router.lifespan_context(app) as state:

        async def stateful(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(app=stateful)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def test_a_route_counts_on_every_shard(deployment: ClusterDeployment) -> None:
    async with serving(app_on(RedisManager(url=deployment.url))) as client:
        for page in ("a", "b", "c", "d"):
            assert (await client.post(f"/hits/{page}")).json() == {"hits": 1}
        assert (await client.get("/readyz")).json()["status"] == "ready"


async def test_a_lost_shard_answers_503_and_is_named_by_readiness(
    deployment: ClusterDeployment,
) -> None:
    lost, kept = (keys_in(deployment.slots_of(index), 1)[0] for index in (0, 1))
    slots = deployment.slots_of(0)
    manager = RedisManager(url=deployment.url, outage={"grace": 0.1})

    async with serving(app_on(manager)) as client:
        await deployment.replica_of(0).kill()
        await deployment.primaries[0].kill()
        await until(lambda: manager.stats().state is PoolState.DOWN)

        answer = await client.post(f"/hits/{lost}")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["code"] == "redis_unavailable"
        assert (await client.post(f"/hits/{kept}")).json() == {"hits": 1}
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        reason = ready.json()["redis"]["default"]["reason"]
        assert reason == f"slots {slots.start}-{slots.stop - 1}: connection refused"


async def test_a_start_without_the_cluster_says_so(deployment: ClusterDeployment) -> None:
    for node in deployment.nodes:
        await node.kill()
    manager = RedisManager(url=deployment.url, startup={"policy": "degraded"})

    async with serving(app_on(manager)) as client:
        await until(lambda: manager.stats().state is PoolState.DOWN)
        assert (await client.get("/readyz")).status_code == 503
        for node in deployment.nodes:
            await node.start()
        await until(lambda: manager.is_ready, 15)
        assert (await client.get("/readyz")).status_code == 200
