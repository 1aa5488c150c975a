from fastapi import FastAPI

from redis_manager_fastapi import RedisDep, RedisManager, health_router

manager = RedisManager()  # reads REDIS_*; connects when the app starts
app = FastAPI(lifespan=manager.lifespan)
app.include_router(health_router)


@app.post("/hits/{page}")
async def hit(page: str, r: RedisDep) -> dict[str, int]:
    return {"hits": await r.incr(f"hits:{page}")}
