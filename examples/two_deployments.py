import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import Depends, FastAPI

from redis_manager_fastapi import (
    Redis,
    RedisDep,
    RedisOutageError,
    RedisRegistry,
    health_router,
    redis_dependency,
)

registry = RedisRegistry.from_env("default", "cache")  # REDIS_*, REDIS_CACHE_*

app = FastAPI(lifespan=registry)
app.include_router(health_router)

CacheDep = Annotated[Redis | None, Depends(redis_dependency("cache", optional=True))]


@app.post("/jobs/{name}")
async def add_job(name: str, jobs: RedisDep) -> dict[str, int]:
    return {"waiting": await jobs.rpush("jobs", name)}


@app.get("/articles/{number}")
async def article(number: int, cache: CacheDep) -> str:
    if cache is not None:  # None while it is known that the cache does not serve
        with suppress(RedisOutageError):  # it may stop serving at any moment
            if (kept := await cache.get(f"article:{number}")) is not None:
                return kept
    text = await load(number)
    if cache is not None:
        with suppress(RedisOutageError):
            await cache.set(f"article:{number}", text, ex=60)
    return text


async def load(number: int) -> str:
    """Stands for the source: a database, or another service."""
    await asyncio.sleep(0.01)
    return f"article {number}"
