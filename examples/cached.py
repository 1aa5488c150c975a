"""A page of prices that is read from the process, and that outlives an outage of Redis."""

from fastapi import FastAPI

from redis_manager_fastapi import CachedRedisDep, CacheStatusMiddleware, RedisDep, RedisManager

manager = RedisManager(client_cache={"ttl": 30.0, "stale": 300.0})
app = FastAPI(lifespan=manager.lifespan)
app.add_middleware(CacheStatusMiddleware)


@app.get("/prices/{item}")
async def price(item: str, r: CachedRedisDep) -> dict[str, str | None]:
    return {"price": await r.get(f"price:{item}")}


@app.put("/prices/{item}")
async def set_price(item: str, price: str, r: RedisDep) -> dict[str, str]:
    await r.set(f"price:{item}", price)
    return {"price": price}


@app.get("/carts/{user}")
async def cart(user: str, r: RedisDep) -> dict[str, object]:
    cached = r.with_options(cache=5.0, stale=60.0)
    items = await cached.hgetall(f"cart:{user}")
    return {"items": items, "seconds_old": cached.stale_for}
