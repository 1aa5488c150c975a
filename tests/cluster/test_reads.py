"""Reads from a Cluster's replicas by setting."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.testing.cluster import ClusterDeployment, node_id
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.clusters import cluster_of, keys_in, node_at
from tests.kit.managers import opened
from tests.kit.waiting import until


@pytest.mark.parametrize(("reads", "replicas"), [("replica", {1}), ("any", {0, 1})])
async def test_reads_go_to_replicas_by_setting(
    shared: ClusterDeployment, reads: str, replicas: set[int]
) -> None:
    async with opened(shared.url, cluster={"reads": reads}) as manager:
        await manager.redis.set("key", "value")
        await shared.replicated()
        await until(lambda: all(node.serving for node in cluster_of(manager).map.nodes))
        for server in shared.nodes:
            await server.command("CONFIG RESETSTAT")
        for _ in range(20):
            assert await manager.redis.get("key") == "value"
        read = [await reads_of(server) for server in shared.nodes]
        assert sum(read) == 20
        assert {i // 3 for i, calls in enumerate(read) if calls} == replicas


@pytest.mark.parametrize("dedicated", [False, True])
async def test_a_cursor_stays_with_the_primary(shared: ClusterDeployment, dedicated: bool) -> None:
    """A cursor of one server means nothing to another: elements would be missed."""
    async with opened(shared.url, cluster={"reads": "any"}) as manager:
        fields: Any = {f"field {n}": str(n) for n in range(2000)}
        await manager.redis.hset("hash", mapping=fields)
        await until(lambda: all(node.serving for node in cluster_of(manager).map.nodes))
        for server in shared.nodes:
            await server.command("CONFIG RESETSTAT")

        client = manager.redis.with_options(dedicated=dedicated)
        found = {field: value async for field, value in client.hscan_iter("hash")}

        assert found == fields
        scans = [await reads_of(server, "hscan") for server in shared.nodes]
        assert sum(scans) > 20
        assert not any(scans[len(shared.primaries) :])
        await manager.redis.delete("hash")


async def reads_of(server: RedisServer, command: str = "get") -> int:
    stats = await server.command("INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_a_lost_replica_s_reads_go_elsewhere(steady: ClusterDeployment) -> None:
    async with opened(steady.url, cluster={"reads": "replica"}) as manager:
        await manager.redis.set("key", "value")
        await until(lambda: all(node.serving for node in cluster_of(manager).map.nodes))
        for replica in steady.replicas:
            await replica.kill()
        for _ in range(50):
            assert await manager.redis.get("key") == "value"


async def pipeline(client: Any, key: str) -> Any:
    return (await client.pipeline().get(key).execute())[0]


READS: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
    "GET": lambda client, key: client.get(key),
    "dedicated GET": lambda client, key: client.with_options(dedicated=True).get(key),
    "large MGET": lambda client, key: first(client.mget(key, f"{{{key}}}" + "x" * 70_000)),
    "pipeline": pipeline,
    "dedicated pipeline": lambda client, key: pipeline(client.with_options(dedicated=True), key),
}


async def first(values: Awaitable[list[Any]]) -> Any:
    return (await values)[0]


@pytest.mark.parametrize("read", READS)
async def test_a_read_that_a_silent_replica_has_goes_to_the_primary(
    steady: ClusterDeployment, read: str
) -> None:
    """It was sent, and may be sent again: it only reads."""
    (key,) = keys_in(steady.slots_of(0), 1)
    settings: Any = {"outage": {"grace": 1.5}, "timeout": {"command": 6.0}}
    async with opened(steady.url, cluster={"reads": "replica"}, **settings) as manager:
        await manager.redis.set(key, "value")
        await steady.replicated()
        await until(lambda: all(node.serving for node in cluster_of(manager).map.nodes))
        for each in READS.values():
            assert await each(manager.redis, key) == "value"
        steady.replica_of(0).pause()
        try:
            assert await READS[read](manager.redis, key) == "value"
        finally:
            steady.replica_of(0).resume()


async def test_a_replica_in_place_of_another_is_found(steady: ClusterDeployment) -> None:
    """Nobody meets an error: its primary is read from meanwhile."""
    primary, lost, found = steady.primaries[0], steady.replica_of(0), steady.new_node()
    await steady.add(found)
    often: Any = {"health": {"interval": 0.1}, "cluster": {"reads": "replica"}}
    async with opened(steady.url, **often) as manager:
        cluster, node = cluster_of(manager), node_at(manager, lost)
        await found.command("CLUSTER REPLICATE", await node_id(primary))
        await lost.kill()

        await until(lambda: cluster.map.find(Address(found.host, found.port)), 10)
        await until(lambda: node_at(manager, found).serving)
        await until(lambda: cluster.map.current(node) is None, 10)
