from fastapi import FastAPI, WebSocket

from redis_manager_fastapi import RedisDep, RedisManager

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)


@app.websocket("/votes/{poll}")
async def votes(websocket: WebSocket, poll: str, r: RedisDep) -> None:
    """What a command raises in an outage closes the WebSocket with 1013: try again later."""
    await websocket.accept()
    async for choice in websocket.iter_text():
        await r.hincrby(f"poll:{poll}", choice, 1)
        await websocket.send_json(await r.hgetall(f"poll:{poll}"))
