"""Sentinels that name servers which are reached through forwarded ports."""

from contextlib import AsyncExitStack
from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import FaultProxy
from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.managers import opened, pool_of
from tests.kit.waiting import until


def serving_replica(manager: RedisManager) -> bool:
    """Whether reads go to a replica."""
    replica = manager.stats().replica
    return replica is not None and replica.serving


async def test_the_primary_that_sentinels_name_is_reached_where_the_map_says() -> None:
    async with SentinelDeployment(replicas=1) as deployment, AsyncExitStack() as stack:
        ports: dict[int, int] = {}
        for server in deployment.servers:
            proxy = await stack.enter_async_context(FaultProxy(server.host, server.port))
            ports[server.port] = proxy.port
        address_map = {f"127.0.0.1:{a}": f"127.0.0.1:{b}" for a, b in ports.items()}
        settings: Any = {"sentinel": {"reads": "replica"}, "pipelining": {"enabled": True}}
        async with opened(deployment.url, address_map=address_map, **settings) as manager:
            await manager.redis.set("k", 1)
            await until(lambda: serving_replica(manager))

            assert _port(manager) in ports.values()


def _port(manager: RedisManager) -> int:
    address: Any = pool_of(manager).address
    return int(address[1])
