"""What tests of a Cluster ask a manager about its nodes and slots."""

from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.stats import ClusterStats
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.server import RedisServer

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
