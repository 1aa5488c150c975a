"""Where an app keeps its managers: the lifespan state, which reaches sub-apps and WebSockets."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from redis_manager_fastapi.client.binding import not_started
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.client.scope import ClientScope
from redis_manager_fastapi.pool.state import PoolStats
from redis_manager_fastapi.settings import RedisSettings

STATE_KEY = "redis_managers"


class Manager(Protocol):
    """What the web layer asks of a `RedisManager`."""

    name: str
    settings: RedisSettings

    @property
    def is_ready(self) -> bool:
        """Whether a command would go out now."""
        ...

    def client(self) -> ClientScope:
        """Return the context manager of a scoped client."""
        ...

    def connection(self) -> AbstractAsyncContextManager[Redis]:
        """Return the context manager of a pinned client."""
        ...

    def stats(self) -> PoolStats:
        """Return the pool's counters."""
        ...

    async def open(self) -> None:
        """Open the pool."""
        ...

    async def aclose(self) -> None:
        """Close the pool."""
        ...


def get_managers(connection: HTTPConnection) -> list[Manager]:
    """Return every manager that the app's lifespan opened."""
    state: dict[str, Any] = connection.scope.get("state") or {}
    return list((state.get(STATE_KEY) or {}).values())


def get_manager(connection: HTTPConnection, name: str = "default") -> Manager:
    """Return the manager of that name, in any route, sub-app or WebSocket.

    Raises:
        RedisNotStartedError: No lifespan opened one of that name.
    """
    for manager in get_managers(connection):
        if manager.name == name:
            return manager
    raise not_started(name)
