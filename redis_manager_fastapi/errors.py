"""Every error that leaves the library, and nothing else.

Each class refines the error that redis-py users already catch, so that an
`except redis.ConnectionError` in other libraries keeps working.  A user's
own mistakes (`ResponseError`, `DataError`, `WatchError`) pass untouched.
"""

from typing import ClassVar

import redis.exceptions


class RedisManagerError(Exception):
    """Any error of this library.

    Attributes:
        code: A stable word for programs, sent as `code` in a 503 or 504 body.
        instance: The name of the manager that raised it.
        maybe_executed: Whether the server may have run the command.  False is
            a promise that it did not.
    """

    code: ClassVar[str] = "redis_error"

    def __init__(
        self, message: str = "", *, instance: str = "default", maybe_executed: bool = False
    ) -> None:
        super().__init__(message)
        self.instance = instance
        self.maybe_executed = maybe_executed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class RedisConfigError(RedisManagerError, ValueError):
    """A setting is wrong; the message names the field, the variable and the fix."""

    code = "redis_config"


class RedisNotStartedError(RedisManagerError, RuntimeError):
    """The manager was used before its lifespan ran, or on another event loop."""

    code = "redis_not_started"


class ClientEndedError(RedisManagerError, RuntimeError):
    """A scoped client was used after its request, or its `async with` block, had ended."""

    code = "redis_client_ended"


class RedisOutageError(RedisManagerError):
    """Redis could not serve this: what a route catches that can do without."""

    code = "redis_outage"


class RedisUnavailableError(RedisOutageError, redis.exceptions.ConnectionError):
    """Redis cannot serve the command now: down after grace, loading, read-only, cluster down."""

    code = "redis_unavailable"


class RedisWritesRefusedError(RedisUnavailableError, redis.exceptions.ResponseError):
    """The server takes no writes now: it cannot save (MISCONF), or lacks replicas (NOREPLICAS)."""

    code = "redis_writes_refused"


class RedisOutOfMemoryError(RedisWritesRefusedError, redis.exceptions.OutOfMemoryError):
    """The server's memory is full (OOM); also redis-py's `OutOfMemoryError`."""

    code = "redis_out_of_memory"


class ReplyLostError(RedisUnavailableError):
    """A command was sent and its reply was lost; it may have run, and is not sent again."""

    code = "redis_reply_lost"

    def __init__(
        self, message: str = "", *, instance: str = "default", maybe_executed: bool = True
    ) -> None:
        super().__init__(message, instance=instance, maybe_executed=maybe_executed)


class PoolTimeoutError(RedisUnavailableError):
    """No dedicated connection became free in the time the caller allowed."""

    code = "redis_pool_timeout"


class TooManyWaitersError(RedisUnavailableError):
    """`pool.max_waiting` callers are already waiting."""

    code = "redis_too_many_waiters"


class PoolClosedError(RedisUnavailableError):
    """The pool is draining or closed; it takes no new work."""

    code = "redis_closed"


class RedisAuthError(RedisUnavailableError, redis.exceptions.AuthenticationError):
    """The server refused the credentials, or they could not be obtained."""

    code = "redis_auth"


class RedisPermissionError(RedisAuthError, redis.exceptions.NoPermissionError):
    """The server's ACL forbids the command (NOPERM); also redis-py's `NoPermissionError`."""

    code = "redis_permission"


class RedisTLSError(RedisUnavailableError):
    """The TLS handshake failed; the message gives the reason."""

    code = "redis_tls"


class CommandTimeoutError(RedisOutageError, redis.exceptions.TimeoutError):
    """The command's deadline passed before its reply came."""

    code = "redis_timeout"


class ListenerTooSlowError(RedisManagerError):
    """A listener was further behind than its `buffer`, and its policy is `overflow="end"`."""

    code = "redis_listener_too_slow"
