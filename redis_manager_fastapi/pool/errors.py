"""The errors for commands that a pool does not take."""

from redis_manager_fastapi.errors import (
    ClientEndedError,
    PoolClosedError,
    RedisAuthError,
    RedisNotStartedError,
    RedisPermissionError,
    RedisTLSError,
    RedisUnavailableError,
    TooManyWaitersError,
)
from redis_manager_fastapi.observe.words import counted
from redis_manager_fastapi.pool.state import PoolState


def closed(instance: str, state: PoolState) -> PoolClosedError:
    """The pool is draining or closed."""
    return PoolClosedError(f"redis {instance!r} is {state.value}", instance=instance)


def unavailable(
    failure: Exception | None, instance: str, state: PoolState, reason: str
) -> RedisUnavailableError:
    """The pool did not serve within grace; *failure* is what the last probe raised."""
    message = f"redis {instance!r} is {state.value}" + (f": {reason}" if reason else "")
    error = _kind(failure)(message, instance=instance)
    error.__cause__ = failure and (failure.__cause__ or failure)
    return error


def _kind(failure: Exception | None) -> type[RedisUnavailableError]:
    kinds = (RedisPermissionError, RedisAuthError, RedisTLSError)
    return next((kind for kind in kinds if isinstance(failure, kind)), RedisUnavailableError)


def too_many_waiters(instance: str, waiting: int) -> TooManyWaitersError:
    """As many callers as `pool.max_waiting` allows are waiting."""
    callers = counted(waiting, "caller is", "callers are")
    message = f"{callers} already waiting for redis {instance!r} (`pool.max_waiting`)"
    return TooManyWaitersError(message, instance=instance)


def lease_ended(instance: str) -> ClientEndedError:
    """A dedicated connection was used after its lease had ended."""
    message = (
        f"this connection to redis {instance!r} was released when its client, request or"
        " `async with` block ended; take a new one: `async with manager.client() as r:`"
    )
    return ClientEndedError(message, instance=instance)


def not_started(instance: str) -> RedisNotStartedError:
    """The manager's lifespan never ran; the message has the fix for app and tests."""
    message = (
        f"redis {instance!r} is not started: pass its lifespan to the app,"
        " `FastAPI(lifespan=manager.lifespan)` or `manager.wrap(your_lifespan)`; in tests, run the"
        " lifespan too, `with TestClient(app) as client:` or `async with manager:`; the lifespan of"
        " a mounted sub-app never runs, so pass it to the outermost app"
    )
    return RedisNotStartedError(message, instance=instance)


def wrong_loop(instance: str) -> RedisNotStartedError:
    """The pool belongs to another event loop, or to the process that this one was forked from."""
    message = (
        f"redis {instance!r} was opened on another event loop or in another process;"
        " open a separate manager in each, by its lifespan or `async with manager:`"
    )
    return RedisNotStartedError(message, instance=instance)
