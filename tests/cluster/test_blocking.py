"""Blocking commands whose slot moves, or whose primary is demoted, while they wait."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from redis_manager_fastapi.testing.cluster import ClusterDeployment, move_slot
from tests.kit.clusters import keys_in
from tests.kit.managers import opened
from tests.kit.waiting import until

SLOT = 7
Disturbance = Callable[[ClusterDeployment], Any]


async def move(deployment: ClusterDeployment) -> None:
    await move_slot(SLOT, deployment.primaries[0], deployment.primaries[1])


async def demote(deployment: ClusterDeployment) -> None:
    await deployment.failover(deployment.replica_of(0))


@pytest.mark.parametrize("disturb", [move, demote])
@pytest.mark.parametrize("wait", [5, 0], ids=["limited", "for ever"])
async def test_a_command_that_blocked_longer_than_the_timeout_goes_on_elsewhere(
    deployment: ClusterDeployment, disturb: Disturbance, wait: int
) -> None:
    (queue,) = keys_in(range(SLOT, SLOT + 1), 1)

    async with opened(deployment.url, timeout={"command": 0.5}) as manager:
        popped = asyncio.ensure_future(manager.redis.blpop([queue], timeout=wait))
        await until(lambda: manager.stats().leased == 1)
        await asyncio.sleep(0.7)
        await disturb(deployment)
        assert not popped.done()
        await manager.cluster.with_options(timeout=5).rpush(queue, "item")
        assert await popped == (queue, "item")
