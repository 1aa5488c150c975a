from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from redis_manager_fastapi import Gap, RedisDep, RedisManager

manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)


@app.post("/rooms/{room}")
async def say(room: str, text: str, r: RedisDep) -> str:
    return await r.xadd(f"room:{room}", {"text": text}, maxlen=10_000)


@app.get("/rooms/{room}", response_class=EventSourceResponse)
async def listen(
    room: str, last_event_id: Annotated[str | None, Header()] = None
) -> AsyncIterator[ServerSentEvent]:
    async with manager.tail(f"room:{room}", after=last_event_id) as entries:
        async for entry in entries:
            if isinstance(entry, Gap):
                yield ServerSentEvent(event="gap", data=entry.reason, id=entry.cursor)
            else:
                yield ServerSentEvent(data=entry.fields["text"], id=entry.cursor)
