"""Managers of Clusters for tests, with the invariants that hold once everybody has let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.stats import ClusterStats
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.managers import open_descriptors
from tests.kit.waiting import until

PATIENT: dict[str, Any] = {
    "outage": {"grace": 10.0},
    "timeout": {"command": 10.0},
    "pool": {"acquire_timeout": 10.0},
}


def cluster_of(manager: RedisManager) -> Cluster:
    """The Cluster that the manager has open."""
    cluster: Cluster = manager._deployment.require()
    return cluster


def stats_of(manager: RedisManager) -> ClusterStats:
    """The manager's counters, by shard."""
    stats = manager.stats()
    assert isinstance(stats, ClusterStats)
    return stats


def node_at(manager: RedisManager, server: RedisServer) -> Node:
    """The manager's node for a server."""
    return next(n for n in cluster_of(manager).map.nodes if n.address.port == server.port)


def ports_of(manager: RedisManager, slots: range) -> set[int]:
    """The ports of the nodes that the manager takes for the primaries of *slots*."""
    found = [cluster_of(manager).map.choose(slot) for slot in slots]
    return {node.address.port for node in found if node is not None}


def assert_at_rest(manager: RedisManager) -> None:
    """Nothing is leased, nobody waits, and every place is accounted for (I1, I3)."""
    stats = manager.stats()
    assert (stats.leased, stats.opening, stats.waiting, stats.clients) == (0, 0, 0, 0)
    for node in cluster_of(manager).map.nodes:
        if node.pool is not None:
            assert node.pool.leases.capacity.free == node.pool.leases.capacity.places


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[RedisManager]:
    """An open manager, checked at its end: at rest, then no task and no descriptor left (I7)."""
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()
    manager = RedisManager(url=url, **settings)
    async with manager:
        yield manager
        await until(lambda: not manager.stats().opening)
        assert_at_rest(manager)
    await until(lambda: asyncio.all_tasks() <= tasks)
    await until(lambda: open_descriptors() <= descriptors)


def keys_in(slots: range, count: int, prefix: str = "key") -> list[str]:
    """Keys whose slots are all in *slots*."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        key = f"{prefix}:{number}"
        number += 1
        if slot_of(key) in slots:
            found.append(key)
    return found


def shard_keys(deployment: ClusterDeployment, count: int = 20) -> list[list[str]]:
    """Keys of each shard."""
    return [keys_in(deployment.slots_of(i), count) for i in range(len(deployment.primaries))]
