"""Leasing dedicated connections from a real server."""

import asyncio
import contextlib
from typing import Any

import pytest

from redis_manager_fastapi import (
    ClientEndedError,
    CommandTimeoutError,
    Event,
    PoolClosedError,
    PoolState,
    PoolTimeoutError,
    RedisManager,
    RedisUnavailableError,
    TooManyWaitersError,
)
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.leasing import acquire, release, waited
from tests.kit.managers import assert_at_rest, open_descriptors, opened, pool_of, until_state
from tests.kit.waiting import until


async def test_dropped_leases_do_not_wear_the_pool_out(redis_url: str) -> None:
    """A dedicated connection lost while leased, capacity + 1 times: the pool still serves."""
    async with opened(redis_url, pool={"max_connections": 3}) as manager:
        for _ in range(4):
            connection = await acquire(manager)
            connection.transport.abort()
            await release(manager, connection)

        assert not await waited(manager, "nothing")
        assert manager.stats().generation == 1


async def test_waiters_are_served_first_in_first_out(redis_url: str) -> None:
    served: list[int] = []

    async def caller(number: int) -> None:
        connection = await acquire(manager)
        served.append(number)
        await release(manager, connection)

    async with opened(redis_url, pool={"max_connections": 1}) as manager:
        held = await acquire(manager)
        callers = []
        for number in range(10):
            callers.append(asyncio.create_task(caller(number)))
            await asyncio.sleep(0)
        await release(manager, held)
        await asyncio.gather(*callers)

    assert served == list(range(10))


async def test_a_newcomer_does_not_overtake_a_waiter(redis_url: str) -> None:
    served: list[str] = []

    async def caller(name: str) -> None:
        connection = await acquire(manager)
        served.append(name)
        await release(manager, connection)

    async with opened(redis_url, pool={"max_connections": 1}) as manager:
        held = await acquire(manager)
        first = asyncio.create_task(caller("first"))
        await until(lambda: manager.stats().waiting == 1)
        await release(manager, held)
        await caller("second")
        await first

    assert served == ["first", "second"]


async def test_cancelled_waiter_does_not_swallow_the_wakeup(redis_url: str) -> None:
    """The next waiter is served at once when one is cancelled in the turn of its hand-over."""
    async with opened(redis_url, pool={"max_connections": 1}) as manager:
        held = await acquire(manager)
        doomed = asyncio.create_task(acquire(manager))
        heir = asyncio.create_task(acquire(manager))
        await until(lambda: manager.stats().waiting == 2)

        await release(manager, held)
        doomed.cancel()
        inherited = await asyncio.wait_for(heir, 0.5)

        assert inherited is held
        assert doomed.cancelled()
        await release(manager, inherited)


async def test_a_waiter_that_times_out_as_it_is_served_passes_its_place_on(redis_url: str) -> None:
    pool = {"max_connections": 1, "acquire_timeout": 0.05}
    async with opened(redis_url, pool=pool) as manager:
        for _ in range(20):
            held = await acquire(manager)
            waiter = asyncio.create_task(acquire(manager))
            await asyncio.sleep(0.05)
            await release(manager, held)
            with contextlib.suppress(PoolTimeoutError):
                await release(manager, await waiter)
            assert_at_rest(manager)


async def test_capacity_holds_while_connections_change_hands(redis_url: str) -> None:
    held = most = 0

    async def caller() -> None:
        nonlocal held, most
        connection = await acquire(manager)
        held += 1
        most = max(most, held)
        await connection.send_command("PING")
        assert await connection.read_response() == "PONG"
        held -= 1
        await release(manager, connection)

    async with opened(redis_url, pool={"max_connections": 2}) as manager:
        await asyncio.gather(*(caller() for _ in range(200)))

        assert most == 2
        assert manager.stats().connects <= 3


async def test_exhausted_pool_serves_its_size_and_refuses_the_rest_in_time(
    redis_url: str, redis_server: RedisServer
) -> None:
    """Two of fifty are served, `max_waiting` end at the acquire timeout, the rest at once."""
    pool = {"max_connections": 2, "max_waiting": 10, "acquire_timeout": 0.3}
    async with opened(redis_url, pool=pool) as manager:

        async def block() -> object:
            return await manager.redis.blpop(["queue"], timeout=2)

        callers = [asyncio.create_task(block()) for _ in range(50)]
        refused = await asyncio.wait_for(
            asyncio.gather(*callers[11:], return_exceptions=True), 0.25
        )
        late = await asyncio.gather(*callers[2:11], return_exceptions=True)
        async with redis_server.client() as admin:
            await admin.rpush("queue", "a", "b")
        served = await asyncio.gather(*callers[:2])

    assert {type(error) for error in refused} == {TooManyWaitersError}
    assert {type(error) for error in late} == {PoolTimeoutError}
    assert sorted(value[1] for value in served) == ["a", "b"]  # type: ignore[index]


@pytest.mark.parametrize("limit", ["acquire", "command"])
async def test_a_caller_without_a_place_is_told_the_limit_and_who_holds_them(
    redis_url: str, limit: str
) -> None:
    acquire, command = (0.3, 2.0) if limit == "acquire" else (2.0, 0.3)
    pool = {"max_connections": 1, "acquire_timeout": acquire}
    settings: dict[str, Any] = {"pool": pool, "timeout": {"command": command}}
    async with opened(redis_url, **settings) as manager, manager.connection():
        with pytest.raises(PoolTimeoutError, match=r"within 0\.3 s \(1 of 1 leased") as raised:
            await manager.redis.blpop(["nothing"], timeout=1)

    assert not raised.value.maybe_executed


async def test_idle_connections_are_closed_and_leased_ones_are_not(redis_url: str) -> None:
    pool = {"max_connections": 3, "max_idle": 0.05}
    async with opened(redis_url, pool=pool) as manager:
        held, idle = await acquire(manager), await acquire(manager)
        await release(manager, idle)
        await asyncio.sleep(0.06)

        fresh = await acquire(manager)

        assert fresh is not idle
        assert not idle.is_connected
        assert held.is_connected
        await release(manager, fresh)
        await release(manager, held)


async def test_idle_connections_are_closed_while_nobody_asks_for_one(redis_url: str) -> None:
    async with opened(redis_url, pool={"max_idle": 0.1}, health={"interval": 0.1}) as manager:
        await release(manager, await acquire(manager))
        assert manager.stats().idle == 1
        await until(lambda: manager.stats().idle == 0)
        assert manager.stats().generation == 1


async def test_an_old_connection_is_not_leased_again(redis_url: str) -> None:
    async with opened(redis_url, pool={"max_lifetime": 0.05}) as manager:
        first = await acquire(manager)
        await asyncio.sleep(0.06)
        await release(manager, first)

        assert not first.is_connected
        assert manager.stats().idle == 0


async def test_a_connection_that_fails_to_open_gives_its_place_back(
    redis_server: RedisServer,
) -> None:
    """Timing out while connecting costs nobody a place."""
    settings = {"pool": {"max_connections": 1}, "timeout": {"connect": 0.1, "command": 0.3}}
    settings["health"] = {"backoff_base": 0.01, "backoff_cap": 0.02}
    async with opened(redis_server.url, **settings) as manager:
        redis_server.pause()
        for _ in range(3):
            with pytest.raises(Exception, match=r"redis|connection|reply"):
                await acquire(manager)
        redis_server.resume()
        await until_state(manager, PoolState.READY)
        await asyncio.sleep(manager.settings.health.backoff_cap)

        await release(manager, await acquire(manager))


async def test_closing_fails_waiters_at_once(redis_url: str) -> None:
    manager = RedisManager(url=redis_url, pool={"max_connections": 1}, shutdown={"drain": 0.2})
    await manager.open()
    held = await acquire(manager)
    waiters = [asyncio.create_task(acquire(manager)) for _ in range(5)]
    await until(lambda: manager.stats().waiting == 5)

    closing = asyncio.create_task(manager.aclose())
    errors = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), 0.15)
    await closing

    assert {type(error) for error in errors} == {PoolClosedError}
    assert not held.is_connected


async def test_a_connection_that_opens_while_the_pool_closes_is_dropped(
    redis_server: RedisServer, fault_proxy: FaultProxy
) -> None:
    manager = RedisManager(url=fault_proxy.url, shutdown={"drain": 0.2})
    await manager.open()
    descriptors = open_descriptors()
    await fault_proxy.delay(to_client=0.1)
    call: asyncio.Future[Any] = asyncio.ensure_future(manager.redis.info())
    await until(lambda: manager.stats().opening == 1)
    await manager.aclose()

    with pytest.raises(PoolClosedError):
        await call
    stats = manager.stats()
    assert (stats.opening, stats.leased, stats.idle) == (0, 0, 0)
    assert open_descriptors() < descriptors


async def test_maxclients_refuses_new_leases_with_the_reason_and_heals(
    redis_server: RedisServer,
) -> None:
    """What is connected serves on; new connections are refused until there is room again."""
    shared = {"enabled": True}
    async with (
        opened(redis_server.url, pipelining=shared) as manager,
        redis_server.client() as admin,
    ):
        await admin.config_set("maxclients", 2)
        with pytest.raises(RedisUnavailableError, match=r"max number of clients|maxclients"):
            await acquire(manager)
        assert await manager.redis.set("key", "value")
        assert manager.stats().generation == 1

        await admin.config_set("maxclients", 100)
        await asyncio.sleep(manager.settings.health.backoff_cap)
        await release(manager, await acquire(manager))


@pytest.mark.parametrize("attempt", range(1, 40))
async def test_cancelled_at_every_await_loses_no_place(redis_url: str, attempt: int) -> None:
    """A caller cancelled after any number of turns leaves the count in order."""
    async with opened(redis_url, pool={"max_connections": 1}) as manager:
        task = asyncio.ensure_future(waited(manager, "nothing"))
        for _ in range(attempt):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert_at_rest(manager)
        assert not await waited(manager, "nothing")


async def test_a_stopped_server_leaves_no_descriptor_behind(redis_server: RedisServer) -> None:
    """A 16 MB write to a server that stopped reading ends at the deadline; the socket goes too."""
    async with opened(redis_server.url, timeout={"command": 0.5}) as manager:
        before = open_descriptors()
        await release(manager, await acquire(manager))
        redis_server.pause()
        with pytest.raises(CommandTimeoutError):
            await manager.redis.set("big", b"x" * 16_000_000)
        await until(lambda: pool_of(manager).leases.capacity.leased == {})
        await until(lambda: open_descriptors() <= before, timeout=1.0)
        redis_server.resume()


async def test_a_subscription_that_outlives_its_lease_says_so(redis_url: str) -> None:
    """It opens no connection of its own, on which it would hear nothing."""
    async with opened(redis_url) as manager:
        of_the_app = manager.redis.pubsub()
        await of_the_app.subscribe("news")
        async with manager.client() as client:
            of_a_request = client.pubsub()
            await of_a_request.subscribe("news")
        connects = manager.stats().connects

        with pytest.raises(ClientEndedError):
            await of_a_request.get_message(timeout=1)
        assert manager.stats().leased == 1
        await manager.aclose()
        with pytest.raises(PoolClosedError):
            await of_the_app.get_message(timeout=1)
        assert manager.stats().connects == connects


async def test_closing_a_subscription_is_no_news_about_the_server(redis_url: str) -> None:
    events: list[Event] = []
    async with opened(redis_url, listeners=[events.append]) as manager:
        before = len(events)
        async with manager.redis.pubsub() as subscription:
            await subscription.subscribe("channel")

        assert manager.stats().leased == 0
        assert events[before:] == []
