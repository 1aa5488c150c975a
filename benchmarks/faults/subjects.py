"""The clients that meet the faults, each opened as its own documentation says."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any

import redis.asyncio


@dataclass(frozen=True, slots=True)
class Subject:
    """A client that takes part.

    Attributes:
        package: The distribution whose name and version are shown.
        open: Opens it on a URL.
        runs: How often each fault is made.
    """

    package: str
    open: Callable[[str], AbstractAsyncContextManager[redis.asyncio.Redis]]
    runs: int

    @property
    def version(self) -> str | None:
        """The installed version; None when it is not installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None


@asynccontextmanager
async def _ours(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    from redis_manager_fastapi import RedisManager

    async with RedisManager(url=url) as manager:
        yield manager.redis


@asynccontextmanager
async def _redis_py(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        yield client


@asynccontextmanager
async def _sdk(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    from fastapi import FastAPI
    from redis_fastapi import FastAPIRedis
    from redis_fastapi.deps import get_async_redis

    os.environ["REDIS_URL"] = url
    app = FastAPI()
    FastAPIRedis(app).lifespan()
    async with app.router.lifespan_context(app):
        request: Any = SimpleNamespace(app=app)
        client: Any = await get_async_redis(request)
        yield client


SUBJECTS = {
    "ours": Subject("redis_manager_fastapi", _ours, 10),
    "redis_py": Subject("redis", _redis_py, 3),
    "sdk": Subject("fastapi-redis-sdk", _sdk, 3),
}
