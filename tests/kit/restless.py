"""A service whose worker asks again at once, for ever, and is never cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from redis.exceptions import RedisError

from redis_manager_fastapi import RedisManager, health_router

manager = RedisManager(outage={"grace": 0})


async def work() -> None:
    """Take jobs from a queue, whatever comes between."""
    while True:
        try:
            await manager.redis.blpop(["jobs"], timeout=5)
        except RedisError:
            continue


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    worker = asyncio.create_task(work())
    async with manager.lifespan(app) as state:
        yield {**state, "worker": worker}


app = FastAPI(lifespan=lifespan)
app.include_router(health_router)
