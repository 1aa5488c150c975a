from typing import Any

from fastapi import FastAPI, HTTPException

from redis_manager_fastapi import (
    REDIS_RESPONSES,
    RedisDep,
    RedisManager,
    RedisOutageError,
    health_router,
)

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan, responses=REDIS_RESPONSES)
app.include_router(health_router)


@app.get("/greeting")
async def greeting(r: RedisDep) -> str:
    try:
        name = str(await r.get("name") or "there")
    except RedisOutageError:
        name = "there"  # this route works without Redis
    return f"Hello {name}"


@app.post("/payments/{number}")
async def pay(number: str, r: RedisDep) -> dict[str, Any]:
    try:
        first = await r.set(f"paid:{number}", 1, nx=True)
    except RedisOutageError as error:
        if not error.maybe_executed:
            raise  # it did not happen: the answer is 503 or 504
        # It was sent and may have happened: look before you try again.
        raise HTTPException(409, "it is not known whether this was paid") from error
    return {"paid": number, "again": not first}
