"""Fail-over by Sentinel, under load (rows 35 and 36)."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi import (
    Event,
    PoolState,
    RedisManager,
    RedisManagerError,
    RedisUnavailableError,
    RedisWritesRefusedError,
    ReplyLostError,
    StateChanged,
)
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.load import Outcomes, assert_counted_at_most_once, count, counter, read, steady_load
from tests.kit.managers import opened, pool_of, until_state
from tests.kit.servers import asked, has
from tests.kit.waiting import until

KEYS = [f"key:{number}" for number in range(20)]
PATIENT: dict[str, Any] = {
    "outage": {"grace": 10.0},
    "timeout": {"command": 10.0},
    "pool": {"acquire_timeout": 10.0},
}


async def fill(manager: RedisManager) -> None:
    for key in KEYS:
        await manager.redis.set(key, key)
    assert await manager.redis.wait(2, 5000) == 2


async def commands_of_ours(server: RedisServer) -> int:
    """How often the server has executed what only an application sends."""
    stats = await asked(server, "INFO", "commandstats")
    ours = ("cmdstat_get", "cmdstat_set", "cmdstat_incr", "cmdstat_blpop", "cmdstat_keys")
    return sum(stats[name]["calls"] for name in ours if name in stats)


async def connections_of_ours(server: RedisServer) -> int:
    clients = await asked(server, "CLIENT LIST")
    return sum(client["name"] == "the-app" for client in clients)


async def test_with_grace_above_the_election_a_kill_costs_no_read(
    deployment: SentinelDeployment,
) -> None:
    old = deployment.servers[0]

    async with opened(deployment.url, **PATIENT) as manager:
        await fill(manager)
        async with steady_load(manager.redis, KEYS, read, count) as outcomes:
            await asyncio.sleep(0.5)
            await old.kill()
            await deployment.elected(old)
            await asyncio.sleep(1)
        assert {type(error) for _, error in outcomes.failed} <= {ReplyLostError}
        assert sum(outcomes.maybe.values()) == len(outcomes.failed)
        await assert_counted_at_most_once(manager.redis, outcomes)


@pytest.mark.measures
async def test_after_a_kill_callers_fail_only_until_the_election_plus_one_second(
    deployment: SentinelDeployment,
) -> None:
    old = deployment.servers[0]

    async with opened(deployment.url, outage={"grace": 0.2}) as manager:
        await fill(manager)
        loop = asyncio.get_running_loop()
        async with steady_load(manager.redis, KEYS, read, count) as outcomes:
            await asyncio.sleep(0.5)
            killed = loop.time()
            await old.kill()
            await deployment.elected(old)
            elected = loop.time()
            await asyncio.sleep(2)
        assert outcomes.failed
        assert {type(error) for _, error in outcomes.failed} <= {
            RedisUnavailableError,
            ReplyLostError,
        }
        assert all(killed <= at <= elected + 1.0 for at, _ in outcomes.failed)
        await assert_counted_at_most_once(manager.redis, outcomes)


async def test_a_failover_with_the_old_primary_alive_costs_no_read_and_leaves_it_alone(
    deployment: SentinelDeployment,
) -> None:
    old, events = deployment.servers[0], list[Event]()
    settings: dict[str, Any] = {"client_name": "the-app", "listeners": [events.append]}

    async with opened(deployment.url, **settings) as manager:
        await fill(manager)
        async with steady_load(manager.redis, KEYS, read, count) as outcomes:
            await asyncio.sleep(0.3)
            await deployment.failover()
            await until(lambda: manager.stats().generation == 2, 20)
            await until_state(manager, PoolState.READY)
            before = await commands_of_ours(old)
            await deployment.elected(old)
            await asyncio.sleep(1)
        assert {type(error) for _, error in outcomes.failed} <= {ReplyLostError}
        assert await commands_of_ours(old) == before
        assert await connections_of_ours(old) == 0
        await assert_counted_at_most_once(manager.redis, outcomes)
    moves = [each for each in events if isinstance(each, StateChanged) and each.state == "suspect"]
    assert [move.reason for move in moves] == ["the Sentinels name another primary"]


async def test_what_callers_hold_does_not_stay_with_the_old_primary(
    deployment: SentinelDeployment,
) -> None:
    old = deployment.servers[0]

    async with opened(deployment.url, client_name="the-app", **PATIENT) as manager:
        blocked = asyncio.ensure_future(manager.redis.blpop(["list"], timeout=30))
        async with manager.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe("news")
            await pubsub.get_message(timeout=1)
            await deployment.failover()
            new = await deployment.elected(old)
            heard = asyncio.create_task(anext(pubsub.listen()))
            with pytest.raises(ReplyLostError):
                await blocked
            await until_subscribed(new, "news")
            await manager.redis.publish("news", "hello")
            assert (await heard)["data"] == "hello"
        assert await connections_of_ours(old) == 0


@pytest.mark.parametrize("fault", ["killed", "demoted"])
async def test_who_listens_follows_the_primary_without_an_error(
    deployment: SentinelDeployment, fault: str
) -> None:
    old = deployment.servers[0]

    async with (
        opened(deployment.url, **PATIENT) as manager,
        manager.redis.pubsub(ignore_subscribe_messages=True) as pubsub,
    ):
        await pubsub.subscribe("news")
        await pubsub.psubscribe("room:*")
        await pubsub.get_message(timeout=1)
        heard = asyncio.create_task(anext(pubsub.listen()))
        reading = asyncio.create_task(manager.redis.xread({"stream": "$"}, block=0))
        await until(lambda: manager.stats().leased == 2)
        await asyncio.sleep(0.7)
        if fault == "killed":
            await old.kill()
        else:
            await deployment.failover()
        new = await deployment.elected(old)
        await until(lambda: manager.stats().resubscribed == 1, 20)
        await new.command("PUBLISH", "room:1", "hello")
        await new.command("XADD", "stream", "1-1", "f", "v")
        assert (await asyncio.wait_for(heard, 5))["data"] == "hello"
        assert await asyncio.wait_for(reading, 5) == [["stream", [("1-1", {"f": "v"})]]]


async def until_subscribed(server: RedisServer, channel: str) -> None:
    async with asyncio.timeout(10):
        while True:
            if await asked(server, "PUBSUB CHANNELS", channel):
                return
            await asyncio.sleep(0.05)


async def test_a_primary_that_was_frozen_through_its_failover_gets_nothing_when_it_wakes(
    deployment: SentinelDeployment,
) -> None:
    old = deployment.servers[0]

    async with opened(deployment.url, client_name="the-app", **PATIENT) as manager:
        await fill(manager)
        async with steady_load(manager.redis, KEYS, read) as outcomes:
            old.pause()
            await deployment.elected(old)
            await until_state(manager, PoolState.READY)
            old.resume()
            before = await commands_of_ours(old)
            await asyncio.sleep(1.5)
            assert await commands_of_ours(old) == before
        assert not outcomes.failed
        assert await connections_of_ours(old) == 0


async def test_a_server_that_is_no_primary_is_refused(deployment: SentinelDeployment) -> None:
    """A Sentinel that knows no better names a replica."""
    replica, name = deployment.servers[1], deployment.service
    ignorant = {"sentinel": [f"monitor {name} {replica.host} {replica.port} 1"]}

    async with RedisServer(ignorant, mode="sentinel") as sentinel:
        url = f"redis+sentinel://{sentinel.host}:{sentinel.port}/0/{name}"
        with pytest.raises(RedisUnavailableError, match="not a primary"):
            async with RedisManager(url=url, startup={"policy": "fail"}):
                pass


async def test_from_the_news_on_no_command_goes_out_on_an_old_connection(
    redis_server: RedisServer,
) -> None:
    async with opened(redis_server.url) as manager:
        pool = pool_of(manager)
        async with manager.connection() as held:
            old = await manager.redis.execute_command("CLIENT ID"), await held.client_id()
            pool.moved("the Sentinels name another primary")

            assert pool.links == ()
            with pytest.raises(ReplyLostError):
                await held.ping()
        assert await manager.redis.ping()
        assert pool.generation == 2
        assert {c["id"] for c in await redis_server.command("CLIENT LIST")}.isdisjoint(
            {str(each) for each in old}
        )


async def count_in_a_transaction(client: Any, outcomes: Outcomes, key: str) -> None:
    """Increment a counter in a transaction and note what was told."""
    try:
        await client.pipeline().incr(counter(key)).execute()
    except RedisManagerError as error:
        outcomes.maybe[key] += error.maybe_executed
        raise
    outcomes.acknowledged[key] += 1


async def met_too_few_replicas(server: RedisServer) -> bool:
    """Whether the server refused a write for want of replicas."""
    if not has(redis="6.2"):  # older servers do not count their errors
        return True
    return "errorstat_NOREPLICAS" in await asked(server, "INFO", "errorstats")


@pytest.mark.parametrize("grace", [10.0, 0.3])
async def test_writes_that_lack_replicas_in_a_fail_over_wait_for_them(grace: float) -> None:
    """Row 54: the old primary's leave it, one after the other, before anybody is told."""
    settings = {**PATIENT, "outage": {"grace": grace}}
    async with SentinelDeployment() as deployment:
        for server in deployment.servers:
            await server.config_set("min-replicas-to-write", 1)
        old = deployment.servers[0]
        async with opened(deployment.url, **settings) as manager:
            await fill(manager)
            writes = steady_load(manager.redis, KEYS, count, count_in_a_transaction, rate=300)
            async with writes as outcomes:
                await asyncio.sleep(0.3)
                await deployment.failover()
                await deployment.elected(old)
                await asyncio.sleep(2)

            told = {type(error) for _, error in outcomes.failed}
            assert told <= {ReplyLostError, RedisUnavailableError, RedisWritesRefusedError}
            if grace > 1:
                assert told <= {ReplyLostError}
            assert await met_too_few_replicas(old)
            await assert_counted_at_most_once(manager.redis, outcomes)
