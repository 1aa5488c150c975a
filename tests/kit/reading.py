"""What tests of reads from replicas share."""

from typing import Any

from redis_manager_fastapi import (
    RedisManager,
)
from redis_manager_fastapi.pool.state import PoolStats
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.servers import asked
from tests.kit.waiting import until

KEYS = [f"key:{number}" for number in range(20)]
PATIENT: dict[str, Any] = {"outage": {"grace": 10.0}, "timeout": {"command": 10.0}}
REPLICA: dict[str, Any] = {"sentinel": {"reads": "replica"}, "pipelining": {"enabled": True}}
ANY: dict[str, Any] = {"sentinel": {"reads": "any"}, "pipelining": {"enabled": True}}

# What is allowed beside the bound that a test is about, in seconds.
SLACK = 0.3


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
    stats = await asked(server, "INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


async def connections_of_ours(server: RedisServer) -> list[dict[str, Any]]:
    clients = await asked(server, "CLIENT LIST")
    return [client for client in clients if client["name"] == "the-app"]


async def read_all(manager: RedisManager) -> None:
    assert [await manager.redis.get(key) for key in KEYS] == KEYS
