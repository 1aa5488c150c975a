"""Clients on one pool, ours and redis-py's own, and the protocols that they are tried with."""

from typing import Any

import pytest
import redis.asyncio

from redis_manager_fastapi import RedisManager
from tests.kit.servers import needs


def foreign(manager: RedisManager) -> Any:
    """A client as another library makes one."""
    connections: Any = manager.connection_pool
    client: Any = redis.asyncio.Redis(connection_pool=connections)
    return client


def own(manager: RedisManager) -> Any:
    """The manager's client."""
    return manager.redis


CLIENTS = pytest.mark.parametrize("client", [own, foreign])
PROTOCOLS = pytest.mark.parametrize(
    "protocol", [2, pytest.param(3, marks=needs("RESP3", redis="6.0"))]
)
