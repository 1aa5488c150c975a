"""Reads from replicas by setting: where they arrive."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from redis_manager_fastapi import (
    ClientEndedError,
    Event,
    PoolClosedError,
    Redis,
    RedisManager,
    StateChanged,
)
from redis_manager_fastapi.delivery.replica_reads import READS
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.caching import until_cached
from tests.kit.managers import opened
from tests.kit.reading import (
    KEYS,
    REPLICA,
    calls,
    connections_of_ours,
    fill,
    read_all,
    replica_stats,
    until_read_from_a_replica,
)
from tests.kit.servers import needs


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[SentinelDeployment]:
    """A deployment that these tests leave as they found it, but for its data."""
    async with SentinelDeployment() as deployment:
        yield deployment


@pytest.mark.parametrize(
    ("reads", "at_the_primary", "at_one_replica"),
    [("primary", 20, 0), ("replica", 0, 20), ("any", 10, 10)],
)
async def test_reads_arrive_where_the_setting_says(
    shared: SentinelDeployment, reads: str, at_the_primary: int, at_one_replica: int
) -> None:
    settings = {**REPLICA, "sentinel": {"reads": reads}}
    async with opened(shared.url, **settings) as manager:
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


@needs("client-side caching", redis="7.0")
@pytest.mark.usefixtures("pipelining")
async def test_cached_reads_arrive_at_the_primary(shared: SentinelDeployment) -> None:
    """What a replica says may be older than a cache promises."""
    async with opened(shared.url, **REPLICA) as manager:
        await until_read_from_a_replica(manager)
        cached = manager.redis.with_options(cache=30.0)
        await until_cached(manager, cached)
        await fill(manager)
        before = [await calls(server) for server in shared.servers]
        for key in (*KEYS, *KEYS):
            assert await cached.get(key) == key
        after = [await calls(server) for server in shared.servers]

    reads = [now - was for now, was in zip(after, before, strict=True)]
    assert reads == [len(KEYS), *[0] * (len(shared.servers) - 1)]


@pytest.mark.parametrize(
    ("reads", "at_the_primary", "at_one_replica"), [("replica", 0, 20), ("any", 10, 10)]
)
async def test_gathered_reads_need_no_tasks(
    shared: SentinelDeployment,
    made: list[asyncio.Task[Any]],
    reads: str,
    at_the_primary: int,
    at_one_replica: int,
) -> None:
    async with opened(shared.url, **{**REPLICA, "sentinel": {"reads": reads}}) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        before = [await calls(server) for server in shared.servers]
        made.clear()

        gathered = asyncio.gather(*map(manager.redis.get, KEYS))

        assert made == []
        assert await gathered == KEYS
        after = [await calls(server) for server in shared.servers]
        primary, *replicas = (now - was for now, was in zip(after, before, strict=True))
        assert primary == at_the_primary
        assert sorted(replicas) == [0, at_one_replica]


async def test_a_callback_of_the_user_s_runs_in_the_caller_s_context(
    shared: SentinelDeployment,
) -> None:
    async with opened(shared.url, **{**REPLICA, "sentinel": {"reads": "any"}}) as manager:
        await until_read_from_a_replica(manager)
        await fill(manager)
        before = await calls(shared.servers[0])
        client, tasks = manager.redis.with_options(), list[Any]()

        def callback(response: Any, **_: Any) -> Any:
            tasks.append(asyncio.current_task())
            return f"<{response}>"

        client.set_response_callback("GET", callback)
        assert await asyncio.gather(*map(client.get, KEYS)) == [f"<{key}>" for key in KEYS]
        assert None not in tasks
        assert await calls(shared.servers[0]) == before + len(KEYS) // 2


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
    pipelining = {"enabled": True, "connections": 3}
    settings = {**REPLICA, "pipelining": pipelining, "client_name": "the-app"}

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
            assert await asyncio.gather(*map(manager.redis.get, KEYS)) == KEYS
            pipe: Any = manager.redis.pipeline(transaction=False)
            assert await pipe.get(KEYS[0]).exists(KEYS[0]).execute() == [KEYS[0], 1]
        finally:
            for server in replicas:
                await server.command("ACL", "SETUSER", "default", "+get")
        assert await calls(shared.servers[0]) == before + 2 * len(KEYS) + 1


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
