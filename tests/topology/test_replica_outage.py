"""Reads from replicas by setting: a replica's trouble is never the caller's."""

import asyncio
import gc
from typing import Any

import pytest

from redis_manager_fastapi import (
    CommandTimeoutError,
    PoolState,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.load import assert_counted_at_most_once, count, read, steady_load
from tests.kit.managers import opened, pool_of
from tests.kit.reading import (
    ANY,
    KEYS,
    PATIENT,
    REPLICA,
    SLACK,
    calls,
    connections_of_ours,
    fill,
    read_all,
    replica_stats,
    until_read_from_a_replica,
)
from tests.kit.servers import asked
from tests.kit.waiting import until


async def test_a_deployment_without_replicas_reads_from_its_primary() -> None:
    async with (
        SentinelDeployment(replicas=0, sentinels=1) as deployment,
        opened(deployment.url, startup={"policy": "fail"}, **REPLICA) as manager,
    ):
        await fill(manager)
        await until(lambda: replica_stats(manager).state.value == "down")
        await read_all(manager)
        assert manager.is_ready
        assert "no Sentinel knows a replica that is up" in replica_stats(manager).reason


async def test_frozen_replicas_delay_no_start(deployment: SentinelDeployment) -> None:
    for server in deployment.servers[1:]:
        server.pause()

    clock = asyncio.get_running_loop().time
    started = clock()
    async with opened(deployment.url, startup={"policy": "fail"}, **REPLICA) as manager:
        assert clock() - started < manager.settings.timeout.connect
        assert manager.is_ready
        await manager.redis.set("key", "value")
        assert await manager.redis.get("key") == "value"
        assert clock() - started < manager.settings.timeout.connect
        for server in deployment.servers[1:]:
            server.resume()
        await until_read_from_a_replica(manager)


@pytest.mark.parametrize("settings", [REPLICA, ANY])
async def test_killed_replicas_cost_no_read_and_are_read_from_again(
    deployment: SentinelDeployment, settings: dict[str, Any]
) -> None:
    primary, *replicas = deployment.servers

    async with opened(deployment.url, **settings) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        async with steady_load(manager.redis, KEYS, read) as outcomes:
            await asyncio.sleep(0.3)
            for server in replicas:
                await server.kill()
            await until(lambda: not replica_stats(manager).serving)
            before = await calls(primary)
            await asyncio.sleep(0.5)
            assert await calls(primary) > before
            assert manager.is_ready
            for server in replicas:
                await server.start()
            await until_read_from_a_replica(manager)
            at_replicas = [await calls(server) for server in replicas]
            await asyncio.sleep(0.5)
            assert [await calls(server) for server in replicas] != at_replicas
        assert not outcomes.failed


async def test_a_killed_replica_s_reads_go_to_another_replica(
    deployment: SentinelDeployment,
) -> None:
    async with opened(deployment.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        await read_all(manager)
        one, other = deployment.servers[1:]
        used, spare = (one, other) if await calls(one) else (other, one)
        async with steady_load(manager.redis, KEYS, read) as outcomes:
            await used.kill()
            await until(lambda: replica_stats(manager).generation == 2)
        assert not outcomes.failed
        before = await calls(spare)
        await read_all(manager)
        assert await calls(spare) == before + len(KEYS)


async def test_gathered_reads_that_a_replica_loses_are_asked_of_the_primary(
    deployment: SentinelDeployment, complaints: list[dict[str, Any]]
) -> None:
    """Those of callers that have left meanwhile are not, and leave nothing."""
    async with opened(deployment.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        for server in deployment.servers[1:]:
            server.pause()
        kept = asyncio.gather(*map(manager.redis.get, KEYS))
        left = asyncio.gather(*map(manager.redis.get, KEYS))
        await until(lambda: replica_stats(manager).in_flight >= 2 * len(KEYS))
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        before = await calls(deployment.servers[0])
        for server in deployment.servers[1:]:
            await server.kill()

        assert await kept == KEYS
        assert await calls(deployment.servers[0]) == before + len(KEYS)
    gc.collect()
    assert complaints == []


@pytest.mark.measures
@pytest.mark.parametrize("settings", [REPLICA, ANY])
async def test_frozen_replicas_hold_a_read_for_no_longer_than_the_detection(
    settings: dict[str, Any],
) -> None:
    """The Sentinels do not tell: they take longer to notice."""
    async with (
        SentinelDeployment(down_after=60) as deployment,
        opened(deployment.url, **settings) as manager,
    ):
        await until_read_from_a_replica(manager)
        await fill(manager)
        health = manager.settings.health
        async with steady_load(manager.redis, KEYS, read) as outcomes:
            for server in deployment.servers[1:]:
                server.pause()
            await until(lambda: not replica_stats(manager).serving)
            await asyncio.sleep(0.1)
            held = max(outcomes.latencies)
            outcomes.latencies.clear()
            await asyncio.sleep(0.5)
            assert max(outcomes.latencies) <= SLACK
            for server in deployment.servers[1:]:
                server.resume()
        assert not outcomes.failed
        assert SLACK < held <= health.interval + health.timeout + SLACK


async def test_a_deadline_shorter_than_the_detection_holds_on_a_frozen_replica(
    deployment: SentinelDeployment,
) -> None:
    async with opened(deployment.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        for server in deployment.servers[1:]:
            server.pause()
        clock = asyncio.get_running_loop().time
        started = clock()
        with pytest.raises(CommandTimeoutError):
            await manager.redis.with_options(timeout=0.2).get("key")
        assert clock() - started <= 0.2 + SLACK
        for server in deployment.servers[1:]:
            server.resume()


async def cut_off(replicas: list[RedisServer], primary: RedisServer) -> None:
    """Have the replicas follow a server that is not there."""
    for server in replicas:
        await server.command("REPLICAOF", primary.host, 1)


@pytest.mark.parametrize("serve_stale", ["yes", "no"])
async def test_replicas_cut_off_from_the_primary_are_left(
    deployment: SentinelDeployment, serve_stale: str
) -> None:
    primary, *replicas = deployment.servers

    async with opened(deployment.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        for server in replicas:
            await server.command("CONFIG", "SET", "slave-serve-stale-data", serve_stale)
        async with steady_load(manager.redis, KEYS, read) as outcomes:
            await cut_off(replicas, primary)
            await until(lambda: not replica_stats(manager).serving)
            before = [await calls(server) for server in replicas]
            await asyncio.sleep(0.5)
            assert [await calls(server) for server in replicas] == before
        assert not outcomes.failed
        await manager.redis.set("key", "fresh")
        assert await manager.redis.get("key") == "fresh"
        for server in replicas:
            await server.command("REPLICAOF", primary.host, primary.port)
        await until_read_from_a_replica(manager)


async def test_replicas_promoted_by_hand_are_left(deployment: SentinelDeployment) -> None:
    async with opened(deployment.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        for server in deployment.servers[1:]:
            await server.command("REPLICAOF", "NO", "ONE")
        await until(lambda: not replica_stats(manager).serving)
        await manager.redis.set("key", "fresh")
        assert await manager.redis.get("key") == "fresh"
        assert manager.is_ready


async def test_without_a_primary_a_replica_is_read_from() -> None:
    """Beyond grace a write fails at once, and a read does not."""
    async with SentinelDeployment(down_after=60) as deployment:
        settings: dict[str, Any] = {"outage": {"grace": 0.1}, **ANY}
        async with opened(deployment.url, **settings) as manager:
            await until_read_from_a_replica(manager)
            await fill(manager)
            await deployment.servers[0].kill()
            await until(lambda: not manager.is_ready)
            async with steady_load(manager.redis, KEYS, read) as outcomes:
                await asyncio.sleep(2)
            assert not outcomes.failed
            with pytest.raises(RedisUnavailableError):
                await manager.redis.set("key", "value")
            for server in deployment.servers[1:]:
                await server.kill()
            with pytest.raises(RedisUnavailableError):
                await manager.redis.get("key")


async def test_without_a_primary_a_read_waits_for_the_replica_that_comes_back() -> None:
    """Beyond grace the primary refuses at once; the replica's own grace has only begun."""
    async with SentinelDeployment(replicas=1, down_after=60) as deployment:
        primary, replica = deployment.servers
        settings: dict[str, Any] = {"outage": {"grace": 1.0}, **REPLICA}
        async with opened(deployment.url, **settings) as manager:
            await until_read_from_a_replica(manager)
            await fill(manager)
            async with steady_load(manager.redis, KEYS, read) as outcomes:
                primary.pause()
                await until(lambda: manager.stats().state is PoolState.DOWN)
                for generation in (2, 3):
                    await replica.command("CLIENT", "KILL", "TYPE", "normal")
                    await until(lambda end=generation: replica_stats(manager).generation == end)
                with pytest.raises(RedisUnavailableError):
                    await manager.redis.set("key", "value")
                primary.resume()
            assert not outcomes.failed


async def test_a_kill_of_the_primary_costs_no_read(deployment: SentinelDeployment) -> None:
    old = deployment.servers[0]

    async with opened(deployment.url, **PATIENT, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        async with steady_load(manager.redis, KEYS, read, count) as outcomes:
            await asyncio.sleep(0.3)
            await old.kill()
            await deployment.elected(old)
            await until(lambda: manager.is_ready, 20)
            await until_read_from_a_replica(manager)
            await asyncio.sleep(0.5)
        new = await deployment.settled()
        await until(lambda: pool_of(manager).peer[1] == new.port)  # type: ignore[index]
        assert {type(error) for _, error in outcomes.failed} <= {ReplyLostError}
        assert sum(outcomes.maybe.values()) == len(outcomes.failed)
        await manager.redis.wait(1, 5000)
        await assert_counted_at_most_once(manager.redis, outcomes)
        # The replica that is left has followed the new primary by now, and was away for that.
        await until_read_from_a_replica(manager)
        before = await calls(new)
        await read_all(manager)
        assert await calls(new) == before


async def test_a_failover_costs_no_read_and_the_old_primary_is_read_from_as_a_replica() -> None:
    async with SentinelDeployment(replicas=1) as deployment:
        old, new = deployment.servers
        settings: dict[str, Any] = {"client_name": "the-app", **PATIENT, **REPLICA}
        async with opened(deployment.url, **settings) as manager:
            await until_read_from_a_replica(manager)
            await fill(manager)
            async with steady_load(manager.redis, KEYS, read, count) as outcomes:
                await asyncio.sleep(0.3)
                await deployment.failover()
                assert await deployment.elected(old) is new
                await until(lambda: manager.stats().generation >= 2, 20)
                before = await calls(old)
                await assert_not_read_from_while_it_is_a_primary(old, before)
                await until_read_from_a_replica(manager)
                await asyncio.sleep(0.5)
                assert await calls(old) > before
            assert {type(error) for _, error in outcomes.failed} <= {ReplyLostError}
            assert sum(outcomes.maybe.values()) == len(outcomes.failed)
            held = await connections_of_ours(old)
            assert {each["cmd"] for each in held} <= {"get", "ping", "role"}
            assert len(held) == 1
            assert await manager.redis.wait(1, 5000) == 1
            await assert_counted_at_most_once(manager.redis, outcomes)


async def assert_not_read_from_while_it_is_a_primary(old: RedisServer, before: int) -> None:
    """It takes the Sentinels seconds to make a replica of a primary that they have replaced."""
    while True:
        seen = await calls(old)
        if (await asked(old, "ROLE"))[0] != "master":
            return
        assert seen == before
        await asyncio.sleep(0.05)
