from fastapi import FastAPI

from redis_manager_fastapi import RedisDep, RedisManager, StreamEntry

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)


@manager.consumer("orders", group="billing", claim_after=5, max_deliveries=5, dead_letter="unpaid")
async def bill(entry: StreamEntry) -> None:
    """An entry may come twice: done again, this changes nothing."""
    await manager.redis.hset("bills", entry.fields["order"], entry.id)


@manager.background
async def ship() -> None:
    async with manager.consume("orders", group="shipping", claim_after=5) as entries:
        async for entry in entries:
            await manager.redis.sadd("shipped", entry.fields["order"])


@app.post("/orders/{order}")
async def take(order: str, r: RedisDep) -> str:
    return await r.xadd("orders", {"order": order})


@app.get("/done")
async def done(r: RedisDep) -> dict[str, int]:
    return {"billed": await r.hlen("bills"), "shipped": await r.scard("shipped")}
