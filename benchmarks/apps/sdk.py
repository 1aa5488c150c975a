"""The app over fastapi-redis-sdk, as its README sets it up; it reads `REDIS_URL` itself."""

from fastapi import FastAPI
from redis_fastapi import AsyncRedisDep, FastAPIRedis

from benchmarks.apps import VALUE, Body, one, ten

app = FastAPI()
FastAPIRedis(app).lifespan()


@app.get("/none")
async def no_redis() -> Body:
    """Answer without Redis."""
    return {"value": VALUE}


@app.get("/one")
async def one_get(redis: AsyncRedisDep) -> Body:
    """Answer with one GET."""
    return await one(redis.get)


@app.get("/ten")
async def ten_gets(redis: AsyncRedisDep) -> Body:
    """Answer with ten gathered GETs."""
    return await ten(redis.get)
