"""What a FastAPI route sees."""

import asyncio
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI

from redis_manager_fastapi import (
    Redis,
    RedisCluster,
    RedisClusterDep,
    RedisConnectionDep,
    RedisDep,
    RedisManager,
    get_redis,
)

manager = RedisManager("redis://localhost")
app = FastAPI(lifespan=manager.lifespan)
BytesRedisDep = Annotated[Redis[bytes], Depends(get_redis)]


@app.get("/text")
async def text(r: RedisDep) -> str | None:
    assert_type(r, Redis)
    assert_type(await r.hgetall("h"), dict[str, str])
    return await r.get("k")


@app.get("/raw")
async def raw(r: BytesRedisDep) -> int:
    assert_type(await r.get("k"), bytes | None)
    return len(await r.get("k") or b"")


@app.get("/connection")
async def connection(r: RedisConnectionDep) -> None:
    assert_type(r, Redis)
    assert_type(await r.blpop("l"), tuple[str, str] | None)


@app.get("/cluster")
async def cluster(r: RedisClusterDep) -> None:
    assert_type(r, RedisCluster)
    assert_type(await r.get("k"), str | None)


@app.get("/together")
async def together(r: RedisDep) -> None:
    hits, name = await asyncio.gather(r.incr("hits"), r.get("name"))
    assert_type((hits, name), tuple[int, str | None])
    assert_type(await asyncio.create_task(r.get("k")), str | None)
    assert_type(await asyncio.wait_for(r.get("k"), 1), str | None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(r.smembers("s"))
    assert_type(task.result(), set[str])
