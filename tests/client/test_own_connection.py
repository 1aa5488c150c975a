"""What means something on its own connection only is refused where the client has none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import DataError, ResponseError

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.commands.sharing import OF_THEIR_CONNECTION, UNANSWERED
from redis_manager_fastapi.testing import RedisServer
from tests.kit.servers import needs

# By redis-py's methods, where there is one, and as raw commands.
COMMANDS: dict[str, Callable[[Redis], Awaitable[Any]]] = {
    **{
        name: lambda r, name=name: r.execute_command(name, "x")  # type: ignore[misc]
        for name in sorted(OF_THEIR_CONNECTION)
    },
    "one string": lambda r: r.execute_command("SELECT 5"),
    "one string, lower case": lambda r: r.execute_command("client reply off"),
    "one string of bytes": lambda r: r.execute_command(b" watch\tkey"),
    "lower case": lambda r: r.execute_command("select", "5"),
    "bytes": lambda r: r.execute_command(b"SELECT", "5"),
    "split": lambda r: r.execute_command("CLIENT", "SETNAME", "me"),
    "split, lower case": lambda r: r.execute_command("client", "no-evict", "on"),
    "select()": lambda r: r.select(5),
    "client_setname()": lambda r: r.client_setname("me"),
    "client_reply()": lambda r: r.client_reply("OFF"),
    "client_tracking_on()": lambda r: r.client_tracking_on(),
    "auth()": lambda r: r.auth("password"),
    "hello()": lambda r: r.execute_command("HELLO", 3),
    "reset()": lambda r: r.reset(),
    "readonly()": lambda r: r.readonly(),
}

NO_REPLY = r"listener's|replica's|without the replies"
OTHERWISE = dict.fromkeys((*UNANSWERED, "client_reply()", "one string, lower case"), NO_REPLY)

CLIENTS: dict[str, Callable[[Redis], Redis[Any]]] = {
    "shared": lambda r: r,
    "dedicated": lambda r: r.with_options(dedicated=True),
    "bytes": lambda r: r.with_options(decode_responses=False),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_of_its_connection_is_refused(
    redis_manager: RedisManager, command: str, client: str
) -> None:
    connects = redis_manager.stats().connects

    with pytest.raises(DataError, match=OTHERWISE.get(command, "pinned to one")):
        await COMMANDS[command](CLIENTS[client](redis_manager.redis))

    assert redis_manager.stats().connects == connects


HELD: dict[str, Callable[[Redis, tuple[Any, ...]], Awaitable[Any]]] = {}


def held(way: Callable[[Redis, tuple[Any, ...]], Awaitable[Any]]) -> Any:
    HELD[way.__name__] = way
    return way


@held
async def pinned(redis: Redis, command: tuple[Any, ...]) -> None:
    async with redis.client() as client:
        try:
            await client.execute_command(*command)
        finally:
            assert await client.echo("next") == "next"


@held
async def piped(redis: Redis, command: tuple[Any, ...]) -> None:
    pipe = redis.pipeline(transaction=False)
    pipe.incr("count")
    pipe.execute_command(*command)
    await pipe.execute()


@held
async def in_a_transaction(redis: Redis, command: tuple[Any, ...]) -> None:
    pipe = redis.pipeline().incr("count")
    pipe.execute_command(*command)
    await pipe.execute()


@held
async def under_watch(redis: Redis, command: tuple[Any, ...]) -> None:
    async with redis.pipeline() as pipe:
        await pipe.watch("key")
        await pipe.execute_command(*command)


@pytest.mark.parametrize("way", HELD)
@pytest.mark.parametrize(
    "command", [*((name, "x") for name in UNANSWERED), ("monitor",), ("CLIENT", b"Reply", "skip")]
)
async def test_what_has_no_reply_is_refused_everywhere(
    redis_manager: RedisManager, command: tuple[Any, ...], way: str
) -> None:
    """A connection that is its caller's own has no reply to it either; nothing else is sent."""
    with pytest.raises(DataError, match=NO_REPLY):
        await HELD[way](redis_manager.redis, command)

    assert await redis_manager.redis.get("count") is None
    assert redis_manager.stats().leased == 0


async def test_words_of_a_name_are_arguments(redis_manager: RedisManager) -> None:
    """A command in one string is what it would be in several: it blocks, and is leased again."""
    redis = redis_manager.redis.with_options(timeout=0.3)
    await redis.get("key")
    assert await redis.execute_command("BLPOP queue 1") is None
    connects = redis_manager.stats().connects
    assert await redis.execute_command("SET key value") == "OK"
    assert await redis.execute_command(b"get key") == "value"

    assert redis_manager.stats().connects == connects


async def test_on_a_pinned_client_they_act(
    redis_server: RedisServer, redis_manager: RedisManager
) -> None:
    async with redis_manager.redis.client() as pinned:
        assert await pinned.client_setname("me")
        assert await pinned.client_getname() == "me"
        await pinned.select(5)
        await pinned.set("k", "in five")
        assert await redis_manager.redis.get("k") is None
        await pinned.execute_command("MULTI")
        await pinned.execute_command("GET", "k")
        assert await pinned.execute_command("EXEC") == ["in five"]


async def test_in_a_pipeline_they_act_on_what_follows(redis_manager: RedisManager) -> None:
    pipe = redis_manager.redis.pipeline(transaction=False)
    pipe.execute_command("SELECT", 5)
    pipe.set("k", "in five")

    assert await pipe.execute() == [True, True]
    assert await redis_manager.redis.get("k") is None


@needs("WAITAOF", redis="7.2")
async def test_waitaof_counts_on_a_pinned_client(redis_manager: RedisManager) -> None:
    async with redis_manager.redis.client() as pinned:
        await pinned.set("k", "v")
        with pytest.raises(ResponseError, match="appendonly"):
            await pinned.waitaof(1, 0, 100)


async def test_commands_about_other_connections_are_no_concern(redis_manager: RedisManager) -> None:
    redis = redis_manager.redis
    assert await redis.client_id()
    assert await redis.client_list()
    assert await redis.client_unblock(10**9) == 0
    assert await redis.script_exists("0" * 40) == [False]
    assert await redis.execute_command("CLIENT", "LIST")


async def test_asking_again_at_once_lets_the_loop_turn(redis_manager: RedisManager) -> None:
    async def ask() -> None:
        while True:
            try:
                await redis_manager.redis.select(5)
            except DataError:
                continue

    asking = asyncio.ensure_future(ask())
    await asyncio.sleep(0)
    assert await redis_manager.redis.ping()
    asking.cancel()
    await asyncio.wait([asking])
