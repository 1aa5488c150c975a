"""A service whose workers ask again at once, for ever, and are never cancelled.

Each asks in one way of its own.  Its event loop's longest stall is what `/worked` says of it.
"""

import asyncio
import gc
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from redis.exceptions import RedisError

from redis_manager_fastapi import RedisManager, RedisManagerError, health_router

TICK = 0.005

logger = logging.getLogger("uvicorn.error")

manager = RedisManager(outage={"grace": 0})
r: Any = manager.redis
cached = r.with_options(cache=0.01)


async def blpop() -> None:
    await r.blpop(["key"], timeout=5)


async def get() -> None:
    await r.get("key")


async def elsewhere() -> None:
    """On a Cluster of three shards, on another one."""
    await r.get("b")


async def gathered() -> None:
    await asyncio.gather(r.get("key"), r.incr("count"))


async def pipeline() -> None:
    await r.pipeline(transaction=False).get("key").incr("{key}count").execute()


async def transaction() -> None:
    await r.pipeline(transaction=True).incr("{key}count").execute()


async def watch() -> None:
    async with r.pipeline(transaction=True) as pipe:
        await pipe.watch("key")


async def script() -> None:
    await r.eval("return 1", 1, "key")


async def lock() -> None:
    async with r.lock("lock", timeout=1, blocking_timeout=1):
        pass


async def dedicated() -> None:
    await r.with_options(dedicated=True).get("key")


async def known() -> None:
    await cached.get("key")


async def scan() -> None:
    async for _ in r.sscan_iter("{key}set"):
        pass


async def scoped() -> None:
    async with manager.client() as client:
        await client.get("key")


async def channel() -> None:
    async with r.pubsub() as pubsub:
        await pubsub.subscribe("news")


async def listen() -> None:
    async with manager.subscribe("news") as messages:
        async for _ in messages:
            return


async def tail() -> None:
    async with manager.tail("{key}stream", after="start") as entries:
        async for _ in entries:
            return


async def consume() -> None:
    async with manager.consume("{key}stream", group="group") as entries:
        async for _ in entries:
            return


WORK: list[Callable[[], Awaitable[None]]] = [
    *(blpop, get, elsewhere, gathered, pipeline, transaction, watch, script, lock, dedicated),
    *(known, scan, scoped, channel, listen, tail, consume),
]

# One kind of work, asked for in so many workers, is enough to fill a queue.
CROWD = int(os.environ.get("CROWD", "0"))

done: Counter[str] = Counter()
refused: Counter[str] = Counter()
stalls = [0.0]


async def work(once: Callable[[], Awaitable[None]]) -> None:
    """Do it again at once when it is refused, and soon when it is done, whatever happens."""
    name = getattr(once, "__name__", "")
    while True:
        try:
            await once()
        except (RedisError, RedisManagerError):  # "not started" is no RedisError
            refused[name] += 1
            continue
        done[name] += 1
        await asyncio.sleep(TICK)


async def watch_the_loop() -> None:
    """Note how long the loop has computed between two ticks: a busy machine is no stall."""
    gc.freeze()
    while True:
        began, computed = time.monotonic(), time.thread_time()
        await asyncio.sleep(TICK)
        late, took = time.monotonic() - began - TICK, time.thread_time() - computed
        stalls.append(min(late, took))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    kinds = [blpop] * CROWD if CROWD else WORK
    workers = [asyncio.create_task(work(kind)) for kind in kinds]
    watching = asyncio.create_task(watch_the_loop())
    await asyncio.sleep(0)  # they begin before the manager opens
    async with manager.lifespan(app) as state:
        yield {**state, "workers": [*workers, watching]}
        logger.info("served")
    for _ in range(50):  # after the manager's end
        await asyncio.sleep(0.01)
    logger.info("longest stall: %.4f", max(stalls))


app = FastAPI(lifespan=lifespan)
app.include_router(health_router)


@app.get("/worked")
async def worked() -> dict[str, Any]:
    """Say what became of the work since the last time."""
    told = {"done": dict(done), "refused": dict(refused), "stall": max(stalls)}
    done.clear()
    refused.clear()
    return told
