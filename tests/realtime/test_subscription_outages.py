"""`manager.subscribe` through breaks: heard again in time, each listener with one `Gap`."""

import asyncio
import logging
import time
from typing import Any

import pytest
from fastapi import FastAPI

from redis_manager_fastapi import (
    Gap,
    Message,
    RedisManager,
    SubscriptionsBroken,
    SubscriptionsHealed,
    health_router,
)
from redis_manager_fastapi.realtime.subscriptions.source import Source
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.managers import opened
from tests.kit.servers import has
from tests.kit.serving import serving
from tests.kit.waiting import until
from tests.realtime.test_subscriptions import RESP3, counts, next_of

CALM: dict[str, Any] = {"outage": {"grace": 10.0}, "timeout": {"command": 10.0}}
DETECTION = 0.3 + 0.2
HEALTH = {"interval": 0.3, "timeout": 0.2}


def source_of(manager: RedisManager) -> Source:
    (source,) = manager._subscriptions._sources.values()
    return source


@pytest.mark.parametrize("protocol", [2, pytest.param(3, marks=RESP3)])
@pytest.mark.parametrize("crash", [True, False])
async def test_a_restart_is_one_gap_for_each(
    redis_server: RedisServer, protocol: int, crash: bool
) -> None:
    async with opened(redis_server.url, protocol=protocol, **CALM) as manager:
        subscriptions = [manager.subscribe("news", patterns=["room:*"]) for _ in range(100)]
        await asyncio.gather(*(each.__aenter__() for each in subscriptions))
        await redis_server.restart(0.3, crash=crash)
        up = time.monotonic()
        gaps = [await next_of(each) for each in subscriptions]
        took = time.monotonic() - up
        await manager.redis.publish("news", "x")
        await manager.redis.publish("room:1", "y")
        heard = [(await next_of(each), await next_of(each)) for each in subscriptions]
        assert manager.is_ready
        assert (counts(manager).gaps, counts(manager).deaf) == (1, ())
        for each in subscriptions:
            await each.__aexit__(None, None, None)

    assert {type(gap) for gap in gaps} == {Gap}
    assert len(set(gaps)) == 1
    assert gaps[0].seconds > 0.3
    assert took < 1.0
    assert heard == [(Message("news", "x"), Message("room:1", "y", "room:*"))] * 100


@pytest.mark.usefixtures("pipelining")
async def test_what_a_process_publishes_to_itself_after_a_restart_is_heard(
    redis_server: RedisServer,
) -> None:
    """What waited in grace goes out after the process' own subscriptions are back."""
    async with (
        opened(redis_server.url, **CALM) as manager,
        manager.subscribe("news") as messages,
    ):
        for number in range(5):
            await redis_server.kill()
            await until(lambda: not manager.is_ready)
            publishing = [
                asyncio.create_task(manager.redis.publish("news", f"{number}-{each}"))
                for each in range(10)
            ]
            await asyncio.sleep(0)
            await redis_server.start()
            assert await asyncio.gather(*publishing) == [1] * 10
            assert type(await next_of(messages)) is Gap
            heard = [await next_of(messages) for _ in range(10)]
            assert heard == [Message("news", f"{number}-{each}") for each in range(10)]


async def test_a_pool_does_not_wait_long_for_its_listeners(redis_server: RedisServer) -> None:
    """A subscription that cannot be taken up again holds commands up for a fifth of a second."""
    async with opened(redis_server.url, **CALM) as manager, manager.subscribe("news"):
        source = source_of(manager)
        waited: list[float] = []
        before = source.before_serving

        async def hang(peer: object) -> None:
            started = time.monotonic()
            try:
                await asyncio.Event().wait()
            finally:
                waited.append(time.monotonic() - started)

        source.before_serving = hang  # type: ignore[method-assign]
        await redis_server.restart()
        await manager.redis.ping()
        source.before_serving = before  # type: ignore[method-assign]
        await until(lambda: manager.is_ready)

    assert len(waited) == 1
    assert waited[0] == pytest.approx(0.2, abs=0.1)


async def test_a_silent_flow_is_noticed_within_the_bound(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """A NAT forgets the connections: nothing comes, and nothing is reset."""
    async with (
        opened(fault_proxy.url, health=HEALTH, **CALM) as manager,
        manager.subscribe("news") as messages,
    ):
        flow = source_of(manager)._flow
        assert flow is not None
        await fault_proxy.black_hole(new=False)
        swallowed = time.monotonic()
        await until(lambda: flow.lost)
        noticed = time.monotonic() - swallowed
        gap = await next_of(messages)
        await redis_server.command("PUBLISH", "news", "x")
        heard = await next_of(messages)

    assert noticed < DETECTION + 0.2
    assert gap.reason == "no reply for 0.5 s"
    assert gap.seconds == pytest.approx(DETECTION, abs=0.3)
    assert heard == Message("news", "x")


async def test_a_silent_flow_under_a_pool_that_serves(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    """Only the subscription's flow dies."""
    async with (
        opened(fault_proxy.url, health=HEALTH, **CALM) as manager,
        manager.subscribe("news") as messages,
    ):
        flow = source_of(manager)._flow
        assert flow is not None
        flow._transport.pause_reading()
        flow._paused = True
        gap = await next_of(messages)
        states = manager.stats().generation

    assert gap.reason == "no reply for 0.5 s"
    assert states == 1


async def test_a_stalled_loop_is_no_break(redis_server: RedisServer) -> None:
    async with (
        opened(redis_server.url, health=HEALTH, **CALM) as manager,
        manager.subscribe("news") as messages,
    ):
        for _ in range(3):
            await asyncio.sleep(0.05)
            time.sleep(1.0)  # noqa: ASYNC251 (the fault)
        await asyncio.sleep(DETECTION)
        await manager.redis.publish("news", "x")
        assert await next_of(messages) == Message("news", "x")
        assert counts(manager).gaps == 0


async def test_a_connection_that_is_killed_is_made_again(redis_server: RedisServer) -> None:
    """The pool's connections are untouched."""
    async with opened(redis_server.url) as manager, manager.subscribe("news") as messages:
        await redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
        gap = await next_of(messages)
        await manager.redis.publish("news", "x")
        heard = await next_of(messages)
        generation = manager.stats().generation

    assert gap.seconds < 1.0
    assert heard == Message("news", "x")
    assert generation == 1


async def test_subscriptions_that_the_server_lost_are_mended(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sits between may have lost them, and the connection lives on."""
    monkeypatch.setattr("redis_manager_fastapi.realtime.subscriptions.source._COMPARE", 0.1)
    async with (
        opened(redis_server.url) as manager,
        manager.subscribe("a", "b") as messages,
        manager.subscribe("c") as others,
    ):
        flow = source_of(manager)._flow
        assert flow is not None
        flow._confirmed[0].add((next(iter(flow._confirmed[0]))[0], "lost"))
        gaps = [await next_of(messages), await next_of(others)]
        await manager.redis.publish("b", "x")
        heard = await next_of(messages)

    assert [gap.reason for gap in gaps] == ["the server had lost subscriptions"] * 2
    assert heard == Message("b", "x")


async def test_a_subscription_that_the_server_ends_is_taken_up_again(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server.url) as manager, manager.subscribe("a", "b") as messages:
        flow = source_of(manager)._flow
        assert flow is not None
        flow._transport.write(b"UNSUBSCRIBE a\r\n")
        gap = await next_of(messages)
        await manager.redis.publish("a", "x")
        heard = await next_of(messages)

    assert gap.reason == "the server ended the subscription"
    assert heard == Message("a", "x")


async def test_only_those_who_were_subscribed_get_a_gap(redis_server: RedisServer) -> None:
    """A break before the server has confirmed is no break for who is entering."""
    async with opened(redis_server.url, **CALM) as manager, manager.subscribe("news") as early:
        await redis_server.kill()
        await until(lambda: not manager.is_ready)
        late = manager.subscribe("news")
        entering = asyncio.create_task(late.__aenter__())
        await asyncio.sleep(0)
        await redis_server.start()
        await entering
        await manager.redis.publish("news", "x")
        heard = [await next_of(early), await next_of(early), await next_of(late)]
        await late.__aexit__(None, None, None)

    assert type(heard[0]) is Gap
    assert heard[1:] == [Message("news", "x")] * 2


@pytest.mark.usefixtures("pipelining")
async def test_a_server_at_maxclients_is_asked_with_pauses(redis_server: RedisServer) -> None:
    """Commands go on; the process is not ready, and hears again when there is room."""
    async with opened(redis_server.url, **CALM) as manager, manager.subscribe("news") as messages:
        connects = manager.stats().connects
        async with redis_server.client() as client:
            await client.execute_command("CONFIG SET", "maxclients", 2)
            await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await until(lambda: source_of(manager).error is not None)
            started = time.monotonic()
            await asyncio.sleep(1.0)
            assert await manager.redis.ping()
            assert not manager.is_ready
            assert counts(manager).deaf == ("news",)
            attempts = manager.stats().connects - connects
            elapsed = time.monotonic() - started
            await client.execute_command("CONFIG SET", "maxclients", 100)
        gap = await next_of(messages)

    assert attempts < 12
    assert gap.seconds >= elapsed


async def test_a_channel_that_is_forbidden_later_is_deaf(redis_server: RedisServer) -> None:
    """Nothing is raised; what is not forbidden is heard, and the rest when it may be again."""
    if not has(redis="6.2"):
        pytest.skip("rules for channels need Redis 6.2")
    user = ("ACL", "SETUSER", "ann", "on", ">pw", "~*", "+@all", "resetchannels")
    await redis_server.command(*user, "&a", "&b")
    settings: Any = {"username": "ann", "password": "pw"}
    async with (
        opened(redis_server.url, **settings) as manager,
        manager.subscribe("a", "b") as messages,
    ):
        await redis_server.command(*user, "&a")  # the server drops the connection
        first = await next_of(messages)
        deaf = counts(manager).deaf
        await manager.redis.publish("a", "x")
        heard = await next_of(messages)
        await redis_server.command(*user, "&a", "&b")
        second = await next_of(messages)
        assert (counts(manager).deaf, manager.is_ready) == ((), True)

    assert (type(first), type(second)) == (Gap, Gap)
    assert deaf == ("b",)
    assert heard == Message("a", "x")


async def test_a_right_that_is_taken_and_given_back_is_one_gap(redis_server: RedisServer) -> None:
    """The server drops the connection of a user who loses a channel."""
    if not has(redis="6.2"):
        pytest.skip("rules for channels need Redis 6.2")
    user = ("ACL", "SETUSER", "ann", "on", ">pw", "~*", "+@all", "resetchannels")
    await redis_server.command(*user, "&a")
    settings: Any = {"username": "ann", "password": "pw"}
    async with opened(redis_server.url, **settings) as manager, manager.subscribe("a") as messages:
        source = source_of(manager)
        await redis_server.command(*user)
        await until(lambda: source._retry)  # it was asked for again, and refused
        assert counts(manager).deaf == ("a",)
        await redis_server.command(*user, "&a")
        gap = await next_of(messages)
        await manager.redis.publish("a", "x")
        heard = await next_of(messages)
        assert (counts(manager).gaps, counts(manager).deaf) == (1, ())

    assert type(gap) is Gap
    assert heard == Message("a", "x")


async def test_readiness_names_the_deaf_channels(redis_server: RedisServer) -> None:
    manager = RedisManager(url=redis_server.url)
    app = FastAPI(lifespan=manager.lifespan)
    app.include_router(health_router)
    names = ["a" * 200, *(f"room:{number:02}" for number in range(11))]
    async with serving(app) as site, manager.subscribe(*names), redis_server.client() as client:
        ready = await site.http.get("/readyz")
        await client.execute_command("CONFIG SET", "maxclients", 2)
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        deaf = await site.until("/readyz", 503, within=1)
        await client.execute_command("CONFIG SET", "maxclients", 100)
        await site.until("/readyz", 200, within=2)

    named = ", ".join([f"'{'a' * 64}...'", *(f"'room:{number:02}'" for number in range(9))])
    assert ready.json()["redis"]["default"] == {"state": "ready"}
    assert deaf.json()["redis"]["default"] == {
        "state": "ready",
        "reason": f"not subscribed to {named} and 2 more",
    }


async def test_a_break_and_its_healing_are_told_once(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    events: list[Any] = []
    async with (
        RedisManager(redis_server.url, listeners=[events.append]) as manager,
        manager.subscribe("news", "more") as messages,
        manager.subscribe("news"),
    ):
        for _ in range(2):
            await redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
            await next_of(messages)
    kinds: Any = (SubscriptionsBroken, SubscriptionsHealed)
    told: list[Any] = [event for event in events if isinstance(event, kinds)]

    assert [type(event) for event in told] == [*kinds, *kinds]
    assert told[0].channels == 2
    assert caplog.text.count("2 subscriptions are not heard") == 1
    assert caplog.text.count("heard again after") == 1


@pytest.mark.parametrize("kind", ["failover", "kill"])
async def test_a_fail_over_is_followed(kind: str) -> None:
    async with (
        SentinelDeployment(replicas=1) as deployment,
        opened(deployment.url, **CALM) as manager,
        manager.subscribe("news") as messages,
    ):
        old = await deployment.primary()
        if kind == "kill":
            await old.kill()
        else:
            await deployment.failover()
        await deployment.elected(old)
        gap = await next_of(messages, 20)
        await manager.redis.publish("news", "x")
        heard = await next_of(messages)
        new = await deployment.primary()
        assert await new.command("PUBLISH", "news", "y") == 1
        assert await next_of(messages) == Message("news", "y")
        assert counts(manager).gaps == 1

    assert type(gap) is Gap
    assert heard == Message("news", "x")
