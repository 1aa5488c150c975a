from fastapi import BackgroundTasks, FastAPI

from redis_manager_fastapi import RedisDep, RedisManager

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)


async def send_mail(order: str) -> None:
    """Run after the response, or wherever it is called: it has a client of its own."""
    async with manager.client() as r:
        if await r.set(f"mailed:{order}", 1, nx=True, ex=86_400):
            await r.xadd("mails", {"order": order})


@app.post("/orders/{order}")
async def place(order: str, r: RedisDep, background: BackgroundTasks) -> dict[str, int]:
    placed = await r.incr("orders")
    background.add_task(send_mail, order)
    return {"placed": placed}
