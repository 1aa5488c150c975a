import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from redis_manager_fastapi import RedisDep, RedisManager

redis = RedisManager()


async def count_seconds() -> None:
    """A task of the app's own, outside any request."""
    while True:
        async with redis.client() as r:
            await r.incr("seconds")
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(count_seconds())  # Redis is open here, and until the end
    yield
    task.cancel()


app = FastAPI(lifespan=redis.wrap(lifespan))


@app.get("/seconds")
async def seconds(r: RedisDep) -> int:
    return int(await r.get("seconds") or 0)
