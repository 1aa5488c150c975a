from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection

from redis_manager_fastapi import (
    Redis,
    RedisDep,
    RedisManager,
    RedisSettings,
    get_manager,
    health_router,
)

queue = RedisManager()  # REDIS_*
cache = RedisManager(RedisSettings(_env_prefix="REDIS_CACHE_"), name="cache")  # REDIS_CACHE_*

app = FastAPI(lifespan=queue.wrap(cache.lifespan))
app.include_router(health_router)


async def get_cache(connection: HTTPConnection) -> AsyncIterator[Redis]:
    async with get_manager(connection, "cache").client() as r:
        yield r


CacheDep = Annotated[Redis, Depends(get_cache)]


@app.post("/jobs/{name}")
async def add_job(name: str, jobs: RedisDep, cached: CacheDep) -> dict[str, int]:
    await cached.delete("jobs")
    return {"waiting": await jobs.rpush("jobs", name)}
