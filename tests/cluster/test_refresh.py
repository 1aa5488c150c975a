"""Where the map comes from: who is asked, who may not say, and a Cluster that is set up anew."""

import asyncio

import pytest

from redis_manager_fastapi import RedisManager, RedisPermissionError
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot
from tests.kit.clusters import cluster_of, keys_in, node_at, stats_of
from tests.kit.managers import opened
from tests.kit.servers import needs
from tests.kit.waiting import until

RIGHTS = ("on", ">secret", "~*", "+ping", "+get", "+set")


async def with_user(deployment: ClusterDeployment, *rights: str) -> str:
    """Make a user on every node and return the URL with it."""
    for node in deployment.nodes:
        await node.command("ACL", "SETUSER", "alice", "reset", *RIGHTS, *rights)
    return deployment.url.replace("://", "://alice:secret@")


@needs("ACL for subcommands", redis="7.0")
async def test_a_user_needs_no_more_than_the_slots(shared: ClusterDeployment) -> None:
    async with opened(await with_user(shared, "+cluster|slots")) as manager:
        assert await manager.cluster.set("key", "value")
        assert await manager.cluster.get("key") == "value"


@needs("ACL for subcommands", redis="7.0")
async def test_a_user_who_may_not_see_the_slots_is_told_so_without_a_name(
    shared: ClusterDeployment,
) -> None:
    manager = RedisManager(url=await with_user(shared), startup={"policy": "fail"})
    with pytest.raises(RedisPermissionError, match="ACL forbids") as raised:
        await manager.open()
    assert "alice" not in str(raised.value)


async def test_a_cluster_that_is_set_up_anew_on_running_nodes_is_followed() -> None:
    """Its epochs begin again, and one of its nodes is left out."""
    async with ClusterDeployment(replicas=0) as deployment, opened(deployment.url) as manager:
        out, *rest = deployment.primaries
        for node in deployment.primaries:
            await node.command("CLUSTER", "BUMPEPOCH")
        cluster = cluster_of(manager)
        cluster.doubt()
        await until(lambda: cluster._epoch > 2)
        for node in deployment.primaries:
            await node.command("FLUSHALL")
            await node.command("CLUSTER RESET", "HARD")
        for number, node in enumerate(rest, 1):
            await node.command("CLUSTER SET-CONFIG-EPOCH", number)
        await rest[0].command("CLUSTER MEET", rest[1].host, rest[1].port)
        await rest[0].command("CLUSTER ADDSLOTS", *range(8192))
        await rest[1].command("CLUSTER ADDSLOTS", *range(8192, 16384))

        async with asyncio.timeout(20):
            while {node.port for node in cluster.map.owners} != {node.port for node in rest}:
                cluster.doubt()
                await asyncio.sleep(0.05)
        await manager.cluster.set("key", "value")
        assert cluster.map.find(Address(out.host, out.port)) is None


async def test_slots_that_move_after_the_first_are_seen_without_an_error(
    deployment: ClusterDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody uses the second one, and no epoch is raised: its new owner had the highest already."""
    monkeypatch.setattr("redis_manager_fastapi.cluster.refresh._SOON", 3.0)
    source, target = deployment.primaries[:2]
    first, second, third = deployment.slots_of(0)[:3]
    await move_slot(third, source, target)
    async with RedisManager(url=deployment.url, health={"interval": 1.0}) as manager:
        cluster = cluster_of(manager)
        await move_slot(first, source, target)
        asked = stats_of(manager).refreshes
        await manager.redis.get(keys_in(range(first, first + 1), 1)[0])
        await until(lambda: stats_of(manager).refreshes > asked)
        await move_slot(second, source, target)

        owner = node_at(manager, target)
        await until(lambda: owner in (cluster.map.slots[second] or ()), 10)
