"""Managers for tests, with the invariants that hold once everybody has let go."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis_manager_fastapi import PoolState, RedisManager
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.pool.pool import Pool
from tests.kit.waiting import until


def pool_of(manager: RedisManager) -> Pool:
    """The pool that the manager has open."""
    pool = manager._deployment.require()
    assert isinstance(pool, Pool)
    return pool


def pools_of(manager: RedisManager) -> list[Pool]:
    """Every pool that the manager has open: one, or those of a Cluster's nodes."""
    opened = manager._deployment.require()
    if isinstance(opened, Cluster):
        return [node.pool for node in opened.map.nodes if node.pool is not None]
    return [pool_of(manager)]


def open_descriptors() -> int:
    """How many file descriptors this process holds."""
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


async def until_state(manager: RedisManager, state: PoolState, timeout: float = 5.0) -> None:
    """Wait until the manager's pool is in *state*."""
    await until(lambda: manager.stats().state is state, timeout)


def assert_at_rest(manager: RedisManager) -> None:
    """Nothing is leased, nobody waits, and every place is accounted for (I1, I3)."""
    stats = manager.stats()
    assert (stats.leased, stats.opening, stats.waiting, stats.clients) == (0, 0, 0, 0)
    for pool in pools_of(manager):
        assert pool.leases.capacity.free == pool.leases.capacity.places


async def block(redis: Redis, seconds: float) -> None:
    """Block on what never comes: a stream, since BLPOP takes whole seconds before Redis 6."""
    assert not await redis.xread({"nothing": "$"}, block=round(seconds * 1000))


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
