"""Rows 58 and 60: a stream of replies that is out of step while the connection is busy.

Nobody can tell from the replies alone, so a heartbeat that is answered by anything
but its own number ends the connection, under traffic as in silence.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis as PlainRedis
from redis.exceptions import RedisError, ResponseError

from redis_manager_fastapi import (
    Event,
    Gap,
    Message,
    PoolState,
    RedisManager,
    RedisManagerError,
    StateChanged,
)
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.fake_server import FakeServer
from tests.kit.managers import opened, pool_of
from tests.kit.servers import needs
from tests.kit.trial import SLACK
from tests.kit.waiting import until

SHARED = {"enabled": True}
HEALTH = {"interval": 0.2, "timeout": 0.2}
BOUND = 0.4

OUT_OF_STEP = {
    "none": b"",
    "two": b"$5\r\nfirst\r\n$6\r\nsecond\r\n",
    "element-missing": b"*3\r\n$1\r\na\r\n$1\r\nb\r\n",
    "rest-missing": b"*100000\r\n$1\r\na\r\n",
    "map-never-ends": b"*2\r\n*100000\r\n$1\r\na\r\n",
    "string-too-long": b"$1000000\r\nabc\r\n",
}


@asynccontextmanager
async def echoing(redis: Redis, callers: int) -> AsyncIterator[list[tuple[float, bool]]]:
    """Callers in closed loops; each outcome is when it came, and whether it was right."""
    loop, outcomes, numbers = asyncio.get_running_loop(), [], itertools.count()

    async def call() -> None:
        while True:
            word = f"word {next(numbers)}"
            try:
                outcomes.append((loop.time(), await redis.echo(word) == word))
            except RedisError:
                await asyncio.sleep(0.001)

    tasks = [asyncio.create_task(call()) for _ in range(callers)]
    try:
        yield outcomes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("protocol", [2, 3], ids=["resp2", "resp3"])
@pytest.mark.parametrize("callers", [0, 8], ids=["silence", "traffic"])
@pytest.mark.parametrize("spoilt", OUT_OF_STEP.values(), ids=OUT_OF_STEP)
async def test_a_stream_out_of_step_ends_at_the_next_heartbeat(
    protocol: int, callers: int, spoilt: bytes
) -> None:
    """Row 58: within interval and timeout nobody gets another's reply any more."""
    timeout = {"command": 5.0}
    async with (
        FakeServer() as fake,
        opened(
            fake.url, pipelining=SHARED, health=HEALTH, timeout=timeout, protocol=protocol
        ) as manager,
        echoing(manager.redis, callers) as outcomes,
    ):
        await asyncio.sleep(0.05)
        (link,) = pool_of(manager).links
        began = asyncio.get_running_loop().time()
        fake.replies.append(spoilt)
        spoilt_call = asyncio.create_task(manager.redis.execute_command("MGET", "a", "b", "c"))
        await until(lambda: link.lost)
        took = asyncio.get_running_loop().time() - began
        await asyncio.gather(spoilt_call, return_exceptions=True)
        await until(lambda: manager.stats().state is PoolState.READY)
        healed = asyncio.get_running_loop().time()

        assert took <= BOUND + SLACK
        assert await manager.redis.echo("mine") == "mine"
        await asyncio.sleep(0.1)
        assert [right for at, right in outcomes if at > healed + 0.02 and not right] == []
        assert not callers or outcomes[-1][0] > healed


@pytest.mark.parametrize(
    "answer",
    [b"$6\r\nsecret\r\n", b"-OOM secret > 'maxmemory'.\r\n", b"-READONLY secret read only\r\n"],
    ids=["data", "oom", "readonly"],
)
async def test_what_answers_another_command_is_no_word_of_the_server_s(answer: bytes) -> None:
    """Row 58: in a heartbeat's place it costs the connection, once, and nobody is told of it."""
    events: list[Event] = []
    async with (
        FakeServer() as fake,
        opened(fake.url, pipelining=SHARED, health=HEALTH, listeners=[events.append]) as manager,
    ):
        (link,) = pool_of(manager).links
        fake.beats.append(answer)
        await until(lambda: manager.stats().generation == 2)
        (successor,) = pool_of(manager).links
        await until(lambda: successor._beats == 3)

        assert link.lost
        assert manager.stats().generation == 2
        reasons = [event.reason for event in events if isinstance(event, StateChanged)]
        assert "a heartbeat was answered by another command's reply" in reasons[2]
        assert not any("secret" in reason for reason in reasons)


NEWS = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nm\r\n"


@asynccontextmanager
async def published(fake: FakeServer) -> AsyncIterator[None]:
    """Messages all the time, to who subscribed last."""

    async def publish() -> None:
        while True:
            fake.subscribers[-1].write(NEWS)
            await asyncio.sleep(0.005)

    publishing = asyncio.create_task(publish())
    try:
        yield
    finally:
        publishing.cancel()


@pytest.mark.parametrize("protocol", [2, 3], ids=["resp2", "resp3"])
@pytest.mark.parametrize(
    "spoilt",
    [b"*100000\r\n", b"$1000000\r\n", b"*3\r\n$7\r\nmessage\r\n", b">2\r\n+other\r\n"],
    ids=["array", "string", "short", "push"],
)
async def test_messages_out_of_step_are_a_gap(protocol: int, spoilt: bytes) -> None:
    """Row 58: as soon as a heartbeat's answer is within a message."""
    async with (
        FakeServer() as fake,
        opened(fake.url, health=HEALTH, protocol=protocol) as manager,
        manager.subscribe("news") as messages,
        published(fake),
    ):
        assert isinstance(await anext(messages), Message)
        fake.subscribers[-1].write(spoilt)
        began = asyncio.get_running_loop().time()
        async for item in messages:
            if isinstance(item, Gap):
                break
        took = asyncio.get_running_loop().time() - began

        assert took <= BOUND + SLACK
        assert await anext(messages) == Message("news", "m")


@pytest.mark.parametrize("protocol", [2, 3], ids=["resp2", "resp3"])
@pytest.mark.parametrize(
    "spoilt",
    [b"*0\r\n", b"*2\r\n$7\r\nmessage\r\n$4\r\nnews\r\n", b"*2\r\n" + 2 * NEWS],
    ids=["empty", "short", "of-others"],
)
async def test_a_pub_sub_subscribes_again_after_what_is_no_message(
    protocol: int, spoilt: bytes
) -> None:
    async with (
        FakeServer() as fake,
        opened(fake.url, health=HEALTH, protocol=protocol) as manager,
        manager.redis.pubsub() as pubsub,
    ):
        await pubsub.subscribe("news")
        messages = pubsub.listen()
        assert (await anext(messages))["type"] == "subscribe"
        fake.subscribers[-1].write(spoilt)

        assert (await anext(messages))["type"] == "subscribe"
        fake.subscribers[-1].write(NEWS)
        assert (await anext(messages))["data"] == "m"


@pytest.mark.parametrize("protocol", [2, 3], ids=["resp2", "resp3"])
@pytest.mark.parametrize("own", [True, False], ids=["own", "redis-py's"])
@pytest.mark.parametrize("spoilt", [b"*100000\r\n", b"$1000000\r\n"], ids=["array", "string"])
@pytest.mark.parametrize("polls", [None, 0.05, 0], ids=["waits", "polls", "looks"])
async def test_a_pub_sub_is_not_deaf_to_what_a_message_that_never_ends_swallows(
    protocol: int, own: bool, spoilt: bytes, polls: float | None
) -> None:
    """Row 58: as soon as the answer to a question of ours is a part of it."""
    loop = asyncio.get_running_loop()
    async with (
        FakeServer() as fake,
        opened(fake.url, health=HEALTH, protocol=protocol) as manager,
        _client(manager, own=own).pubsub() as pubsub,
    ):
        await pubsub.subscribe("news")
        await _heard(pubsub, polls, "subscribe")
        async with published(fake):
            await _heard(pubsub, polls, "message")
            fake.subscribers[-1].write(spoilt)
            spoilt_at = loop.time()
            await _heard(pubsub, polls, "subscribe")

            assert loop.time() - spoilt_at <= BOUND + SLACK
            await _heard(pubsub, polls, "message")
            assert manager.stats().resubscribed == 1


def _client(manager: RedisManager, *, own: bool) -> Any:
    connections: Any = manager.connection_pool
    return manager.redis if own else PlainRedis(connection_pool=connections)


async def _heard(pubsub: Any, polls: float | None, kind: str) -> None:
    """Read until a message of that kind has come."""
    while True:
        message = await pubsub.get_message(timeout=polls)
        if message is None:
            await asyncio.sleep(0.001)
        elif message["type"] == kind:
            return


@pytest.mark.parametrize("polls", [None, 0.05], ids=["waits", "polls"])
async def test_a_large_message_that_comes_slowly_is_waited_for(
    redis_server: RedisServer, polls: float | None
) -> None:
    """It takes several times as long as silence may last."""
    async with (
        FaultProxy("127.0.0.1", redis_server.port) as proxy,
        opened(proxy.url, health=HEALTH) as manager,
        manager.redis.pubsub() as pubsub,
    ):
        await pubsub.subscribe("news")
        await _heard(pubsub, polls, "subscribe")
        await proxy.drip(2_000, 0.05, direction="to_client")
        began = asyncio.get_running_loop().time()
        await redis_server.command("PUBLISH", "news", "x" * 80_000)
        await _heard(pubsub, polls, "message")

        assert asyncio.get_running_loop().time() - began > 3 * BOUND
        assert manager.stats().resubscribed == 0


async def test_a_late_reply_that_trickles_ends_the_connection() -> None:
    """Row 58: bytes come all the time, and no reply."""
    settings: Any = {"health": {"interval": 5, "timeout": 5}, "timeout": {"command": 0.3}}
    async with FakeServer() as fake, opened(fake.url, pipelining=SHARED, **settings) as manager:
        (link,) = pool_of(manager).links
        fake.replies.append(b"*100000\r\n")
        call = asyncio.create_task(manager.redis.execute_command("MGET", "a"))
        (writer,) = fake.connections
        await until(lambda: not fake.replies)

        async def trickle() -> None:
            while True:
                writer.write(b":1\r\n")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        await until(lambda: link.lost, timeout=0.3 + 2 * SLACK)
        trickling.cancel()

        with pytest.raises(RedisManagerError):
            await call
        assert await manager.redis.echo("mine") == "mine"


async def test_a_connection_in_order_lives_on_under_traffic(redis_url: str) -> None:
    settings: Any = {"health": {"interval": 0.02, "timeout": 0.5}}
    async with (
        opened(redis_url, pipelining=SHARED, **settings) as manager,
        echoing(manager.redis, 16) as outcomes,
    ):
        (link,) = pool_of(manager).links
        await until(lambda: link._beats > 10)

        assert manager.stats().generation == 1
        assert all(right for _, right in outcomes)


@asynccontextmanager
async def forbidden_multi() -> AsyncIterator[str]:
    """The URL of a user who may not use MULTI: the commands run one by one."""
    async with RedisServer() as server, server.client() as admin:
        rules = ("on", ">secret", "~*", "+@all", "-multi")
        await admin.execute_command("ACL", "SETUSER", "part", *rules)
        yield server.url.replace("redis://", "redis://part:secret@")


@asynccontextmanager
async def unknown_exec() -> AsyncIterator[str]:
    """The URL of a server without EXEC: what follows a MULTI is queued for ever."""
    async with RedisServer({"rename-command": "EXEC ELSEWHERE"}) as server:
        yield server.url


REFUSED = pytest.mark.parametrize(
    "refusing",
    [pytest.param(forbidden_multi, marks=needs("ACL", redis="6.0")), unknown_exec],
    ids=["multi", "exec"],
)
Refusing = Callable[[], AbstractAsyncContextManager[str]]


async def transact(manager: RedisManager) -> list[Any]:
    async with manager.redis.pipeline(transaction=True) as pipe:
        pipe.incr("counter")
        pipe.incr("counter")
        return await pipe.execute()


@pytest.mark.parametrize(
    "protocol", [2, pytest.param(3, marks=needs("RESP3", redis="6.0"))], ids=["resp2", "resp3"]
)
@REFUSED
async def test_nobody_is_queued_behind_a_transaction_that_was_refused(
    refusing: Refusing, protocol: int
) -> None:
    """Row 60: the shared connection goes."""
    async with (
        refusing() as url,
        opened(url, pipelining=SHARED, protocol=protocol) as manager,
        echoing(manager.redis, 8) as outcomes,
    ):
        (link,) = pool_of(manager).links
        await asyncio.sleep(0.02)
        with pytest.raises((ResponseError, RedisManagerError)):
            await transact(manager)

        await until(lambda: link.lost)
        await until(lambda: manager.stats().state is PoolState.READY)
        assert await manager.redis.echo("mine") == "mine"
        assert [right for _, right in outcomes if not right] == []


@REFUSED
async def test_a_leased_connection_goes_after_a_transaction_that_was_refused(
    refusing: Refusing,
) -> None:
    """Row 60: the next lease is of another connection, and outside of any transaction."""
    async with refusing() as url, opened(url, pipelining={"enabled": False}) as manager:
        await manager.redis.echo("a connection")
        assert manager.stats().idle == 1
        with pytest.raises((ResponseError, RedisManagerError)):
            await transact(manager)

        assert manager.stats().idle == 0
        assert await manager.redis.echo("mine") == "mine"


async def test_connections_stay_after_transactions_that_end(redis_url: str) -> None:
    """By an array, by nil after WATCH, by EXECABORT."""
    for shared in (True, False):
        async with opened(redis_url, pipelining={"enabled": shared}) as manager:
            await manager.redis.set("text", "no number")
            await transact(manager)
            async with manager.redis.pipeline() as pipe:
                pipe.incr("text")
                pipe.execute_command("SET", "too", "few", "EX")
                with pytest.raises(ResponseError):
                    await pipe.execute()
            async with manager.redis.pipeline() as pipe:
                await pipe.watch("text")
                await manager.redis.set("text", "changed")
                pipe.multi()
                pipe.get("text")
                with pytest.raises(RedisError):
                    await pipe.execute()

            assert manager.stats().generation == 1
            assert manager.stats().idle in (1, 2)
            assert await manager.redis.get("text") == "changed"
            connects = manager.stats().connects
            await transact(manager)
            assert manager.stats().connects == connects
