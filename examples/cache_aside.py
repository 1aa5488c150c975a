import asyncio
from contextlib import suppress

from fastapi import FastAPI, HTTPException
from redis.exceptions import LockError

from redis_manager_fastapi import RedisDep, RedisManager, RedisOutageError, health_router

manager = RedisManager()
app = FastAPI(lifespan=manager)
app.include_router(health_router)


async def load(number: int) -> str:
    """Stands for the source: a database, or another service."""
    await asyncio.sleep(0.01)
    return f"article {number}"


@app.get("/articles/{number}")
async def article(number: int, r: RedisDep) -> str:
    cache, key = r.with_options(grace=0), f"article:{number}"
    with suppress(RedisOutageError):  # without a cache, the source answers
        if (kept := await cache.get(key)) is not None:
            return kept
    text = await load(number)
    with suppress(RedisOutageError):
        await cache.set(key, text, ex=60)
    return text


@app.get("/popular/{number}")
async def popular(number: int, r: RedisDep) -> str:
    cache, key = r.with_options(grace=0), f"popular:{number}"
    with suppress(RedisOutageError, LockError):  # or nobody has asked the source in time
        if (kept := await cache.get(key)) is not None:
            return kept
        async with cache.lock(f"{key}:lock", timeout=5, blocking_timeout=1):
            if (kept := await cache.get(key)) is None:  # nobody has, while this one waited
                kept = await load(number)
                await cache.set(key, kept, ex=60)
            return kept
    return await load(number)


@app.post("/reports/{day}")
async def report(day: str, r: RedisDep) -> dict[str, int]:
    lock = r.lock(f"report:{day}", timeout=30)  # who dies with it holds it for 30 s at most
    if not await lock.acquire(blocking=False):
        raise HTTPException(409, "this report is being made")
    try:
        return {"articles": len([await load(number) for number in range(10)])}
    finally:
        with suppress(RedisOutageError, LockError):  # it ends by itself then
            await lock.release()
