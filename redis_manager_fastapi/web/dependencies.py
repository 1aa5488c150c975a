"""What route handlers depend on."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

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


RedisDep = Annotated[Redis, Depends(get_redis)]
"""A route parameter's type: `async def route(r: RedisDep)`."""

RedisConnectionDep = Annotated[Redis, Depends(get_redis_connection, scope="function")]
"""A route parameter's type: a client pinned to one connection, which no other caller uses."""


def _exit_stack(connection: HTTPConnection) -> AsyncExitStack:
    stack = connection.scope.get(EXIT_STACK_KEY)
    if isinstance(stack, AsyncExitStack):
        return stack
    raise RedisManagerError(
        f"get_redis found no request exit stack under scope[{EXIT_STACK_KEY!r}]: use it as a"
        " FastAPI dependency; in plain Starlette, `async with get_manager(request).client()`"
    )
