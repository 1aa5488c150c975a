"""From a reply to the value that the caller sees, as redis-py makes it."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.exceptions import InvalidResponse, ResponseError

from redis_manager_fastapi.commands.blocking import upper_word
from redis_manager_fastapi.delivery.contract import Kind
from redis_manager_fastapi.delivery.session import Callbacks
from redis_manager_fastapi.delivery.shared import recover
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import SingleRequest

# What redis-py puts among a command's options for itself: the rest is for the callback.
_INTERNAL = (EMPTY_RESPONSE, NEVER_DECODE, "keys")

F = TypeVar("F", bound=Callable[..., Any])

STUMBLES = (AttributeError, LookupError, TypeError, ValueError)
"""What redis-py's parsers raise over a reply that has not the shape that they expect."""

callback_of: Any = dict.get
"""Look a callback up, past redis-py's case-insensitive `get`, which converts each name."""


def parse(callbacks: Callbacks, name: str, reply: Any, options: dict[str, Any]) -> Any:
    """Return what redis-py's callback makes of a reply: the value, or an awaitable that gives it.

    The names in SHARED are upper-case, as the callbacks' are.
    """
    callback = callback_of(callbacks, name)
    if callback is None:
        return reply
    if options:
        for internal in _INTERNAL:
            options.pop(internal, None)
    try:
        return callback(reply, **options)
    except STUMBLES as error:
        if not is_stumble(error, options):
            raise
        raise misread(upper_word(name)) from error


def is_stumble(error: Exception, options: dict[str, Any]) -> bool:
    """Whether redis-py raised *error* over a reply that has not its command's shape.

    An error of the user's callback, or over options that the user gave, is the user's own.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = "" if traceback is None else traceback.tb_frame.f_globals.get("__name__", "")
    within = module == __name__ or module.partition(".")[0] == "redis"
    if isinstance(error, UnicodeDecodeError) or not within:
        return False
    # Who calls a built-in callback, or one that does not take the options, is the last frame.
    calls = module in (__name__, "redis.asyncio.client")
    return not (calls and isinstance(error, TypeError) and options)


def misread(name: str) -> InvalidResponse:
    """Return the error for a reply that redis-py could make nothing of."""
    return InvalidResponse(f"the reply to {name} has another shape than its replies")


def reading(function: F) -> F:
    """Have a coroutine function raise `InvalidResponse` for what redis-py stumbles over in it."""

    @wraps(function)
    async def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except STUMBLES as error:
            if not is_stumble(error, {}):
                raise
            raise misread("a pipeline's command") from error

    return cast(F, told)


async def parsed(callbacks: Callbacks, name: str, reply: Any, options: dict[str, Any]) -> Any:
    """Return the value that redis-py's callback makes of a reply."""
    return await awaited(parse(callbacks, name, reply, options))


async def awaited(value: Any) -> Any:
    """Return a value, or what it gives when it is awaited."""
    return await value if hasattr(value, "__await__") else value


async def recovered(
    pool: Pool,
    request: SingleRequest,
    outcome: Exception,
    kind: Kind,
    grace: float | None,
    options: dict[str, Any],
) -> Any:
    """Turn an exception into a reply, by the outage contract, or raise what the caller sees."""
    try:
        return await recover(pool, request, outcome, kind, grace)
    except ResponseError as error:
        return empty_response(error, options)
    finally:
        del outcome  # its traceback has this frame


def empty_response(error: ResponseError, options: dict[str, Any]) -> Any:
    """Return what redis-py's command takes instead of an error, or raise the error."""
    if EMPTY_RESPONSE in options:
        return options[EMPTY_RESPONSE]
    raise error
