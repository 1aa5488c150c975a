"""Replies that are no UTF-8, on a client that decodes: the error says what to do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.redis import Redis

REMEDY = r"; take r\.with_options\(decode_responses=False\) for bytes\)$"


@pytest.fixture
async def manager(redis_url: str) -> AsyncIterator[RedisManager]:
    async with RedisManager(url=redis_url) as manager:
        raw = manager.redis
        await raw.set("binary", b"\x80")
        await raw.hset("hash", mapping={"field": b"\x80"})
        await raw.rpush("list", b"\x80")
        yield manager


async def piped(r: Redis, *, transaction: bool) -> Any:
    async with r.pipeline(transaction=transaction) as pipe:
        return await pipe.set("text", "x").get("text").get("binary").get("text").execute()


async def watched(r: Redis) -> Any:
    async with r.pipeline() as pipe:
        await pipe.watch("binary")
        return await pipe.get("binary")


async def cached(r: Redis) -> Any:
    reading = r.with_options(cache=30.0)
    return await asyncio.gather(reading.get("binary"), reading.get("binary"))


READS: dict[str, tuple[Callable[[Redis], Awaitable[Any]], str]] = {
    "shared": (lambda r: r.get("binary"), "reply to GET"),
    "nested": (lambda r: r.hgetall("hash"), "reply to HGETALL"),
    "as a task": (lambda r: asyncio.gather(r.get("binary")), "reply to GET"),
    "blocking": (lambda r: r.blpop(["list"], timeout=1), "reply to BLPOP"),
    "dedicated": (lambda r: r.with_options(dedicated=True).get("binary"), "reply to GET"),
    "cached": (cached, "reply to GET"),
    "pipeline": (lambda r: piped(r, transaction=False), "reply to GET"),
    "transaction": (lambda r: piped(r, transaction=True), "reply to a transaction"),
    "dedicated pipeline": (
        lambda r: piped(r.with_options(dedicated=True), transaction=False),
        "reply to a pipeline",
    ),
    "dedicated transaction": (
        lambda r: piped(r.with_options(dedicated=True), transaction=True),
        "reply to a transaction",
    ),
    "watched": (watched, "reply to GET"),
}


@pytest.mark.usefixtures("pipelining")
@pytest.mark.parametrize(("read", "what"), READS.values(), ids=READS)
async def test_reply_that_is_no_text_names_its_command_and_the_remedy(
    manager: RedisManager, read: Callable[[Redis], Awaitable[Any]], what: str
) -> None:
    with pytest.raises(UnicodeDecodeError, match=rf"invalid start byte \({what}{REMEDY}"):
        await read(manager.redis)

    assert await manager.redis.echo("next") == "next"
    assert manager.stats().generation == 1


async def test_message_that_is_no_text_says_the_remedy_once(manager: RedisManager) -> None:
    async with manager.redis.pubsub() as listener:
        await listener.subscribe("channel")
        await listener.get_message(timeout=5)
        await manager.redis.publish("channel", b"\x80")

        with pytest.raises(UnicodeDecodeError, match=rf"invalid start byte \(a message{REMEDY}"):
            await listener.get_message(timeout=5)


async def test_client_of_bytes_reads_what_the_error_was_about(manager: RedisManager) -> None:
    r = manager.redis.with_options(decode_responses=False)

    assert await r.get("binary") == b"\x80"
