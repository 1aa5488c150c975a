from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

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
    with suppress(WebSocketDisconnect):
        async with manager.subscribe("news", until=websocket) as messages:
            async for item in messages:
                if isinstance(item, Gap):
                    await websocket.send_json({"missed": item.reason, "seconds": item.seconds})
                else:
                    await websocket.send_json({"text": item.data})
        await websocket.close(1012)  # the app shuts down
