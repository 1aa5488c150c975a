import logging

from fastapi import FastAPI

from redis_manager_fastapi import Event, Gap, RedisManager, StateChanged

logger = logging.getLogger("uvicorn.error")
manager = RedisManager()
app = FastAPI(lifespan=manager.lifespan)
outages: list[float] = []


@manager.on_event
def remember(event: Event) -> None:
    if isinstance(event, StateChanged) and event.state == "ready":
        outages.append(event.outage)


@manager.background
async def report() -> None:
    async for event in manager.events():
        if isinstance(event, Gap):
            logger.warning("%d events were dropped", event.dropped)
        elif isinstance(event, StateChanged):
            logger.warning("%s is %s", event.instance, event.state)


@app.get("/outages")
async def told() -> list[float]:
    return outages
