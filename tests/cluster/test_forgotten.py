"""Leases of a Cluster's nodes that their holder has dropped are given back at once."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from tests.kit.managers import opened, pools_of
from tests.kit.servers import needs
from tests.kit.waiting import until

Hold = Callable[[RedisManager], Awaitable[Any]]


def leased(manager: RedisManager) -> int:
    return sum(len(pool.leases.capacity.leased) for pool in pools_of(manager))


async def subscribed(manager: RedisManager) -> Any:
    pubsub = manager.cluster.pubsub()
    await pubsub.subscribe("news")
    await pubsub.get_message(timeout=1)
    return pubsub


async def subscribed_to_shards(manager: RedisManager) -> Any:
    pubsub = manager.cluster.pubsub()
    await pubsub.ssubscribe("a", "b", "c", "d")
    for _ in range(4):
        await pubsub.get_sharded_message(timeout=0.1)
    return pubsub


async def watching(manager: RedisManager) -> Any:
    pipeline = manager.cluster.pipeline(transaction=True)
    await pipeline.watch("k")
    return pipeline


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "hold",
    [
        subscribed,
        pytest.param(subscribed_to_shards, marks=needs("sharded channels", redis="7.0")),
        watching,
    ],
)
async def test_a_dropped_lease_is_given_back_at_once(
    shared: ClusterDeployment, caplog: pytest.LogCaptureFixture, hold: Hold
) -> None:
    """Row 66: nothing of it is in a reference cycle."""
    async with opened(shared.url) as manager:
        for _ in range(2):
            holder, before = await hold(manager), len(caplog.records)
            held = leased(manager)
            assert held
            with caplog.at_level(logging.WARNING):
                del holder
                await until(lambda: not leased(manager))
            assert len(caplog.records) == before + held
        assert "was dropped while it was open" in caplog.text


@needs("sharded channels", redis="7.0")
async def test_messages_of_shards_come_by_a_method_of_their_own(shared: ClusterDeployment) -> None:
    async with opened(shared.url) as manager, manager.cluster.pubsub() as pubsub:
        await pubsub.ssubscribe("a")

        with pytest.raises(RuntimeError, match="get_sharded_message"):
            await pubsub.get_message(timeout=0.1)
