"""A request with thirty commands of every kind, for whatever is to see each of them."""

import asyncio
from typing import Any

from fastapi import FastAPI

from redis_manager_fastapi import RedisConnectionDep, RedisDep, RedisManager

BLOCKED = 0.2
"""Seconds that one of the commands waits."""

EXPECTED: list[str | tuple[str, ...]] = [
    *("SET", "GET", "INCRBY", "HSET", "HGETALL", "EXPIRE"),
    *("GET", "GET", "GET", "GET"),  # gathered
    *("GET", "GET"),  # in a task, and with a time limit
    *(("PIPELINE", "SET", "GET"), ("MULTI", "GET", "GET")),
    *("WATCH", "GET", ("MULTI", "SET")),
    *("RPUSH", "BLPOP", "BLPOP"),
    *("PUBLISH", "EVAL", "SCRIPT LOAD", "EVALSHA"),
    *("GET", "GET", "SET"),  # with other options, and a value that leaves alone
    *("SET", "CLIENT ID", "GET"),  # on one connection
]
"""The commands in their order; a pipeline or a transaction is a tuple."""

COUNT = len(EXPECTED)


async def thirty(r: Any, pinned: Any) -> None:
    """Execute them; what they return is checked as well."""
    await r.set("{t}key", "1")
    assert await r.get("{t}key") == "1"
    assert await r.incr("{t}key") == 2
    await r.hset("{t}hash", "field", "value")
    assert await r.hgetall("{t}hash") == {"field": "value"}
    await r.expire("{t}hash", 100)
    assert await asyncio.gather(*(r.get("{t}key") for _ in range(4))) == ["2"] * 4
    assert await asyncio.create_task(r.get("{t}key")) == "2"
    assert await asyncio.wait_for(r.get("{t}key"), 10) == "2"
    await _batches(r)
    await r.rpush("{t}queue", "item")
    assert await r.blpop(["{t}queue"], timeout=1) in (("{t}queue", "item"), ["{t}queue", "item"])
    assert await r.blpop(["{t}queue"], timeout=BLOCKED) is None
    await r.publish("{t}channel", "message")
    assert await r.eval("return ARGV[1]", 1, "{t}key", "x") == "x"
    sha = await r.script_load("return ARGV[1]")
    assert await r.evalsha(sha, 1, "{t}key", "y") == "y"
    assert await r.with_options(decode_responses=False).get("{t}key") == b"2"
    assert await r.with_options(dedicated=True).get("{t}key") == "2"
    await r.with_options(timeout=5).set("{t}large", "x" * 100_000)
    await pinned.set("{t}key", "3")
    assert await pinned.client_id() > 0
    assert await pinned.with_options(decode_responses=False).get("{t}key") == b"3"


async def _batches(r: Any) -> None:
    pipe = r.pipeline(transaction=False)
    assert await pipe.set("{t}key", "2").get("{t}key").execute() == [True, "2"]
    assert await r.pipeline(transaction=True).get("{t}key").get("{t}key").execute() == ["2", "2"]
    async with r.pipeline(transaction=True) as pipe:
        await pipe.watch("{t}key")
        value = await pipe.get("{t}key")
        pipe.multi()
        pipe.set("{t}key", value)
        assert await pipe.execute() == [True]


def app_of(manager: RedisManager) -> FastAPI:
    """Return an app whose routes are the thirty commands, and one that may fail."""
    app = FastAPI(lifespan=manager.lifespan)

    @app.get("/thirty")
    async def all_of_them(r: RedisDep, pinned: RedisConnectionDep) -> int:
        await thirty(r, pinned)
        return COUNT

    @app.get("/one")
    async def one(r: RedisDep) -> Any:
        return await r.get("{t}key")

    return app
