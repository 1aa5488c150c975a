"""Where an app keeps its managers: the lifespan state, which reaches sub-apps and WebSockets."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from redis_manager_fastapi.client.binding import not_started
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.client.scope import ClientScope
from redis_manager_fastapi.errors import RedisNotStartedError
from redis_manager_fastapi.pool.state import PoolStats
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.web.responses import install_handlers

KEY_PREFIX = "redis_manager:"
"""A key for each manager, so that the states of an app's and its routers' lifespans merge."""


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
    """Return every manager that the app's lifespan opened.

    Raises:
        RedisNotStartedError: There is none.
    """
    state: dict[str, Any] = connection.scope.get("state", {})
    managers = [manager for key, manager in state.items() if key.startswith(KEY_PREFIX)]
    if not managers:
        raise not_started("default")
    return managers


def get_manager(connection: HTTPConnection, name: str = "default") -> Manager:
    """Return the manager of that name, in any route, sub-app or WebSocket.

    From here on, the app that serves *connection* answers the library's errors;
    see `redis_error_handler`.

    Raises:
        RedisNotStartedError: No lifespan opened one of that name.
    """
    install_handlers(connection)
    manager: Manager | None = connection.scope.get("state", {}).get(KEY_PREFIX + name)
    if manager is None:
        raise RedisNotStartedError(_not_among(name, get_managers(connection)), instance=name)
    return manager


def _not_among(name: str, managers: list[Manager]) -> str:
    known = ", ".join(repr(manager.name) for manager in managers)
    return (
        f"no Redis manager is named {name!r}; the app's lifespan opened {known}: ask for one of"
        " these, `get_manager(request, name)`, or give yours this name,"
        f" `RedisManager(name={name!r})`"
    )
