from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from redis_manager_fastapi import RedisDep, RedisManager
from redis_manager_fastapi.metrics.prometheus import RedisCollector

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)

REGISTRY.register(RedisCollector(manager))


@app.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@app.post("/hits/{page}")
async def hit(page: str, r: RedisDep) -> int:
    return await r.incr(f"hits:{page}")
