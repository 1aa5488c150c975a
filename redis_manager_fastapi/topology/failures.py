"""From what redis-py and the sockets raise to the errors that callers see.

Messages never hold a host, a user or a password: they end up in HTTP bodies.
The original exception stays attached as the cause, for the log.  In the texts here,
`{prefix}` stands for what the names of the deployment's variables begin with.
"""

import enum
import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis.exceptions as redis_errors

from redis_manager_fastapi.errors import (
    RedisAuthError,
    RedisConfigError,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisTLSError,
    RedisUnavailableError,
    RedisWritesRefusedError,
)
from redis_manager_fastapi.observe.words import NOT_OBTAINED
from redis_manager_fastapi.settings import RedisSettings

E = TypeVar("E", bound=Exception)


class Meaning(enum.Enum):
    """What a server that refuses means for the connections to it, and for the command."""

    AWAY = "it does not serve: another server may, or the same one later, on new connections"
    UNSERVED = "the Cluster does not serve the slot: no new connection helps"
    SHORT = "it takes no write until enough replicas are connected, which may be soon"
    FULL = "it takes no write until an operator makes room; reads are served"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One word by which a server refuses.

    Attributes:
        sentence: How the server's own sentence goes on (Redis 5.0 to Valkey 9.1), as a pattern.
        told: What callers are told.
        meaning: What it means.
        error: What callers meet.
    """

    sentence: str
    told: str
    meaning: Meaning = Meaning.AWAY
    error: type[RedisUnavailableError] = RedisUnavailableError


# The first word of a server's error that says "not now" rather than "your mistake".  A script
# may begin its own errors with the same word, after it has written; BUSYGROUP and BUSYKEY are
# the user's own as well.
REFUSALS: dict[str, Refusal] = {
    "LOADING": Refusal("is loading", "the server is loading its data set"),
    "MASTERDOWN": Refusal("is down", "the replica has lost its primary"),
    "READONLY": Refusal("read ?only", "the server is a read-only replica"),
    "BUSY": Refusal("is busy", "the server is busy running a script"),
    "UNBLOCKED": Refusal(
        "instance state changed", "the server was demoted while the command was blocked"
    ),
    "CLUSTERDOWN": Refusal(
        "cluster is down|slot not served", "the cluster is down", Meaning.UNSERVED
    ),
    "NOREPLICAS": Refusal(
        "not enough good",
        "too few replicas are connected for a write",
        Meaning.SHORT,
        RedisWritesRefusedError,
    ),
    "MISCONF": Refusal(
        "persist|AOF file",
        "the server cannot save, and takes no writes",
        Meaning.FULL,
        RedisWritesRefusedError,
    ),
    "OOM": Refusal(
        "maxmemory",
        "the server's memory is full, and it takes no writes",
        Meaning.FULL,
        RedisOutOfMemoryError,
    ),
}

# What a server puts around an error of a script's own command before 7.0, and around what made
# it refuse EXEC.
_WRAPPED = re.compile(
    r"^(?:Error running script \(call to [^)]*\): @\w+:\s*\d+: (?:@\w+:\s*\d+: )?-"
    r"|Transaction discarded because of: )"
)

# What redis-py puts before the error of a pipeline's command.
_IN_PIPELINE = re.compile(r"^Command # \d+ .* of pipeline caused error: (?:\(['\"])?", re.DOTALL)


class Door(enum.Enum):
    """What a server says before it serves at all, as callers are told it."""

    PROTECTED = (
        "the server runs in protected mode, and takes no connections from other hosts"
        " without a password (DENIED)"
    )
    FULL = "the server has reached its max number of clients (maxclients)"
    NO_RESP3 = "the server does not speak RESP3: set {prefix}PROTOCOL=2"
    NO_DATABASE = "the server has no database of that number"
    CLUSTER = "the server is part of a Cluster, which has database 0 alone"
    NO_CLUSTER = "what answers there is no node of a Cluster"
    SPEAKS_TLS = "the server speaks TLS there: set {prefix}TLS__ENABLED=true"
    NOT_REDIS = "what answers there is not Redis"


# How a server says it, as a pattern; the first that fits counts.
_DOOR = (
    ("protected mode", Door.PROTECTED),
    ("max number of clients", Door.FULL),
    ("NOPROTO|HELLO", Door.NO_RESP3),
    ("DB index is out of range", Door.NO_DATABASE),
    ("not allowed in cluster mode", Door.CLUSTER),
    ("cluster support disabled|unknown command .CLUSTER", Door.NO_CLUSTER),
    (r"got \"\\x15\" as reply type", Door.SPEAKS_TLS),
    ("as reply type byte", Door.NOT_REDIS),
)

_HUNG_UP = (
    "the server closed the connection before it answered: it is shutting down, is at maxclients,"
    " or speaks TLS"
)


class TLSFault(enum.Enum):
    """Why a TLS handshake fails, as callers are told it."""

    NO_TLS = "the server does not speak TLS there: set {prefix}TLS__ENABLED=false, or its TLS port"
    EXPIRED = "the server's certificate has expired"
    NOT_YET_VALID = "the server's certificate is not valid yet, or the clock here is wrong"
    REVOKED = "the server's certificate is revoked"
    WRONG_NAME = "the server's certificate is for another name"
    UNKNOWN_CA = "the server's certificate is signed by a CA that is not trusted here"
    CLIENT_WANTED = "the server wants a client certificate"
    CLIENT_EXPIRED = "our client certificate has expired"
    CLIENT_REFUSED = "the server refuses our client certificate"
    NOTHING_IN_COMMON = "the server offers nothing in common, or wants a client certificate"
    NO_VERSION = "the server has no version of TLS in common with this one"
    WRONG_KEY = "{prefix}TLS__KEY_FILE is not the key of {prefix}TLS__CERT_FILE"
    OWN_FILES = "a certificate or key file is unusable"


_BOTH_FILES = "set {prefix}TLS__CERT_FILE and {prefix}TLS__KEY_FILE"
_TLS_FIXES = {
    TLSFault.WRONG_NAME: "reach it by a name that it has, or set {prefix}TLS__VERIFY=ca",
    TLSFault.UNKNOWN_CA: "set {prefix}TLS__CA_FILE to that CA's",
    TLSFault.CLIENT_WANTED: _BOTH_FILES,
    TLSFault.CLIENT_REFUSED: "set {prefix}TLS__CERT_FILE to one that it trusts",
    TLSFault.NOTHING_IN_COMMON: _BOTH_FILES,
}

# OpenSSL's numbers (X509_V_ERR_*) for what is wrong with the server's certificate.
_VERIFY = {
    9: TLSFault.NOT_YET_VALID,
    10: TLSFault.EXPIRED,
    23: TLSFault.REVOKED,
    **dict.fromkeys((2, 18, 19, 20, 21), TLSFault.UNKNOWN_CA),
    **dict.fromkeys((62, 64), TLSFault.WRONG_NAME),
}

# What else ends a handshake, as a pattern for OpenSSL's reason; the first that fits counts.
_TLS_REASONS = (
    ("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG", TLSFault.NO_TLS),
    ("CERTIFICATE_REQUIRED", TLSFault.CLIENT_WANTED),
    ("ALERT_CERTIFICATE_EXPIRED", TLSFault.CLIENT_EXPIRED),
    ("ALERT_(UNKNOWN_CA|.*CERTIFICATE)|ALERT_ACCESS_DENIED", TLSFault.CLIENT_REFUSED),
    ("ALERT_HANDSHAKE_FAILURE", TLSFault.NOTHING_IN_COMMON),
    ("PROTOCOL|VERSION", TLSFault.NO_VERSION),
    ("KEY_VALUES_MISMATCH", TLSFault.WRONG_KEY),
)

_CUT_BY_TLS = (
    "the server closed the connection before it answered: it is shutting down, is at maxclients,"
    " or refuses our client certificate, or wants one ({prefix}TLS__CERT_FILE)"
)

# What follows, in the server's words, are the arguments of an unknown command.
_ARGUMENTS = ", with args beginning with"

# How a server without a password answers to one: since Redis 6.0, and before.
_NO_PASSWORD = ("without any password", "no password is set")

AUTH_WANTED = "the server wants a password, and none is set"
UNRESOLVED = "the host name does not resolve"
BY_TLS = " by TLS"

# What follows, in OpenSSL's words, is the host.
_HOST_FOLLOWS = ", certificate is not valid for"


def _unwrapped(error: BaseException) -> tuple[str, str]:
    """Return the first word of a server's error, and the rest, without what is put around it."""
    text, code = str(error), getattr(error, "status_code", None)
    inner = _WRAPPED.sub("", text)
    if code is not None and inner == text:
        return str(code), text
    word, _, rest = inner.partition(" ")
    return word, rest


def refusal_code(error: BaseException) -> str | None:
    """Return the code in `REFUSALS` that *error* carries, if it carries one."""
    code, said = _unwrapped(error)
    refusal = REFUSALS.get(code)
    if refusal is None or not re.search(refusal.sentence, said, re.IGNORECASE):
        return None
    return code


def keep_code(error: Any) -> None:
    """Note the code of a server's error, which its text is about to lose."""
    error.status_code = refusal_code(error) or error.status_code


def server_code(error: BaseException) -> str | None:
    """Return the code of a server's error, ERR if it has none of its own; None if it is no such."""
    if not isinstance(error, redis_errors.ResponseError):
        return None
    code, text = _unwrapped(error)
    found = re.match(r"[A-Z][A-Z0-9_]+(?= |$)", _IN_PIPELINE.sub("", f"{code} {text}"))
    return found[0] if found else "ERR"


def meaning_of(error: BaseException) -> Meaning | None:
    """Return what it means that a server answers with *error*; None if it is no refusal."""
    code = refusal_code(error)
    return None if code is None else REFUSALS[code].meaning


def _public_message(code: str) -> str:
    return f"{REFUSALS[code].told} ({code})"


def reconnecting_helps(error: BaseException) -> bool:
    """Return whether a new connection may meet a server that serves."""
    return meaning_of(error) is Meaning.AWAY


def serves(error: Exception) -> bool:
    """Return whether a server that answers PING with *error* serves: one that cannot save reads."""
    return refusal_code(error) == "MISCONF"


def moves_on(error: BaseException) -> bool:
    """Return whether an error of a Cluster is the server's own, and not one that a script made."""
    if isinstance(error, redis_errors.TryAgainError):
        return "rehashing" in str(error)
    if isinstance(error, redis_errors.ClusterDownError):
        return refusal_code(error) is not None
    return True


def own_words(error: Exception) -> Exception:
    """Return what looks like a redirect as the plain error that it is: a script's own words."""
    if (
        isinstance(
            error,
            redis_errors.AskError | redis_errors.TryAgainError | redis_errors.ClusterDownError,
        )
        and refusal_code(error) is None
    ):
        return redis_errors.ResponseError(f"{getattr(error, 'status_code', '')} {error}".strip())
    return error


def from_reply(error: Exception, instance: str) -> Exception:
    """Translate an error that the server replied with; the user's own mistakes pass untouched."""
    code = refusal_code(error)
    if code is not None:
        return _caused(REFUSALS[code].error(_public_message(code), instance=instance), error)
    if isinstance(error, redis_errors.NoPermissionError) or _unwrapped(error)[0] == "NOPERM":
        message = "the server's ACL forbids this command (NOPERM)"
        return _caused(RedisPermissionError(message, instance=instance), error)
    if isinstance(error, redis_errors.AuthenticationError):
        return _caused(RedisAuthError(_auth_message(error), instance=instance), error)
    if isinstance(error, redis_errors.ConnectionError):
        # A code that is no refusal is a script's own, which may have written before.
        replied = getattr(error, "status_code", None) is not None
        unavailable = RedisUnavailableError(_lost(error), instance=instance, maybe_executed=replied)
        return _caused(unavailable, error)
    return error


def from_connect(
    error: BaseException, instance: str, settings: RedisSettings, *, tls: bool = False
) -> RedisUnavailableError:
    """Translate what a failed connect or handshake raised.

    Args:
        error: Anything but a cancellation of the caller.
        instance: The manager's name.
        settings: The manager's: the limit that applied, and how its variables are called.
        tls: Whether the connection was to be encrypted: a server that does not speak TLS may
            say nothing at all.
    """
    if isinstance(error, RedisUnavailableError):
        error.instance = instance or error.instance
        return error
    _strip_arguments(error)
    if isinstance(error, redis_errors.TimeoutError | TimeoutError):
        message = f"no connection within {settings.timeout.connect:g} s" + (BY_TLS if tls else "")
        return _caused(RedisUnavailableError(message, instance=instance), error)
    if (failed := _ssl_error(error)) is not None:
        return _caused(RedisTLSError(_tls_message(failed, settings), instance=instance), error)
    if tls and any(isinstance(link, FileNotFoundError | PermissionError) for link in _chain(error)):
        message = f"a certificate or key file ({settings.prefix}TLS__*_FILE) cannot be read"
        return _caused(RedisTLSError(message, instance=instance), error)
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
        reason = _reason(error)
        if tls and reason == _HUNG_UP:
            reason = _CUT_BY_TLS
        message = reason.format(prefix=settings.prefix)
        return _caused(RedisUnavailableError(message, instance=instance), error)
    message = f"{NOT_OBTAINED} ({type(error).__name__})"
    return _caused(RedisAuthError(message, instance=instance), error)


def most_telling(errors: Sequence[RedisUnavailableError]) -> RedisUnavailableError:
    """Return which of the reasons of several servers to tell: an answer before a silence."""

    def rank(error: RedisUnavailableError) -> int:
        if isinstance(error, RedisAuthError | RedisTLSError):
            return 0
        replies = (redis_errors.ResponseError, redis_errors.InvalidResponse)
        return 1 if any(isinstance(link, replies) or door_of(link) for link in _chain(error)) else 2

    return min(errors, key=rank)


def _caused(translated: E, cause: BaseException) -> E:
    translated.__cause__ = cause
    return translated


def door_of(error: BaseException) -> Door | None:
    """Return which word at the door *error* is; None if it is none that is known."""
    said = f"{getattr(error, 'status_code', None) or ''} {error}"
    return next((door for pattern, door in _DOOR if re.search(pattern, said)), None)


def tls_fault(error: BaseException) -> TLSFault | None:
    """Return why the TLS handshake of a failed connect failed; None if it did not, or oddly."""
    cause = _ssl_error(error)
    if cause is None:
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _VERIFY.get(cause.verify_code)
    if cause.reason is None:
        return TLSFault.OWN_FILES
    if (
        getattr(cause, "library", "") in ("PEM", "X509", "ASN1")
        and cause.reason != "KEY_VALUES_MISMATCH"
    ):
        return TLSFault.OWN_FILES
    return next((fault for words, fault in _TLS_REASONS if re.search(words, cause.reason)), None)


def _ssl_error(error: BaseException) -> ssl.SSLError | None:
    return next((link for link in _chain(error) if isinstance(link, ssl.SSLError)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    seen: set[int] = set()  # an error may be raised while one is handled that it caused
    while current is not None and id(current) not in seen:
        yield current
        seen.add(id(current))
        current = current.__cause__ or current.__context__


def _strip_arguments(error: BaseException) -> None:
    """Cut what a server repeats of a command that it does not know: HELLO's hold the password."""
    for link in _chain(error):
        if isinstance(link, redis_errors.ResponseError):
            link.args = (str(link).partition(_ARGUMENTS)[0],)


def shown_code(code: str) -> str:
    """Return an error's code for callers; what does not look like one may be a host or a user."""
    return code if re.fullmatch("[A-Z]{2,16}", code) else "an error"


def code_of(error: Exception) -> str:
    """Return the first word of a server's error; empty if it does not look like a code."""
    word = _unwrapped(error)[0]
    return word if re.fullmatch("[A-Z]{2,16}", word) else ""


def _auth_message(error: BaseException) -> str:
    if any(words in str(error) for words in _NO_PASSWORD):
        return "the server has no password for the user, but one is set"
    code = getattr(error, "status_code", None)
    if code == "NOAUTH":
        return f"{AUTH_WANTED} (NOAUTH)"
    code = code and shown_code(code)
    return f"the server refused the credentials ({code})" if code else "the credentials are wrong"


def _tls_message(cause: ssl.SSLError, settings: RedisSettings) -> str:
    fault = tls_fault(cause)
    if fault is TLSFault.NO_TLS:
        return str(fault.value).format(prefix=settings.prefix)
    detail = getattr(cause, "verify_message", "") or cause.reason or ""
    reason = str(detail).partition(_HOST_FOLLOWS)[0]
    if fault is None:
        return f"the TLS handshake failed: {reason or 'for no reason that OpenSSL names'}"
    fix = f": {_TLS_FIXES[fault]}" if fault in _TLS_FIXES else ""
    said = f"{fault.value}{fix}".format(prefix=settings.prefix)
    return f"the TLS handshake failed: {said}" + (f" ({reason})" if reason else "")


def _reason(error: BaseException) -> str:
    code = refusal_code(error)
    if code is not None:
        return _public_message(code)
    door = door_of(error)
    if door is not None:
        return door.value
    if isinstance(error, redis_errors.InvalidResponse):
        return Door.NOT_REDIS.value
    if isinstance(error, redis_errors.ResponseError):
        # Its own text stays in the cause: it may repeat what we sent.
        word = re.match(r"[A-Z]+\b", getattr(error, "status_code", None) or str(error))
        return f"the server refused the handshake ({word[0] if word else 'ERR'})"
    return _lost(error)


def _lost(error: BaseException) -> str:
    for link in _chain(error):
        if isinstance(link, socket.gaierror):
            return UNRESOLVED
        if isinstance(link, ConnectionResetError | BrokenPipeError):
            return _HUNG_UP
        if isinstance(link, OSError):
            return os.strerror(link.errno).lower() if link.errno else "the connection failed"
    return _HUNG_UP if "closed by server" in str(error) else "the connection was lost"
