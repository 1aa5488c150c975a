import asyncio

from fastapi import FastAPI, WebSocket

from redis_manager_fastapi import Message, RedisDep, RedisManager, RedisOutageError

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)


@app.websocket("/rooms/{room}")
async def chat(websocket: WebSocket, room: str, r: RedisDep) -> None:
    await websocket.accept()
    async with manager.subscribe(f"room:{room}") as messages:

        async def send() -> None:
            async for message in messages:
                text = message.data if isinstance(message, Message) else "(some may be missing)"
                await websocket.send_text(text)
            await websocket.close(1012)  # the app shuts down

        sending = asyncio.create_task(send())
        try:
            async for text in websocket.iter_text():
                try:
                    await r.publish(f"room:{room}", text)
                except RedisOutageError:  # uncaught, it would close the WebSocket
                    await websocket.send_text("(not sent, or not for certain)")
        finally:
            sending.cancel()
