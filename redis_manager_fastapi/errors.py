"""Every error that leaves the library, and the causes that some of them name.

Each class refines the error that redis-py users already catch, so that an
`except redis.ConnectionError` in other libraries keeps working.  A user's
own mistakes (`ResponseError`, `DataError`, `WatchError`) pass untouched.
"""

import enum
from typing import ClassVar

import redis.exceptions


class Cause(enum.StrEnum):
    """Who is to blame for a reply that was lost, or that did not come in time."""

    SERVER_SILENT = "server_silent"
    NETWORK_SILENT = "network_silent"
    COMMAND_SLOW = "command_slow"
    LOOP_BLOCKED = "loop_blocked"
    QUEUED = "queued"
    LARGE_REPLY = "large_reply"
    CONNECTION_LOST = "connection_lost"
    BAD_REPLY = "bad_reply"
    CLOSED = "closed"
    REDIRECTED = "redirected"

    @property
    def words(self) -> str:
        """The same in words, as error messages end."""
        return _WORDS[self]


_WORDS = {
    Cause.SERVER_SILENT: "the server did not answer",
    Cause.NETWORK_SILENT: "the network is silent",
    Cause.COMMAND_SLOW: "the server answers on other connections, but not this command",
    Cause.LOOP_BLOCKED: "this process' own event loop was blocked",
    Cause.QUEUED: "it waited behind other commands",
    Cause.LARGE_REPLY: "a large reply occupied the connection",
    Cause.CONNECTION_LOST: "the server, or something on the way to it, closed the connection",
    Cause.BAD_REPLY: "what came was not a reply to it",
    Cause.CLOSED: "this process left the connection",
    Cause.REDIRECTED: "the Cluster's nodes kept sending it elsewhere",
}


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
    """A command was sent and its reply was lost; it may have run, and is not sent again.

    Attributes:
        cause: Why it was lost.
    """

    code = "redis_reply_lost"

    def __init__(
        self,
        message: str = "",
        *,
        instance: str = "default",
        maybe_executed: bool = True,
        cause: Cause = Cause.CONNECTION_LOST,
    ) -> None:
        super().__init__(message, instance=instance, maybe_executed=maybe_executed)
        self.cause = cause


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
    """The command's deadline passed before its reply came.

    Attributes:
        cause: Why it did not come.
        blocked_at: With `Cause.LOOP_BLOCKED`, the stack that blocked the event loop, as a
            traceback shows it; empty if none was seen.
    """

    code = "redis_timeout"

    def __init__(
        self,
        message: str = "",
        *,
        instance: str = "default",
        maybe_executed: bool = False,
        cause: Cause = Cause.SERVER_SILENT,
        blocked_at: str = "",
    ) -> None:
        super().__init__(message, instance=instance, maybe_executed=maybe_executed)
        self.cause = cause
        self.blocked_at = blocked_at


class ListenerTooSlowError(RedisManagerError):
    """A listener was further behind than its `buffer`, and its policy is `overflow="end"`."""

    code = "redis_listener_too_slow"
