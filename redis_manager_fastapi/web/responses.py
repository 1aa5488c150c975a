"""What an HTTP or WebSocket client is told when Redis cannot serve."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler
from starlette.websockets import WebSocket, WebSocketState

from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    PoolClosedError,
    RedisManagerError,
    RedisUnavailableError,
)

# The supervisor probes at least once per backoff cap and connect timeout, 1.5 s by
# default; one second is the least that Retry-After can say.
RETRY_AFTER = "1"


@dataclass(frozen=True, slots=True)
class Translation:
    """How one class of errors is told.

    Attributes:
        status: The HTTP status.
        websocket_code: The WebSocket close code (RFC 6455 and IANA's registry:
            1012 service restart, 1013 try again later).
        retry: Whether the response carries Retry-After.
    """

    status: int
    websocket_code: int
    retry: bool


TRANSLATIONS: dict[type[RedisManagerError], Translation] = {
    PoolClosedError: Translation(503, 1012, retry=False),
    RedisUnavailableError: Translation(503, 1013, retry=True),
    CommandTimeoutError: Translation(504, 1013, retry=False),
}

_EXAMPLE = {"detail": "redis 'default' is down", "code": "redis_unavailable", "instance": "default"}
_SCHEMA = {
    "type": "object",
    "required": ["detail", "code", "instance"],
    "properties": {name: {"type": "string"} for name in _EXAMPLE},
}


def _documented(description: str, **extra: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": _SCHEMA, "example": _EXAMPLE}}
    return {"description": description, "content": content, **extra}


REDIS_RESPONSES: dict[int | str, dict[str, Any]] = {
    503: _documented(
        "Redis cannot serve the request now.",
        headers={"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
    ),
    504: _documented("Redis did not answer before the command's deadline."),
}
"""For `responses=` of a FastAPI app, router or route: the answers of an outage, for OpenAPI."""


def translation(error: RedisManagerError) -> Translation:
    """Return how *error* is told: the entry of its nearest class."""
    return next(TRANSLATIONS[cls] for cls in type(error).__mro__ if cls in TRANSLATIONS)


def error_response(error: RedisManagerError) -> JSONResponse:
    """Return the 503 or 504 for *error*; it holds no host, user or password."""
    how = translation(error)
    body = {"detail": str(error), "code": error.code, "instance": error.instance}
    headers = {"Retry-After": RETRY_AFTER} if how.retry else None
    return JSONResponse(body, how.status, headers=headers)


async def redis_error_handler(connection: HTTPConnection, error: Exception) -> Response | None:
    """Answer a request, or close a WebSocket, that met one of the translated errors."""
    if not isinstance(error, RedisManagerError):
        raise error
    if isinstance(connection, WebSocket):
        await _end(connection, error)
        return None
    return error_response(error)


async def _end(websocket: WebSocket, error: RedisManagerError) -> None:
    unanswered = websocket.application_state is WebSocketState.CONNECTING
    if unanswered and "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(error_response(error))
    elif websocket.application_state is not WebSocketState.DISCONNECTED:
        await websocket.close(translation(error).websocket_code, error.code)


REDIS_EXCEPTION_HANDLERS: dict[Any, ExceptionHandler] = {
    cls: redis_error_handler for cls in TRANSLATIONS
}
"""For `exception_handlers=` of a plain Starlette app; FastAPI's dependencies need no registration."""


def install_handlers(connection: HTTPConnection | Request) -> None:
    """Have the app that serves *connection* use these handlers where it has none of its own."""
    # Starlette 1.x: ExceptionMiddleware shares its table with routes under this key;
    # tests/web/test_private_keys.py fails when the key changes.
    handlers = connection.scope["starlette.exception_handlers"][0]
    for cls in TRANSLATIONS:
        if not any(base in handlers for base in cls.__mro__ if base is not Exception):
            handlers[cls] = redis_error_handler
