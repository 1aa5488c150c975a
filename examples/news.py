from fastapi import FastAPI, WebSocket

from redis_manager_fastapi import Gap, RedisDep, RedisManager, health_router

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)
app.include_router(health_router)


@app.post("/news")
async def publish(text: str, r: RedisDep) -> dict[str, int]:
    return {"heard_by": await r.publish("news", text)}


@app.websocket("/news")
async def news(websocket: WebSocket) -> None:
    await websocket.accept()
    async with manager.subscribe("news", until=websocket) as messages:
        async for message in messages:
            if isinstance(message, Gap):
                await websocket.send_json({"missed": message.reason, "seconds": message.seconds})
            else:
                await websocket.send_json({"text": message.data})
