"""Looking at a manager's cache, and waiting for it."""

import enum
from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.caching.cache import ClientCache
from redis_manager_fastapi.supervision.deployment import Single
from redis_manager_fastapi.supervision.lane import Lane
from tests.kit.waiting import until


class Key(str, enum.Enum):  # noqa: UP042 (the `str()` of a member is another text)
    """Keys as an app may have them."""

    KEY = "key"


def cache_of(manager: RedisManager) -> ClientCache:
    """The replies that the manager's clients keep."""
    cache = manager._deployment.cache
    assert cache is not None
    return cache


def lane_of(manager: RedisManager) -> Lane:
    """The tracked connection of a manager with one server."""
    deployment = manager._deployment
    assert isinstance(deployment, Single)
    assert deployment.lane is not None
    return deployment.lane


async def until_cached(manager: RedisManager, client: Any) -> None:
    """Have the lane of *client* opened by a read, and wait until it serves."""
    await client.exists("what opens the lane")
    await until(lambda: cache_of(manager).stats().off_since is None)
