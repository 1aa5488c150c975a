from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from redis_manager_fastapi import Gap, RedisDep, RedisManager, StreamEntry

manager = RedisManager()
app = FastAPI(lifespan=manager)


@app.post("/jobs/{name}")
async def add(name: str, r: RedisDep) -> str:
    return await r.xadd("jobs", {"name": name}, maxlen=100_000)


@manager.consumer("jobs", group="workers", claim_after=5)
async def work(job: StreamEntry) -> None:
    """A job may come twice: its result stays the same, and browsers hear of it again."""
    name = job.fields["name"]
    async with manager.redis.pipeline() as pipe:
        await pipe.hset("results", job.id, name.upper()).xadd("done", {"name": name}).execute()


@app.get("/done", response_class=EventSourceResponse)
async def done(
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    async with manager.tail("done", after=last_event_id) as entries:
        async for entry in entries:
            if isinstance(entry, Gap):
                yield ServerSentEvent(event="gap", data=entry.reason, id=entry.cursor)
            else:
                yield ServerSentEvent(data=entry.fields["name"], id=entry.cursor)
