"""The app over redis-py alone: one client for the app, handed out by an `async def` dependency."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.apps import VALUE, Body, one, ten

# 50 connections, for which callers queue: redis-py's default pool answers with errors
# as soon as more than 100 commands are in progress.
client = Redis.from_pool(
    BlockingConnectionPool.from_url(os.environ["REDIS_URL"], decode_responses=True)
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Close the client at the end."""
    yield
    await client.aclose()


async def get_client() -> Redis:
    """Return the app's client."""
    return client


ClientDep = Annotated[Redis, Depends(get_client)]

app = FastAPI(lifespan=lifespan)


@app.get("/none")
async def no_redis() -> Body:
    """Answer without Redis."""
    return {"value": VALUE}


@app.get("/one")
async def one_get(redis: ClientDep) -> Body:
    """Answer with one GET."""
    return await one(redis.get)


@app.get("/ten")
async def ten_gets(redis: ClientDep) -> Body:
    """Answer with ten gathered GETs."""
    return await ten(redis.get)
