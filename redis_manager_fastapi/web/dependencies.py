"""What route handlers depend on."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cache
from typing import Annotated, Any, Literal, overload

from fastapi import Depends
from starlette.requests import HTTPConnection

from redis_manager_fastapi.client.parameters import refuse_as_dependency
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.web.state import get_manager

# FastAPI 0.165: the request's own exit stack, on which it enters generator
# dependencies; tests/web/test_private_keys.py fails when the key changes.
EXIT_STACK_KEY = "fastapi_inner_astack"


async def get_redis(connection: HTTPConnection) -> Redis:
    """Return a client that ends with the request, or with the WebSocket.

    Raises:
        RedisNotStartedError: The app's lifespan opened no manager.
        PoolClosedError: The app is shutting down.
    """
    manager = get_manager(connection)
    return _exit_stack(connection).enter_context(manager.client())


async def get_cached_redis(connection: HTTPConnection) -> Redis:
    """Return the same, whose reads may be answered in the process, by the settings' `client_cache`.

    Raises:
        RedisNotStartedError: The app's lifespan opened no manager.
        PoolClosedError: The app is shutting down.
    """
    manager = get_manager(connection)
    return _exit_stack(connection).enter_context(manager.cached_client())


async def get_redis_connection(connection: HTTPConnection) -> AsyncIterator[Redis]:
    """Yield a client pinned to one dedicated connection; it ends with the handler function.

    Raises:
        PoolTimeoutError: No connection became free within `pool.acquire_timeout`.
        RedisNotStartedError: The app's lifespan opened no manager.
    """
    async with get_manager(connection).connection() as redis:
        yield redis


async def get_redis_manager(connection: HTTPConnection) -> RedisManager:
    """Return the manager itself, for its `stats()` and its settings.

    Raises:
        RedisNotStartedError: The app's lifespan opened no manager.
    """
    return get_manager(connection)


@overload
def redis_dependency(
    name: str, *, optional: Literal[False] = False
) -> Callable[[HTTPConnection], Awaitable[Redis]]: ...
@overload
def redis_dependency(
    name: str, *, optional: Literal[True]
) -> Callable[[HTTPConnection], Awaitable[Redis | None]]: ...
@overload
def redis_dependency(
    name: str, *, optional: bool
) -> Callable[[HTTPConnection], Awaitable[Redis | None]]: ...
def redis_dependency(name: str, *, optional: bool = False) -> Any:
    """Return a dependency on the instance of that name, which gives what `get_redis` does.

    Write `CacheDep = Annotated[Redis, Depends(redis_dependency("cache"))]`, and
    `Redis | None` in it for an *optional* one.  A request gets one client, however many
    of its functions depend on it.

    Args:
        name: The manager's name.
        optional: Whether the route can do without. It gets None while no command would go
            out, and otherwise a client with `with_options(grace=0)`: a command that meets
            an outage fails, and does not wait for its end.
    """
    return _dependency_on(name, optional)


@cache
def _dependency_on(name: str, optional: bool) -> Any:
    # FastAPI knows by the function that it has called a dependency already.
    async def get_named(connection: HTTPConnection) -> Redis:
        """Return a client that ends with the request, or with the WebSocket."""
        manager = get_manager(connection, name)
        return _exit_stack(connection).enter_context(manager.client())

    async def get_optional(connection: HTTPConnection) -> Redis | None:
        """Return the same, or None while no command would go out."""
        scope = get_manager(connection, name).optional_client()
        return None if scope is None else _exit_stack(connection).enter_context(scope)

    return get_optional if optional else get_named


RedisDep = Annotated[Redis, Depends(get_redis)]
"""A route parameter's type: `async def route(r: RedisDep)`."""

CachedRedisDep = Annotated[Redis, Depends(get_cached_redis)]
"""A route parameter's type: the same, whose reads may be answered in the process."""

RedisConnectionDep = Annotated[Redis, Depends(get_redis_connection, scope="function")]
"""A route parameter's type: a client pinned to one connection, which no other caller uses."""

refuse_as_dependency("RedisDep", RedisDep)
refuse_as_dependency("CachedRedisDep", CachedRedisDep)
refuse_as_dependency("RedisConnectionDep", RedisConnectionDep)


def _exit_stack(connection: HTTPConnection) -> AsyncExitStack:
    stack = connection.scope.get(EXIT_STACK_KEY)
    if isinstance(stack, AsyncExitStack):
        return stack
    raise RedisManagerError(
        f"get_redis found no request exit stack under scope[{EXIT_STACK_KEY!r}]: use it as a"
        " FastAPI dependency; in plain Starlette, `async with get_manager(request).client()`"
    )
