"""Scenarios of pipelines and transactions."""

import asyncio
from typing import Any

from redis.exceptions import WatchError

from .stage import Client, caught, scenario


@scenario("pipeline")
async def pipelines(r: Client) -> Any:
    seen: list[Any] = []
    for transaction in (True, False):
        async with r.pipeline(transaction=transaction) as pipe:
            pipe.set("a", 1).incr("a").get("a").lpush("l", "x").hset("h", "f", "v")
            seen.append(len(pipe))
            seen.append(await pipe.execute())
            seen.append(await pipe.execute())
            pipe.get("a").lpush("a", "wrong type").get("a")
            seen.append(await caught(pipe.execute()))
            pipe.get("a").lpush("a", "wrong type").mget([]).get("a")
            seen.append(await caught(pipe.execute(raise_on_error=False)))
            pipe.execute_command("GET")
            seen.append(await caught(pipe.execute()))
            pipe.set("a", [1])
            seen.append(await caught(pipe.execute()))
            pipe.set("b", b"\xff").get("b").get("a")
            seen.append(await caught(pipe.execute()))
            seen.append(await r.get("a"))
            pipe.zadd("z", {"m": 1.5}).zrange("z", 0, -1, withscores=True).hgetall("h")
            pipe.config_get("databases").keys("a")
            seen.append(await pipe.execute())
            pipe.set("big", "x" * 100_000).get("a")
            seen.append(await pipe.execute())
            pipe.get("a")
            await pipe.reset()
            seen.append(await pipe.execute())
        await r.flushdb()
    return seen


@scenario("transaction", "watch", "unwatch")
async def watching(r: Client) -> Any:
    seen: list[Any] = []
    await r.set("k", 1)
    async with r.pipeline() as pipe:
        await pipe.watch("k")
        seen.append(await pipe.get("k"))
        pipe.multi()
        pipe.incr("k")
        seen.append(await pipe.execute())
        await pipe.watch("k")
        await r.set("k", 10)
        pipe.multi()
        pipe.incr("k")
        seen.append(await caught(pipe.execute()))
        await pipe.watch("k")
        seen.append(await pipe.unwatch())
        await r.set("k", 20)
        pipe.incr("k")
        seen.append(await pipe.execute())
        pipe.multi()
        seen.append(await caught(_nested(pipe)))

    async def twice(pipe: Any) -> str:
        value = int(await pipe.get("k"))
        pipe.multi()
        pipe.set("k", value * 2)
        return "done"

    seen.append(await r.transaction(twice, "k"))
    seen.append(await r.transaction(twice, "k", value_from_callable=True))
    seen.append(await r.get("k"))
    return seen


async def _nested(pipe: Any) -> None:
    pipe.multi()


@scenario()
async def contended_transactions(r: Client) -> Any:
    async def increment(_: int) -> int:
        conflicts = 0
        while True:
            async with r.pipeline() as pipe:
                try:
                    await pipe.watch("n")
                    value = int(await pipe.get("n") or 0)
                    pipe.multi()
                    pipe.set("n", value + 1)
                    await pipe.execute()
                except WatchError:
                    conflicts += 1
                else:
                    return conflicts

    await asyncio.gather(*map(increment, range(8)))
    return await r.get("n")
