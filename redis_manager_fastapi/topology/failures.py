"""From what redis-py and the sockets raise to the errors that callers see.

Messages never hold a host, a user or a password: they end up in HTTP bodies.
The original exception stays attached as the cause, for the log.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import TypeVar

import redis.exceptions as redis_errors

from redis_manager_fastapi.errors import (
    RedisAuthError,
    RedisConfigError,
    RedisPermissionError,
    RedisTLSError,
    RedisUnavailableError,
)

E = TypeVar("E", bound=Exception)

# The first word of a server's error that says "not now" rather than "your mistake": how the
# server's own sentence goes on (Redis 5.0 to Valkey 9.1), and what callers are told.  A script
# may begin its own errors with the same word, after it has written; BUSYGROUP and BUSYKEY are
# the user's own as well.
REFUSALS: dict[str, tuple[str, str]] = {
    "LOADING": ("is loading", "the server is loading its data set"),
    "MASTERDOWN": ("is down", "the replica has lost its primary"),
    "READONLY": ("read ?only", "the server is a read-only replica"),
    "CLUSTERDOWN": ("cluster is down|slot not served", "the cluster is down"),
    "BUSY": ("is busy", "the server is busy running a script"),
    "UNBLOCKED": (
        "instance state changed",
        "the server was demoted while the command was blocked",
    ),
}

# What follows, in the server's words, are the arguments of an unknown command.
_ARGUMENTS = ", with args beginning with"

# How a server without a password answers to one: since Redis 6.0, and before.
_NO_PASSWORD = ("without any password", "no password is set")

# What follows, in OpenSSL's words, is the host.
_HOST_FOLLOWS = ", certificate is not valid for"


def refusal_code(error: BaseException) -> str | None:
    """Return the code in `REFUSALS` that *error* carries, if it carries one."""
    code = getattr(error, "status_code", None)
    if code is None:
        code = str(error).split(" ", 1)[0]
    sentence, _ = REFUSALS.get(code, (None, ""))
    if sentence is None or not re.search(sentence, str(error), re.IGNORECASE):
        return None
    return str(code)


def _public_message(code: str) -> str:
    return f"{REFUSALS[code][1]} ({code})"


def reconnecting_helps(error: BaseException) -> bool:
    """Return whether a new connection may meet a server that serves; no Cluster comes up by it."""
    return refusal_code(error) not in (None, "CLUSTERDOWN")


def moves_on(error: BaseException) -> bool:
    """Return whether an error of a Cluster is the server's own, and not one that a script made."""
    if isinstance(error, redis_errors.TryAgainError):
        return "rehashing" in str(error)
    if isinstance(error, redis_errors.ClusterDownError):
        return refusal_code(error) is not None
    return True


def from_reply(error: Exception, instance: str) -> Exception:
    """Translate an error that the server replied with; the user's own mistakes pass untouched."""
    code = refusal_code(error)
    if code is not None:
        return _caused(RedisUnavailableError(_public_message(code), instance=instance), error)
    if isinstance(error, redis_errors.NoPermissionError):
        message = "the server's ACL forbids this command (NOPERM)"
        return _caused(RedisPermissionError(message, instance=instance), error)
    if isinstance(error, redis_errors.AuthenticationError):
        return _caused(RedisAuthError(_auth_message(error), instance=instance), error)
    if isinstance(error, redis_errors.ConnectionError):
        # A code that is no refusal is a script's own, which may have written before.
        replied = getattr(error, "status_code", None) is not None
        unavailable = RedisUnavailableError(
            _reason(error), instance=instance, maybe_executed=replied
        )
        return _caused(unavailable, error)
    return error


def from_connect(error: BaseException, instance: str, timeout: float) -> RedisUnavailableError:
    """Translate what a failed connect or handshake raised.

    Args:
        error: Anything but a cancellation of the caller.
        instance: The manager's name.
        timeout: The limit that applied, in seconds, for the message.
    """
    if isinstance(error, RedisUnavailableError):
        return error
    _strip_arguments(error)
    if isinstance(error, redis_errors.TimeoutError | TimeoutError):
        message = f"no connection within {timeout:g} s"
        return _caused(RedisUnavailableError(message, instance=instance), error)
    if any(isinstance(link, ssl.SSLError) for link in _chain(error)):
        return _caused(RedisTLSError(_tls_message(error), instance=instance), error)
    if isinstance(error, redis_errors.NoPermissionError):
        message = "the server's ACL forbids a command of the handshake (NOPERM)"
        return _caused(RedisPermissionError(message, instance=instance), error)
    if isinstance(error, redis_errors.AuthenticationError):
        return _caused(RedisAuthError(_auth_message(error), instance=instance), error)
    if isinstance(error, RedisConfigError):
        # The setting's own sentence names the file; this one may reach an HTTP body.
        message = "the password file cannot be read, or is empty"
        return _caused(RedisAuthError(message, instance=instance), error)
    if isinstance(error, redis_errors.RedisError | OSError):
        return _caused(RedisUnavailableError(_reason(error), instance=instance), error)
    message = f"the credentials could not be obtained ({type(error).__name__})"
    return _caused(RedisAuthError(message, instance=instance), error)


def _caused(translated: E, cause: BaseException) -> E:
    translated.__cause__ = cause
    return translated


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _strip_arguments(error: BaseException) -> None:
    """Cut what a server repeats of a command that it does not know: HELLO's hold the password."""
    for link in _chain(error):
        if isinstance(link, redis_errors.ResponseError):
            link.args = (str(link).partition(_ARGUMENTS)[0],)


def shown_code(code: str) -> str:
    """Return an error's code for callers; what does not look like one may be a host or a user."""
    return code if re.fullmatch("[A-Z]{2,16}", code) else "an error"


def _auth_message(error: BaseException) -> str:
    if any(words in str(error) for words in _NO_PASSWORD):
        return "the server has no password for the user, but one is set"
    code = getattr(error, "status_code", None)
    code = code and shown_code(code)
    return f"the server refused the credentials ({code})" if code else "the credentials are wrong"


def _tls_message(error: BaseException) -> str:
    cause = next(link for link in _chain(error) if isinstance(link, ssl.SSLError))
    detail = getattr(cause, "verify_message", "") or cause.reason
    reason = str(detail or "a certificate or key file is unusable").partition(_HOST_FOLLOWS)[0]
    return f"the TLS handshake failed: {reason}"


def _reason(error: BaseException) -> str:
    code = refusal_code(error)
    if code is not None:
        return _public_message(code)
    status = getattr(error, "status_code", None)
    if status is not None:
        hint = "; it may not support RESP3: set REDIS_PROTOCOL=2" if "HELLO" in str(error) else ""
        return f"the server answered {shown_code(status)}{hint}"
    for link in _chain(error):
        if isinstance(link, socket.gaierror):
            return "the host name does not resolve"
        if isinstance(link, ConnectionResetError | BrokenPipeError):
            return (
                "the server closed the connection before it answered: it is shutting down, or at"
                " maxclients"
            )
        if isinstance(link, OSError):
            return os.strerror(link.errno).lower() if link.errno else "the connection failed"
    return "the connection was lost"
