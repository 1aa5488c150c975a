"""An app with a cache that it can do without: a route with it, and the same without."""

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import Depends, FastAPI

from redis_manager_fastapi import (
    Redis,
    RedisManager,
    RedisOutageError,
    RedisRegistry,
    health_router,
    redis_dependency,
)

SOURCE_TAKES = 0.01

app = FastAPI(lifespan=RedisRegistry(cache=RedisManager(name="cache", critical=False)))
app.include_router(health_router)

CacheDep = Annotated[Redis | None, Depends(redis_dependency("cache", optional=True))]


async def load() -> str:
    """Stand for the source."""
    await asyncio.sleep(SOURCE_TAKES)
    return "source"


@app.get("/plain")
async def plain() -> str:
    """Answer from the source."""
    return await load()


@app.get("/cached")
async def cached(cache: CacheDep) -> str:
    """Answer from the cache, or else from the source."""
    if cache is not None:
        with suppress(RedisOutageError):
            if await cache.get("article") is not None:
                return "cache"
    text = await load()
    if cache is not None:
        with suppress(RedisOutageError):
            await cache.set("article", text, ex=60)
    return text
