"""Reads from replicas by setting: where they arrive, and whose trouble a replica's is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from redis_manager_fastapi import (
    ClientEndedError,
    CommandTimeoutError,
    Event,
    PoolClosedError,
    PoolState,
    Redis,
    RedisManager,
    RedisUnavailableError,
    ReplyLostError,
    StateChanged,
)
from redis_manager_fastapi.client.replicas import READS
from redis_manager_fastapi.pool.state import PoolStats
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from redis_manager_fastapi.testing.server import RedisServer
from tests.load import assert_counted_at_most_once, count, read, steady_load
from tests.managers import opened, until
from tests.servers import needs

KEYS = [f"key:{number}" for number in range(20)]
PATIENT: dict[str, Any] = {"outage": {"grace": 10.0}, "timeout": {"command": 10.0}}
REPLICA: dict[str, Any] = {"sentinel": {"reads": "replica"}}
ANY: dict[str, Any] = {"sentinel": {"reads": "any"}}

# What is allowed beside the bound that a test is about, in seconds.
SLACK = 0.3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[SentinelDeployment]:
    """A deployment that these tests leave as they found it, but for its data."""
    async with SentinelDeployment() as deployment:
        yield deployment


def replica_stats(manager: RedisManager) -> PoolStats:
    """The counters of the pool that reads from a replica."""
    stats = manager.stats().replica
    assert stats is not None
    return stats


async def until_read_from_a_replica(manager: RedisManager, timeout: float = 20) -> None:
    await until(lambda: replica_stats(manager).serving, timeout)


async def fill(manager: RedisManager) -> None:
    """Have every key on every server."""
    for key in KEYS:
        await manager.redis.set(key, key)
    async with manager.client() as client:
        replicas = len((await client.role())[2])
        assert await client.wait(replicas, 5000) == replicas


async def calls(server: RedisServer, command: str = "get") -> int:
    """How often the server has executed *command*."""
    stats = await server.command("INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


async def connections_of_ours(server: RedisServer) -> list[dict[str, Any]]:
    clients = await server.command("CLIENT LIST")
    return [client for client in clients if client["name"] == "the-app"]


async def read_all(manager: RedisManager) -> None:
    assert [await manager.redis.get(key) for key in KEYS] == KEYS


@pytest.mark.parametrize(
    ("reads", "at_the_primary", "at_one_replica"),
    [("primary", 20, 0), ("replica", 0, 20), ("any", 10, 10)],
)
async def test_reads_arrive_where_the_setting_says(
    shared: SentinelDeployment, reads: str, at_the_primary: int, at_one_replica: int
) -> None:
    async with opened(shared.url, sentinel={"reads": reads}) as manager:
        if reads != "primary":
            await until_read_from_a_replica(manager)
        await fill(manager)
        before = [await calls(server) for server in shared.servers]
        writes = await calls(shared.servers[0], "set")
        for key in KEYS:
            assert await manager.redis.get(key) == key
            await manager.redis.set(key, key)
        after = [await calls(server) for server in shared.servers]
        primary, *replicas = (now - was for now, was in zip(after, before, strict=True))
        assert primary == at_the_primary
        assert sorted(replicas) == [0, at_one_replica]
        assert await calls(shared.servers[0], "set") - writes == len(KEYS)


async def test_without_the_setting_the_client_is_the_plain_one(shared: SentinelDeployment) -> None:
    async with opened(shared.url) as manager:
        assert type(manager.redis) is Redis
        assert manager.stats().replica is None


async def test_a_pipeline_that_only_reads_arrives_at_a_replica(shared: SentinelDeployment) -> None:
    async with opened(shared.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        before = await calls(shared.servers[0])
        pipe = manager.redis.pipeline(transaction=False)
        for key in KEYS:
            pipe.get(key)
        assert await pipe.execute() == KEYS
        assert await calls(shared.servers[0]) == before


async def test_what_does_more_than_read_stays_with_the_primary(shared: SentinelDeployment) -> None:
    async with opened(shared.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        before = [await calls(server) for server in shared.servers[1:]]
        key = KEYS[0]
        async with manager.client() as scoped:
            client: Any = scoped
            writing = client.pipeline(transaction=False).get(key).set(key, key)
            assert await writing.execute() == [key, True]
            assert await client.pipeline().get(key).get(key).execute() == [key, key]
            async with client.pipeline() as watching:
                await watching.watch(key)
                assert await watching.get(key) == key
            async with client.client() as pinned:
                assert await pinned.get(key) == key
            assert await client.with_options(dedicated=True).get(key) == key
            script = "return redis.call('GET', KEYS[1])"
            assert await client.eval(script, 1, key) == key
            assert {each async for each in client.scan_iter(count=3)} >= set(KEYS)
        assert [await calls(server) for server in shared.servers[1:]] == before
        assert [await calls(server, "scan") for server in shared.servers[1:]] == [0, 0]
        assert READS.keys().isdisjoint({"SCAN", "HSCAN", "EVAL_RO", "PING", "TOUCH", "SET"})


async def test_values_are_those_that_the_primary_would_give(shared: SentinelDeployment) -> None:
    async with opened(shared.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await manager.redis.hset("hash", mapping={"field": "wört"})
        await manager.redis.zadd("sorted", {"a": 1.5})
        assert await manager.redis.wait(2, 5000) == 2
        before = await calls(shared.servers[0], "hgetall")
        async with manager.client() as client:
            raw = client.with_options(decode_responses=False)
            assert await client.hgetall("hash") == {"field": "wört"}
            assert await raw.hgetall("hash") == {b"field": "wört".encode()}
            assert await client.hgetall("none") == {}
            assert await client.zrange("sorted", 0, -1, withscores=True) == [("a", 1.5)]
            with pytest.raises(Exception, match="WRONGTYPE"):
                await client.get("hash")
        with pytest.raises(ClientEndedError):
            await client.hgetall("hash")
        assert await calls(shared.servers[0], "hgetall") == before


async def test_a_request_too_large_to_share_stays_with_the_primary(
    shared: SentinelDeployment,
) -> None:
    async with opened(shared.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        before = await calls(shared.servers[0], "mget")
        assert await manager.redis.mget(["k" * 100_000]) == [None]
        assert await calls(shared.servers[0], "mget") == before + 1


async def test_all_connections_to_replicas_go_to_the_same_one(shared: SentinelDeployment) -> None:
    settings = {"pipelining": {"connections": 3}, "client_name": "the-app", **REPLICA}

    async with opened(shared.url, **settings) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        assert await asyncio.gather(*map(manager.redis.get, KEYS)) == KEYS
        links = [len(await connections_of_ours(server)) for server in shared.servers[1:]]
        assert sorted(links) == [0, 3]


async def test_an_event_of_the_replica_s_pool_names_the_replica(shared: SentinelDeployment) -> None:
    events = list[Event]()

    async with opened(shared.url, listeners=[events.append], **REPLICA) as manager:
        await until_read_from_a_replica(manager)
    told = [each for each in events if isinstance(each, StateChanged) and each.state == "ready"]
    primary, replica = sorted(each.node for each in told)
    assert primary == ""
    assert replica in {f"{server.host}:{server.port}" for server in shared.servers[1:]}


@needs("ACL", redis="6.0")
async def test_an_error_of_a_replica_is_asked_of_the_primary(shared: SentinelDeployment) -> None:
    """Access rules are not replicated: the primary's are the ones that count."""
    replicas = shared.servers[1:]

    async with opened(shared.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        before = await calls(shared.servers[0])
        for server in replicas:
            await server.command("ACL", "SETUSER", "default", "-get")
        try:
            await read_all(manager)
            pipe: Any = manager.redis.pipeline(transaction=False)
            assert await pipe.get(KEYS[0]).exists(KEYS[0]).execute() == [KEYS[0], 1]
        finally:
            for server in replicas:
                await server.command("ACL", "SETUSER", "default", "+get")
        assert await calls(shared.servers[0]) == before + len(KEYS) + 1


@needs("ACL", redis="6.0")
async def test_a_replica_that_may_not_tell_its_role_is_taken_at_the_sentinels_word(
    shared: SentinelDeployment,
) -> None:
    replicas = shared.servers[1:]
    for server in replicas:
        await server.command("ACL", "SETUSER", "default", "-role")
    try:
        async with opened(shared.url, **REPLICA) as manager:
            await until_read_from_a_replica(manager)
            await asyncio.sleep(1.2)
            assert replica_stats(manager).serving
    finally:
        for server in replicas:
            await server.command("ACL", "SETUSER", "default", "+role")


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
        assert clock() - started <= SLACK
        assert manager.is_ready
        await manager.redis.set("key", "value")
        assert await manager.redis.get("key") == "value"
        assert clock() - started <= 2 * SLACK
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
            new = await deployment.elected(old)
            await until(lambda: manager.is_ready, 20)
            await until_read_from_a_replica(manager)
            await asyncio.sleep(0.5)
        assert {type(error) for _, error in outcomes.failed} <= {ReplyLostError}
        assert sum(outcomes.maybe.values()) == len(outcomes.failed)
        await manager.redis.wait(1, 5000)
        await assert_counted_at_most_once(manager.redis, outcomes)
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
        if (await old.command("ROLE"))[0] != "master":
            return
        assert seen == before
        await asyncio.sleep(0.05)


async def test_reads_in_flight_at_the_end_finish_and_later_ones_are_refused(
    shared: SentinelDeployment,
) -> None:
    async with RedisManager(url=shared.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        reads = [asyncio.ensure_future(manager.redis.get(key)) for key in KEYS]
        await asyncio.sleep(0)
    assert await asyncio.gather(*reads) == KEYS
    with pytest.raises(PoolClosedError):
        await manager.redis.get("key")
    assert replica_stats(manager).state.value == "closed"


async def test_a_manager_opened_again_reads_from_a_replica_again(
    shared: SentinelDeployment,
) -> None:
    manager = RedisManager(url=shared.url, **REPLICA)
    for _ in range(2):
        async with manager:
            await until_read_from_a_replica(manager)
            await fill(manager)
            before = await calls(shared.servers[0])
            await read_all(manager)
            assert await calls(shared.servers[0]) == before
