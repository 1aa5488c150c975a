"""Tails on Sentinel deployments and Clusters: fail-overs, slots that move, where is read."""

import asyncio
from typing import Any

import pytest

from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit import clusters
from tests.kit.managers import opened
from tests.kit.tails import END, add, rest, take, values

PATIENT: dict[str, Any] = {"outage": {"grace": 15.0}, "timeout": {"command": 15.0}}


@pytest.mark.usefixtures("pipelining")
async def test_a_sentinel_fail_over_loses_nothing_that_was_replicated() -> None:
    settings = {**PATIENT, "sentinel": {"reads": "replica"}}
    async with (
        SentinelDeployment() as deployment,
        opened(deployment.url, **settings) as manager,
        manager.tail("s") as tail,
    ):
        await add(manager, "s", *range(20))
        await take(tail, 20)
        old = await deployment.primary()
        await manager.redis.wait(2, 5000)
        await old.kill()
        await deployment.elected(old)
        await add(manager, "s", "a", "b")
        async with manager.tail("s", after="start") as newcomer:
            await add(manager, "s", END)
            assert values(await rest(newcomer)) == [*map(str, range(20)), "a", "b"]
        assert values(await rest(tail)) == ["a", "b"]


async def test_a_cluster_fail_over_and_slots_that_move() -> None:
    async with (
        ClusterDeployment() as deployment,
        opened(deployment.url, **clusters.PATIENT) as manager,
    ):
        first, second, third = (keys[0] for keys in clusters.shard_keys(deployment, 1))
        streams = (first, second, third)
        tails = [manager.tail(stream) for stream in streams]
        for tail in tails:
            await tail.__aenter__()
        for stream, tail in zip(streams, tails, strict=True):
            await add(manager, stream, "a", "b")
            cursor = (await take(tail, 2))[0].cursor
            async with manager.tail(stream, after=cursor) as newcomer:
                assert values(await take(newcomer, 1)) == ["b"]

        await move_slot(slot_of(second), deployment.primaries[1], deployment.primaries[2])
        await deployment.replicated()
        await deployment.primaries[0].kill()
        await deployment.promoted(deployment.replica_of(0), without=deployment.primaries[0])
        for stream in streams:
            await add(manager, stream, "c", END)
        found = await asyncio.gather(*(rest(tail, 30.0) for tail in tails))
        for tail in tails:
            await tail.__aexit__(None, None, None)

    assert [values(items) for items in found] == [["c"]] * 3
