"""A small service that tests run in a process of its own: `uvicorn service:app`."""

from typing import Any

from fastapi import FastAPI

from redis_manager_fastapi import RedisDep, RedisManager, health_router

redis = RedisManager()
app = FastAPI(lifespan=redis.lifespan)
app.include_router(health_router)


@app.post("/hits/{page}")
async def hit(page: str, r: RedisDep) -> int:
    """Count a page's hits: a write."""
    return int(await r.incr(f"hits:{page}"))


@app.get("/hits/{page}")
async def read(page: str, r: RedisDep) -> int:
    """Return a page's hits: a read."""
    return int(await r.get(f"hits:{page}") or 0)


@app.get("/clients")
async def clients() -> int:
    """Return how many requests use Redis now; does not use it itself."""
    return redis.stats().clients


@app.get("/wait/{queue}")
async def wait(queue: str, r: RedisDep) -> Any:
    """Wait for ever for an element."""
    return await r.blpop([queue], timeout=0)
