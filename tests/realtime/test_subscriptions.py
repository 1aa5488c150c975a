"""`manager.subscribe` while nothing breaks: who hears what, over how many connections."""

import asyncio
import gc
import logging
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from redis_manager_fastapi import (
    CommandTimeoutError,
    Gap,
    ListenerTooSlowError,
    Message,
    PoolClosedError,
    RedisManager,
    RedisManagerError,
    RedisNotStartedError,
    RedisPermissionError,
    RedisUnavailableError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.cancelling import MOMENTS
from tests.kit.managers import opened
from tests.kit.servers import has, needs
from tests.kit.stepping import Moment, Stepper
from tests.kit.waiting import eventually, until

RESP3 = needs("RESP3", redis="6.0")
SHARDED = needs("a sharded channel", redis="7.0")


async def subscribed(server: RedisServer, channel: str) -> int:
    """How many connections the server has subscribed to *channel*."""
    async with server.client() as client:
        return int((await client.pubsub_numsub(channel))[0][1])


async def next_of(messages: Any, within: float = 5.0) -> Any:
    async with asyncio.timeout(within):
        return await anext(messages)


def counts(manager: RedisManager) -> Any:
    stats = manager.stats().realtime
    assert stats is not None
    return stats.subscriptions


@pytest.mark.parametrize("protocol", [2, pytest.param(3, marks=RESP3)])
async def test_channels_and_patterns_are_heard(redis_url: str, protocol: int) -> None:
    async with (
        opened(redis_url, protocol=protocol) as manager,
        manager.subscribe("news", patterns=["room:*"]) as messages,
    ):
        for channel, data in (("news", "a"), ("room:1", "b"), ("other", "c"), ("news", "d")):
            await manager.redis.publish(channel, data)
        heard = [await next_of(messages) for _ in range(3)]

    assert heard == [
        Message("news", "a"),
        Message("room:1", "b", "room:*"),
        Message("news", "d"),
    ]


@pytest.mark.parametrize(
    "setting", [{"decode_responses": False}, {"pipelining": {"enabled": False}}]
)
async def test_items_are_text_whatever_the_settings(redis_url: str, setting: Any) -> None:
    async with opened(redis_url, **setting) as manager, manager.subscribe("ü") as messages:
        await manager.redis.publish("ü", b"\xff\xc3\xa9")
        message = await next_of(messages)

    assert message == Message("ü", "\udcffé")
    assert message.data.encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"


@SHARDED
async def test_sharded_channels_of_one_server(redis_url: str) -> None:
    async with opened(redis_url) as manager, manager.subscribe("s", sharded=True) as messages:
        await manager.redis.execute_command("SPUBLISH", "s", "x")
        await manager.redis.publish("s", "y")
        await manager.redis.execute_command("SPUBLISH", "s", "z")
        heard = [await next_of(messages) for _ in range(2)]

    assert heard == [Message("s", "x"), Message("s", "z")]


@pytest.mark.skipif(has(redis="7.0"), reason="the server has sharded channels")
async def test_a_server_without_sharded_channels_says_so(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        with pytest.raises(RedisManagerError, match=r"need Redis 7\.0"):
            async with manager.subscribe("s", sharded=True):
                pass


async def test_all_listeners_share_one_connection(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with opened(redis_url) as manager:
        before = len(await redis_server.command("CLIENT LIST"))
        subscriptions = [manager.subscribe("news") for _ in range(50)]
        await asyncio.gather(*(each.__aenter__() for each in subscriptions))
        during = len(await redis_server.command("CLIENT LIST"))
        assert await manager.redis.publish("news", "x") == 1
        heard = [await next_of(each) for each in subscriptions]
        assert counts(manager).connections == 1
        assert (counts(manager).listeners, counts(manager).messages) == (50, 1)
        for each in subscriptions[1:]:
            await each.__aexit__(None, None, None)
        assert await subscribed(redis_server, "news") == 1
        await subscriptions[0].__aexit__(None, None, None)
        await eventually(lambda: _nobody(redis_server))
        assert counts(manager).channels == 0

    assert heard == [Message("news", "x")] * 50
    assert during == before + 1


async def _is_subscribed(server: RedisServer) -> bool:
    return await subscribed(server, "news") == 1


async def _nobody(server: RedisServer) -> bool:
    return await subscribed(server, "news") == 0


async def test_who_comes_after_the_last_has_left_is_heard(redis_url: str) -> None:
    """The answers to what was asked for before do not count for the newcomer."""
    async with opened(redis_url) as manager:
        for number in range(20):
            async with manager.subscribe("news") as messages:
                await manager.redis.publish("news", number)
                assert await next_of(messages) == Message("news", str(number))


async def test_leases_do_not_starve_listeners(redis_url: str) -> None:
    async with (
        opened(redis_url, pool={"max_connections": 1}) as manager,
        manager.connection() as pinned,
        manager.subscribe("news") as messages,
    ):
        await pinned.publish("news", "x")
        assert await next_of(messages) == Message("news", "x")


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_forbidden_channel_is_its_callers_error(
    redis_url: str, redis_server: RedisServer, protocol: int
) -> None:
    if not has(redis="6.2"):
        pytest.skip("rules for channels need Redis 6.2")
    user = ("ACL", "SETUSER", "ann", "on", ">pw", "~*", "+@all", "resetchannels", "&news")
    await redis_server.command(*user)
    async with (
        opened(redis_url, username="ann", password="pw", protocol=protocol) as manager,
        manager.subscribe("news") as messages,
    ):
        entering = [manager.subscribe("news", "secret"), manager.subscribe("secret")]
        errors = await asyncio.gather(
            *(each.__aenter__() for each in entering), return_exceptions=True
        )
        await manager.redis.publish("news", "x")
        heard = await next_of(messages)
        assert manager.is_ready
        assert counts(manager).channels == 1

    assert [type(error) for error in errors] == [RedisPermissionError] * 2
    assert errors[0] is not errors[1]
    assert heard == Message("news", "x")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((), {}, ValueError, "needs a channel"),
        (("a",), {"buffer": 0}, ValueError, "at least 1"),
        (("a",), {"buffer": "many"}, TypeError, "int"),
        ((b"a",), {}, TypeError, "not bytes"),
        ((None,), {}, TypeError, "not NoneType"),
        ((), {"patterns": [None]}, TypeError, "not NoneType"),
        ((["a"],), {}, TypeError, "not list"),
        (("a", "\ud800"), {}, ValueError, "cannot be sent"),
        (("a",), {"patterns": ["\ud800*"]}, ValueError, "cannot be sent"),
        ((), {"patterns": "a*"}, TypeError, "list"),
        (("a",), {"overflow": "wait"}, ValueError, "overflow"),
        (("a",), {"patterns": ["b*"], "sharded": True}, ValueError, "sharded patterns"),
    ],
)
def test_wrong_arguments_are_told_at_once(
    arguments: Any, options: Any, error: type[Exception], words: str
) -> None:
    manager: Any = RedisManager("redis://localhost")
    with pytest.raises(error, match=words):
        manager.subscribe(*arguments, **options)


async def test_a_manager_that_is_not_open_is_told(redis_url: str) -> None:
    manager = RedisManager(redis_url)
    with pytest.raises(RedisNotStartedError):
        await manager.subscribe("news").__aenter__()
    async with manager:
        pass
    with pytest.raises(PoolClosedError):
        await manager.subscribe("news").__aenter__()


async def test_a_manager_opened_again_hears_again(redis_url: str) -> None:
    manager = RedisManager(redis_url)
    for _ in range(2):
        async with manager, manager.subscribe("news") as messages:
            await manager.redis.publish("news", "x")
            assert await next_of(messages) == Message("news", "x")


async def test_a_subscription_is_for_one_block(redis_url: str) -> None:
    async with opened(redis_url) as manager:
        subscription = manager.subscribe("news")
        with pytest.raises(RuntimeError, match="within its"):
            await anext(subscription)
        async with subscription:
            pass
        with pytest.raises(RuntimeError, match="within its"):
            await anext(subscription)
        with pytest.raises(RuntimeError, match="one block"):
            await subscription.__aenter__()


async def test_a_slow_listener_loses_the_oldest_and_is_told(redis_url: str) -> None:
    """A hundred others notice nothing."""
    async with opened(redis_url) as manager:
        quick = [manager.subscribe("news") for _ in range(100)]
        slow, strict = (
            manager.subscribe("news", buffer=3),
            manager.subscribe("news", buffer=3, overflow="end"),
        )
        for each in (*quick, slow, strict):
            await each.__aenter__()
        async with manager.redis.pipeline(transaction=False) as pipeline:
            for number in range(10):
                pipeline.publish("news", number)
            await pipeline.execute()
        heard = [[await next_of(each) for _ in range(10)] for each in quick]
        late = [await next_of(slow) for _ in range(4)]
        with pytest.raises(ListenerTooSlowError, match="3 messages behind"):
            await next_of(strict)
        dropped = counts(manager).dropped
        for each in (*quick, slow, strict):
            await each.__aexit__(None, None, None)
        assert counts(manager).dropped == dropped == 7

    everything = [Message("news", str(number)) for number in range(10)]
    assert heard == [everything] * 100
    assert late == [Gap("this listener is too slow", 0.0, 7), *everything[7:]]


class Order(BaseModel):
    number: int


async def test_messages_are_parsed(redis_url: str) -> None:
    async with opened(redis_url) as manager, manager.subscribe("orders") as messages:
        await manager.redis.publish("orders", '{"number": 3}')
        await manager.redis.publish("orders", "three")
        first, second = await next_of(messages), await next_of(messages)
        assert first.parse(Order) == Order(number=3)
        with pytest.raises(ValidationError):
            second.parse(Order)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_entering_may_be_cancelled_at_each_await(redis_url: str, moment: Moment) -> None:
    """Nothing is left of it, and the channel is heard by whoever comes next."""
    async with opened(redis_url) as manager:

        async def listen() -> None:
            async with manager.subscribe("news", "more") as messages:
                await manager.redis.publish("news", "x")
                await next_of(messages)

        for at in range(1, 12):
            stepper = Stepper(listen(), at, moment)
            task = asyncio.ensure_future(stepper.run())
            await asyncio.wait({task})
            assert task.cancelled() is stepper.cancelled
            assert (counts(manager).listeners, counts(manager).channels) == (0, 0)
            if not stepper.cancelled:
                break
        else:
            pytest.fail("it never came to its end")
        await listen()


async def test_a_cancelled_listener_leaves_the_others(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with opened(redis_url) as manager:

        async def listen() -> Any:
            async with manager.subscribe("news") as messages:
                return await anext(messages)

        tasks = [asyncio.create_task(listen()) for _ in range(20)]
        await eventually(lambda: _is_subscribed(redis_server))
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks[::2])
        assert counts(manager).listeners == 10
        await manager.redis.publish("news", "x")
        assert await asyncio.gather(*tasks[1::2]) == [Message("news", "x")] * 10


async def test_a_listener_that_is_dropped_is_forgotten(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with opened(redis_url) as manager:
        subscription = manager.subscribe("news")
        await subscription.__aenter__()
        assert counts(manager).listeners == 1
        del subscription
        gc.collect()
        await until(lambda: counts(manager).listeners == 0)

    assert "whose block was never left" in caplog.text


class Client:
    """What a request or a WebSocket has that only sends."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        return await self.messages.get()


async def test_iteration_ends_when_its_client_is_gone(redis_url: str) -> None:
    client = Client()
    async with opened(redis_url) as manager:

        async def listen() -> list[Any]:
            async with manager.subscribe("news", until=client) as messages:
                return [message async for message in messages]

        task = asyncio.create_task(listen())
        await until(lambda: counts(manager).listeners == 1)
        client.messages.put_nowait({"type": "websocket.receive", "text": "hello"})
        client.messages.put_nowait({"type": "websocket.disconnect"})
        async with asyncio.timeout(1):
            assert await task == []


async def test_closing_ends_every_iteration_at_once(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with opened(redis_url) as manager:

        async def listen() -> list[Any]:
            async with manager.subscribe("news") as messages:
                return [message async for message in messages]

        tasks = [asyncio.create_task(listen()) for _ in range(10)]
        await eventually(lambda: _is_subscribed(redis_server))
        await manager.redis.publish("news", "x")
        await until(lambda: counts(manager).messages == 1)
        async with asyncio.timeout(1):
            await manager.aclose()
            assert await asyncio.gather(*tasks) == [[Message("news", "x")]] * 10
        with pytest.raises(PoolClosedError):
            await manager.subscribe("news").__aenter__()
        await manager.open()


async def test_nobody_enters_once_the_end_has_begun(redis_url: str) -> None:
    """A server's SIGTERM comes before the manager closes; who is entering learns it at once."""
    async with opened(redis_url) as manager:
        manager._stop_realtime()
        with pytest.raises(PoolClosedError):
            await manager.subscribe("news").__aenter__()


async def test_a_server_that_does_not_confirm_is_told_in_time(
    redis_url: str, fault_proxy: FaultProxy
) -> None:
    """A flow that has died costs the command's time, and leaves nobody behind."""
    health = {"interval": 60.0, "timeout": 60.0}
    async with (
        opened(fault_proxy.url, health=health, timeout={"command": 0.3}) as manager,
        manager.subscribe("news"),
    ):
        await fault_proxy.black_hole(to_server=False)
        with pytest.raises(CommandTimeoutError, match=r"got no reply within 0\.3 s"):
            await manager.subscribe("more").__aenter__()
        assert counts(manager).channels == 1


async def test_entering_while_redis_is_away_is_an_outage(redis_server: RedisServer) -> None:
    async with opened(redis_server.url, outage={"grace": 0.2}) as manager:
        await redis_server.kill()
        await until(lambda: not manager.is_ready)
        with pytest.raises(RedisUnavailableError):
            await manager.subscribe("news").__aenter__()
        assert counts(manager).listeners == 0
