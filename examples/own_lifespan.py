import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from redis_manager_fastapi import RedisDep, RedisManager

manager = RedisManager()


async def count_seconds() -> None:
    """Count in the background, outside any request."""
    while True:
        async with manager.client() as r:
            await r.incr("seconds")
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(count_seconds())  # Redis is open from here until the end
    yield
    task.cancel()


app = FastAPI(lifespan=manager.wrap(lifespan))


@app.get("/seconds")
async def seconds(r: RedisDep) -> int:
    return int(await r.get("seconds") or 0)
