"""What HTTP and WebSocket clients receive when Redis cannot serve."""

import inspect
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from redis_manager_fastapi.errors import (
    ClientEndedError,
    CommandTimeoutError,
    PoolClosedError,
    RedisAuthError,
    RedisManagerError,
    RedisNotStartedError,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisUnavailableError,
    RedisWritesRefusedError,
)
from redis_manager_fastapi.observe.log import tallies
from redis_manager_fastapi.streaming import leaves

# Starlette 1.10: ExceptionMiddleware shares its table of handlers with the routes under
# this key; tests/web/test_private_keys.py fails when the key changes.
HANDLERS_KEY = "starlette.exception_handlers"

# The supervisor probes at least once per backoff cap and connect timeout, 1.5 s by
# default; one second is the least that Retry-After can say.
RETRY_AFTER = "1"


@dataclass(frozen=True, slots=True)
class Translation:
    """How one class of errors is answered.

    Attributes:
        status: The HTTP status; 500 is left to the app's own error handling.
        websocket_code: The WebSocket close code (RFC 6455 and IANA's registry:
            1011 internal error, 1012 service restart, 1013 try again later).
        retry: Whether the response carries Retry-After.
    """

    status: int
    websocket_code: int
    retry: bool


TRANSLATIONS: dict[type[RedisManagerError], Translation] = {
    PoolClosedError: Translation(503, 1012, retry=False),
    RedisUnavailableError: Translation(503, 1013, retry=True),
    CommandTimeoutError: Translation(504, 1013, retry=False),
    RedisNotStartedError: Translation(500, 1011, retry=False),
    ClientEndedError: Translation(500, 1011, retry=False),
}
_MISTAKE = Translation(500, 1011, retry=False)

_BODY = ("detail", "code", "instance")
_SCHEMA = {
    "type": "object",
    "required": list(_BODY),
    "properties": {name: {"type": "string"} for name in _BODY},
}


def _documented(
    description: str, error: type[RedisManagerError], detail: str, **extra: Any
) -> dict[str, Any]:
    example = dict(zip(_BODY, (detail, error.code, "default"), strict=True))
    content = {"application/json": {"schema": _SCHEMA, "example": example}}
    return {"description": description, "content": content, **extra}


REDIS_RESPONSES: dict[int | str, dict[str, Any]] = {
    503: _documented(
        "Redis cannot serve the request now.",
        RedisUnavailableError,
        "redis 'default' is down: connection refused",
        headers={"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
    ),
    504: _documented(
        "Redis did not answer before the command's deadline.",
        CommandTimeoutError,
        "GET on redis 'default' got no reply within 2 s",
    ),
}
"""For `responses=` of a FastAPI app, router or route: the answers of an outage, for OpenAPI."""


def translation(error: RedisManagerError) -> Translation:
    """Return how *error* is answered: the entry of its nearest class."""
    found = (TRANSLATIONS[cls] for cls in type(error).__mro__ if cls in TRANSLATIONS)
    return next(found, _MISTAKE)


def error_response(error: RedisManagerError) -> JSONResponse:
    """Return the 503 or 504 for *error*; it holds no host, user or password."""
    how = translation(error)
    tallies.answered(error, how.status)
    body = {"detail": str(error), "code": error.code, "instance": error.instance}
    headers = {"Retry-After": RETRY_AFTER} if how.retry else None
    return JSONResponse(body, how.status, headers=headers)


async def redis_error_handler(connection: HTTPConnection, error: Exception) -> Response | None:
    """Answer a request, or close a WebSocket, that met an error of this library.

    A mistake in the app is raised again, so that it is logged and handled like
    any other error of the app.
    """
    if not isinstance(error, RedisManagerError):
        raise error
    how = translation(error)
    if isinstance(connection, WebSocket):
        await _end(connection, error, how)
    if how.status == 500:
        raise error
    return None if isinstance(connection, WebSocket) else error_response(error)


async def _end(websocket: WebSocket, error: RedisManagerError, how: Translation) -> None:
    if websocket.client_state is WebSocketState.DISCONNECTED:
        return
    if websocket.application_state is WebSocketState.CONNECTED:
        tallies.answered(error, how.websocket_code)
        with suppress(WebSocketDisconnect):
            await websocket.close(how.websocket_code, error.code)
    elif websocket.application_state is WebSocketState.CONNECTING and how.status != 500:
        await _deny(websocket, error, how)


async def _deny(websocket: WebSocket, error: RedisManagerError, how: Translation) -> None:
    """Answer the handshake: with the HTTP response where the server can send one."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(error_response(error))
    else:
        tallies.answered(error, how.websocket_code)
        await websocket.close(how.websocket_code, error.code)


async def redis_group_handler(connection: HTTPConnection, group: Exception) -> Response | None:
    """Answer a group, as `asyncio.TaskGroup` raises it, like the gravest of its errors.

    That is the first of the lowest status: a mistake in the app before an outage, as it has
    to be seen, and an outage before a passed deadline, as it explains that as well.  A group
    with any other error in it is raised again.
    """
    errors = list(leaves(group))
    if not all(isinstance(error, RedisManagerError) for error in errors):
        raise group
    return await _hand_on(connection, min(errors, key=lambda error: translation(error).status))


async def _hand_on(connection: HTTPConnection, error: RedisManagerError) -> Response | None:
    """Answer by the handler that the app would use for *error* alone."""
    handlers = connection.scope[HANDLERS_KEY][0]
    found = (handlers[cls] for cls in type(error).__mro__ if cls in handlers)
    handler = next(found, redis_error_handler)
    if inspect.iscoroutinefunction(handler):
        answer = handler(connection, error)
    else:
        answer = await run_in_threadpool(handler, connection, error)
    return cast("Response | None", await answer if inspect.isawaitable(answer) else answer)


REDIS_EXCEPTION_HANDLERS: dict[Any, ExceptionHandler] = {
    **dict.fromkeys(TRANSLATIONS, cast(ExceptionHandler, redis_error_handler)),
    ExceptionGroup: cast(ExceptionHandler, redis_group_handler),
}
"""For `exception_handlers=` of an app whose routes only use a global `manager.redis`."""


_ALSO_REDIS_PYS = (
    RedisPermissionError,
    RedisAuthError,
    RedisOutOfMemoryError,
    RedisWritesRefusedError,
)
"""Classes with a second base in redis-py, of which an app may have a handler of its own."""


class _InstalledError(Exception):
    """Never raised: stands in an app's table of handlers for "looked through already"."""


def install_handlers(connection: HTTPConnection) -> None:
    """Have the app that serves *connection* use these handlers where it has none of its own.

    The app's own handlers take precedence, for these classes or for bases of
    them such as `redis.ConnectionError`.
    """
    handlers = connection.scope.get(HANDLERS_KEY, ({},))[0]
    if _InstalledError in handlers:
        return
    own = set(handlers)
    for cls, handler in REDIS_EXCEPTION_HANDLERS.items():
        if own.isdisjoint(cls.__mro__):
            handlers[cls] = handler
    for cls in _ALSO_REDIS_PYS:
        first = next((base for base in cls.__mro__ if base in own), None)
        if first is not None:
            handlers[cls] = handlers[first]
    handlers[_InstalledError] = redis_error_handler
