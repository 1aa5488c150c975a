import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request

from redis_manager_fastapi import RedisDep, RedisManager

manager = RedisManager()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    started = await manager.redis.incr("starts")  # Redis is open from here until the end
    yield {"started": started}  # request.state.started


app = FastAPI(lifespan=manager.wrap(lifespan))


@manager.background  # runs while the app runs; restarted when an outage ends it
async def count_seconds() -> None:
    while True:
        await manager.redis.incr("seconds")
        await asyncio.sleep(1)


@app.get("/started")
async def started(request: Request) -> int:
    return int(request.state.started)


@app.get("/seconds")
async def seconds(r: RedisDep) -> int:
    return int(await r.get("seconds") or 0)
