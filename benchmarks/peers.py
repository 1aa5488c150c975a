"""The clients that are compared, each opened as its own documentation says.

All of them return `str`, except valkey-glide, which knows only `bytes`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

Get = Callable[[str], Awaitable[Any]]

# redis-py's default pool answers with errors beyond its limit, so it gets a connection for
# each task. The other pool has callers queue for its default of 50.
REDIS_PY_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Peer:
    """A client that takes part.

    Attributes:
        title: Its name in tables and pictures.
        package: The distribution whose version is shown.
        open: Opens it on a URL, as a context manager that yields its GET.
    """

    title: str
    package: str
    open: Callable[[str], AbstractAsyncContextManager[Get]]

    @property
    def version(self) -> str | None:
        """The installed version; None when it is not installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None


@asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Get]:
    from redis_manager_fastapi import RedisManager

    async with RedisManager(url=url) as manager, manager.client() as client:
        yield client.get


@asynccontextmanager
async def _redis_py(url: str) -> AsyncIterator[Get]:
    from redis.asyncio import ConnectionPool, Redis

    pool = ConnectionPool.from_url(url, max_connections=REDIS_PY_CONNECTIONS, decode_responses=True)
    async with Redis.from_pool(pool) as client:
        yield client.get


@asynccontextmanager
async def _redis_py_blocking(url: str) -> AsyncIterator[Get]:
    from redis.asyncio import BlockingConnectionPool, Redis

    pool = BlockingConnectionPool.from_url(url, decode_responses=True)
    async with Redis.from_pool(pool) as client:
        yield client.get


@asynccontextmanager
async def _glide(url: str) -> AsyncIterator[Get]:
    from glide import GlideClient, GlideClientConfiguration, NodeAddress

    address = urlsplit(url)
    configuration = GlideClientConfiguration(
        [NodeAddress(address.hostname or "localhost", address.port or 6379)],
        request_timeout=5_000,
        inflight_requests_limit=10_000,
    )
    client = await GlideClient.create(configuration)
    try:
        yield client.get
    finally:
        await client.close()


@asynccontextmanager
async def _coredis(url: str) -> AsyncIterator[Get]:
    from coredis import Redis

    async with Redis.from_url(url, decode_responses=True) as client:
        yield client.get


@asynccontextmanager
async def _bare(url: str) -> AsyncIterator[Get]:
    from benchmarks.bare import BareProtocol

    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(BareProtocol, address.hostname, address.port)
    try:
        yield protocol.get
    finally:
        protocol.close()


REDIS_PY = "redis-py"
OURS = "ours"
BARE = "bare"

PEERS: dict[str, Peer] = {
    OURS: Peer("redis_manager_fastapi", "redis_manager_fastapi", _ours),
    REDIS_PY: Peer("redis-py", "redis", _redis_py),
    "redis_py_blocking": Peer("redis-py, blocking pool", "redis", _redis_py_blocking),
    "glide": Peer("valkey-glide", "valkey-glide", _glide),
    "coredis": Peer("coredis", "coredis", _coredis),
    BARE: Peer("bare protocol, hiredis", "hiredis", _bare),
}
