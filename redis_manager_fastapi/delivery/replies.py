"""From a reply to the value that the caller sees, as redis-py makes it."""

from traceback import walk_tb
from typing import Any

from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.exceptions import InvalidResponse, ResponseError

from redis_manager_fastapi.delivery.contract import Kind
from redis_manager_fastapi.delivery.session import Callbacks
from redis_manager_fastapi.delivery.shared import recover
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import SingleRequest

# What redis-py puts among a command's options for itself: the rest is for the callback.
_INTERNAL = (EMPTY_RESPONSE, NEVER_DECODE, "keys")

# The functions that parse: redis-py's, and the one below.
_PARSING = ("parse_response", "parse")

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
        raise_if_misread(error, name, options)
        raise


def raise_if_misread(error: Exception, what: str, options: dict[str, Any]) -> None:
    """Raise another error in the place of *error* if that is what redis-py made of a reply.

    An error of the user's callback, or over options that the user gave, is the user's own.

    Raises:
        redis.InvalidResponse: The reply has not the shape that redis-py's parser expects.
    """
    if _is_misread(error, options):
        message = f"the reply to {what} has another shape than its replies"
        raise InvalidResponse(message) from error


def _is_misread(error: Exception, options: dict[str, Any]) -> bool:
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    last: str = frames[-1].f_globals.get("__name__", "")
    within = last == __name__ or last.partition(".")[0] == "redis"
    parsing = any(frame.f_code.co_name in _PARSING for frame in frames)
    if isinstance(error, UnicodeDecodeError) or not within or not parsing:
        return False
    # Who calls a built-in callback, or one that does not take the options, is the last frame.
    calls = last in (__name__, "redis.asyncio.client")
    return not (calls and isinstance(error, TypeError) and options)


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
