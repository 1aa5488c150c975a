"""WebSockets that hear a channel as the example `news` does, and a loop over the same ones.

The loop is what sending to them costs without Redis, and without this library.
"""

import time

from fastapi import FastAPI, WebSocket

from redis_manager_fastapi import Gap, RedisManager

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)
listening: set[WebSocket] = set()


@app.websocket("/news")
async def news(websocket: WebSocket) -> None:
    """Send what is published, and the gaps."""
    await websocket.accept()
    listening.add(websocket)
    try:
        async with manager.subscribe("news", until=websocket) as messages:
            async for message in messages:
                if isinstance(message, Gap):
                    await websocket.send_json({"missed": message.reason})
                else:
                    await websocket.send_json({"text": message.data})
    finally:
        listening.discard(websocket)


@app.websocket("/loop")
async def loop(websocket: WebSocket) -> None:
    """Send each text to all that hear the channel; answer with the processor's time so far."""
    await websocket.accept()
    async for text in websocket.iter_text():
        if text:
            for each in list(listening):
                await each.send_json({"text": text})
        await websocket.send_text(str(time.process_time()))
