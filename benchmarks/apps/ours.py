"""The app over this library, with two routes more for large values."""

import time

from fastapi import FastAPI

from benchmarks.apps import KEYS, VALUE, Body, one, ten
from redis_manager_fastapi import CachedRedisDep, RedisDep, RedisManager

LARGE_KEY = "bench:large"

app = FastAPI(lifespan=RedisManager().lifespan)


@app.get("/none")
async def no_redis() -> Body:
    """Answer without Redis."""
    return {"value": VALUE}


@app.get("/one")
async def one_get(redis: RedisDep) -> Body:
    """Answer with one GET."""
    return await one(redis.get)


@app.get("/ten")
async def ten_gets(redis: RedisDep) -> Body:
    """Answer with ten gathered GETs."""
    return await ten(redis.get)


@app.get("/cached/one")
async def one_cached_get(redis: CachedRedisDep) -> Body:
    """Answer with one GET that the process knows."""
    return await one(redis.get)


@app.get("/cached/ten")
async def ten_cached_gets(redis: CachedRedisDep) -> Body:
    """Answer with ten of them, one after another."""
    values = [await redis.get(key) for key in KEYS]
    return {"value": values[0]}


@app.get("/timed")
async def timed_get(redis: RedisDep) -> Body:
    """Answer with the seconds that one GET took."""
    began = time.perf_counter()
    await redis.get(KEYS[0])
    return {"seconds": time.perf_counter() - began}


@app.get("/large")
async def large_get(redis: RedisDep, dedicated: bool = False) -> Body:
    """Read a large value, on the shared connection or on one of its own."""
    reader = redis.with_options(decode_responses=False, dedicated=dedicated)
    return {"bytes": len(await reader.get(LARGE_KEY) or b"")}
