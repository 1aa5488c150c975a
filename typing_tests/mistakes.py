"""Mistakes that type checkers find: each line without its error fails the check."""

import asyncio

from redis_manager_fastapi import Redis, RedisCluster, RedisManager, RedisSettings


async def replies(r: Redis, raw: Redis[bytes]) -> None:
    text: str = await r.get("k")  # type: ignore[assignment]
    length: int = await r.get("k")  # type: ignore[assignment]
    (await raw.get("k") or b"").encode()  # type: ignore[attr-defined]
    (await r.hgetall("h"))[b"field"]  # type: ignore[index]
    members: list[str] = await r.smembers("s")  # type: ignore[assignment]
    r.nosuchcommand("k")  # type: ignore[attr-defined]
    await r.set("k", None)  # type: ignore[call-overload]
    await r.set("k", {"not": "a value"})  # type: ignore[call-overload]
    await r.get(1)  # type: ignore[arg-type]


async def other_client(r: Redis, raw: Redis[bytes], cluster: RedisCluster) -> None:
    text: Redis = raw  # type: ignore[assignment]
    binary: Redis[bytes] = r.with_options(timeout=1)  # type: ignore[assignment]
    single: Redis = cluster  # type: ignore[assignment]


async def numbers(r: Redis[int]) -> None:  # type: ignore[type-var]
    await r.get("k")


async def options(r: Redis) -> None:
    r.with_options(decode_response=False)  # type: ignore[call-overload]
    r.with_options(timeout="1")  # type: ignore[call-overload]
    r.pipeline().set("k", "v").nosuchcommand()  # type: ignore[attr-defined]


async def forgotten_await(r: Redis) -> None:
    count: int = r.incr("k")  # type: ignore[assignment]
    r.set("k", "v")  # type: ignore[unused-coroutine]
    asyncio.run(r.get("k")).upper()  # type: ignore[union-attr]


def settings() -> None:
    RedisManager(urll="redis://localhost")  # type: ignore[call-arg]
    RedisManager(pool={"max_conections": 5})  # type: ignore[arg-type]
    RedisManager(pool={"max_connections": "five"})  # type: ignore[arg-type]
    RedisManager(startup={"policy": "hope"})  # type: ignore[arg-type]
    RedisManager(protocol=4)  # type: ignore[arg-type]
    RedisManager(6379)  # type: ignore[arg-type]
    RedisManager("redis://localhost", decode_response=False)  # type: ignore[call-arg]
    RedisSettings(hosts="a,b")  # type: ignore[call-arg]
