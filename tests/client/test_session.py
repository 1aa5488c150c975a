"""What one caller does to a session never reaches the next one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.redis import Redis

Act = Callable[[Redis], Awaitable[object]]


async def _command(r: Redis, *words: str) -> None:
    await r.execute_command(*words)


ACTS: dict[str, Act] = {
    "SELECT": lambda r: _command(r, "SELECT", "5"),
    "lower case": lambda r: _command(r, "select", "5"),
    "CLIENT SETNAME": lambda r: r.client_setname("someone"),
    "CLIENT NO-TOUCH": lambda r: r.client_no_touch("ON"),
    "CLIENT TRACKING": lambda r: _command(r, "CLIENT TRACKING", "ON", "BCAST"),
    "CLIENT split": lambda r: _command(r, "CLIENT", "TRACKING", "ON"),
    "MULTI": lambda r: _command(r, "MULTI"),
    "WATCH": lambda r: _command(r, "WATCH", "watched"),
    "HELLO": lambda r: _command(r, "HELLO", "3"),
    "RESET": lambda r: _command(r, "RESET"),
    "QUIT": lambda r: _command(r, "QUIT"),
    "SCRIPT DEBUG": lambda r: _command(r, "SCRIPT DEBUG", "SYNC"),
    "SCRIPT split": lambda r: _command(r, "SCRIPT", "DEBUG", "SYNC"),
    "READONLY": lambda r: _command(r, "READONLY"),
    "ASKING": lambda r: _command(r, "ASKING"),
    "unknown": lambda r: _command(r, "NOSUCHCOMMAND"),
}


@pytest.fixture
async def manager(redis_url: str) -> AsyncIterator[RedisManager]:
    """Return a manager with a single dedicated connection, so that the next lease gets it."""
    settings: dict[str, Any] = {"pool": {"max_connections": 1}, "pipelining": {"enabled": True}}
    async with RedisManager(url=redis_url, **settings) as manager:
        yield manager


async def session(r: Redis) -> dict[str, str]:
    """Return what the server knows of the connection, less what always differs."""
    number = str(await r.client_id())
    known = next(each for each in await r.client_list() if each["id"] == number)
    changing = {"id", "addr", "fd", "age", "idle", "qbuf", "qbuf-free", "argv-mem", "multi-mem"}
    changing |= {"rbs", "rbp", "obl", "oll", "omem", "tot-mem", "events", "cmd"}
    changing |= {"tot-net-in", "tot-net-out", "tot-cmds"}
    return {name: value for name, value in known.items() if name not in changing}


def foreign(manager: RedisManager) -> Any:
    pool: Any = manager.connection_pool
    return redis.asyncio.Redis(connection_pool=pool, decode_responses=True)


@pytest.mark.parametrize("act", ACTS)
async def test_next_lease_finds_a_fresh_session(manager: RedisManager, act: str) -> None:
    async with manager.connection() as first:
        fresh = await session(first)
        number = await first.client_id()

    async with manager.connection() as pinned:
        with contextlib.suppress(redis.ResponseError):
            await ACTS[act](pinned)

    async with manager.connection() as following:
        assert await session(following) == fresh
        assert await following.set("watched", "v") is True
        assert await following.client_id() != number


@pytest.mark.parametrize("mode", ["OFF", "SKIP"])
async def test_what_has_no_reply_is_refused_and_shifts_no_other(
    manager: RedisManager, mode: str
) -> None:
    async with manager.connection() as pinned:
        with pytest.raises(redis.DataError, match="without the replies"):
            await pinned.execute_command("CLIENT REPLY", mode)
        assert await pinned.execute_command("CLIENT REPLY", "ON") == "OK"

    async with manager.connection() as following:
        assert await following.echo("mine") == "mine"


@pytest.mark.parametrize("make", [lambda m: m.redis, foreign], ids=["own", "foreign"])
async def test_a_callback_that_raises_leaves_no_reply_to_the_next_lease(
    manager: RedisManager, make: Callable[[RedisManager], Any]
) -> None:
    """The replies behind its own are unread, and some of them not even there."""

    def parse(_: object, **__: object) -> None:
        raise LookupError("mine")

    raising = make(manager)
    raising.set_response_callback("GET", parse)
    pipe = raising.pipeline(transaction=False).get("key").blpop(["none"], 0.1).get("key")
    with pytest.raises(LookupError, match="mine"):
        await pipe.execute()

    async with manager.connection() as following:
        assert [await following.echo(each) for each in "abc"] == ["a", "b", "c"]


async def test_neutral_commands_keep_the_connection(manager: RedisManager) -> None:
    """Otherwise every CONFIG GET would cost a connect."""
    calls: list[Act] = [
        lambda r: r.config_get("maxmemory"),
        lambda r: r.info(),
        lambda r: r.keys("*"),
        lambda r: r.xread({"missing": "$"}, block=10),
        lambda r: r.script_load("return 1"),
        lambda r: r.pubsub_channels(),
        lambda r: r.time(),
    ]
    connects = manager.stats().connects
    for call in calls:
        await call(manager.redis)

    assert manager.stats().connects == connects + 1


async def test_finished_transaction_keeps_the_connection(manager: RedisManager) -> None:
    async with manager.redis.pipeline() as pipe:
        await pipe.watch("k")
        pipe.multi()
        pipe.set("k", "v")
        await pipe.execute()
    connects = manager.stats().connects

    await manager.redis.info()

    assert manager.stats().connects == connects


async def test_exec_without_multi_does_not_forget_the_watch(manager: RedisManager) -> None:
    """The server answers EXEC without MULTI by an error and watches on."""
    async with manager.connection() as pinned:
        await pinned.execute_command("WATCH", "k")
        with pytest.raises(redis.ResponseError):
            await pinned.execute_command("EXEC")

    async with manager.connection() as following:
        await manager.redis.set("k", "changed")
        await following.execute_command("MULTI")
        assert await following.execute_command("EXEC") == []


async def test_exec_that_the_server_refuses_does_not_hide_the_open_transaction(
    manager: RedisManager,
) -> None:
    async with manager.connection() as pinned:
        await pinned.execute_command("MULTI")
        with pytest.raises(redis.ResponseError):
            await pinned.execute_command("EXEC", "too", "many")

    async with manager.connection() as following:
        assert await following.set("k", "v") is True


@pytest.mark.parametrize("falsy", ["", 0, 0.0, []])
async def test_a_client_that_does_not_decode_disturbs_nobody(
    redis_manager: RedisManager, falsy: Any
) -> None:
    """However it says so: the connection is everybody's."""
    await redis_manager.redis.set("key", "value")
    raw = redis_manager.redis.with_options(decode_responses=falsy)
    others = [redis_manager.redis.get("key") for _ in range(5)]

    assert await asyncio.gather(raw.get("key"), *others) == [b"value", *["value"] * 5]
    assert await raw.with_options(dedicated=True).get("key") == b"value"
    assert redis_manager.stats().generation == 1
