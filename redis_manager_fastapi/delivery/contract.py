"""The outage contract: may a command go out again, and may it have run?

The answer follows from what the command is (`Kind`), from what happened to it
(`Happened`), and from what happened to it before; nothing here does I/O or
looks at a clock.  Whoever carries a command asks an `Execution` and does what
its `Step` says, so the promise is kept in one place, and `tests/delivery/
test_contract.py` shows all of it without a server.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.exceptions import (
    AskError,
    MovedError,
    SlotNotCoveredError,
    TryAgainError,
)

from redis_manager_fastapi.commands.sharing import SCRIPTS, SHARED, blocking_timeout
from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    PoolClosedError,
    RedisManagerError,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.pool.request import Interrupted
from redis_manager_fastapi.topology.failures import (
    from_reply,
    moves_on,
    reconnecting_helps,
    refusal_code,
)


class Kind(enum.Enum):
    """What a command is, as far as the contract distinguishes."""

    READ = "read"
    WRITE = "write"
    SCRIPT = "script"
    BLOCKING = "blocking command"
    READ_PIPELINE = "pipeline of reads"
    PIPELINE = "other pipeline"
    TRANSACTION = "transaction"
    WATCHED = "command under WATCH, or on a pinned connection"


REPEATABLE = frozenset({Kind.READ, Kind.READ_PIPELINE})
"""What changes nothing, so that it may be sent again after a lost reply."""

PIPELINES = frozenset({Kind.READ_PIPELINE, Kind.PIPELINE})
"""What consists of commands that run one by one: an error of one says nothing of the others."""

KEEPS_CONNECTION = frozenset({Kind.WATCHED})
"""What means nothing on any other connection."""


class Happened(enum.Enum):
    """What became of one attempt to execute a command."""

    NOT_SENT = "the connection was lost before it was sent"
    LOST = "it was sent, and the reply was lost"
    REFUSED = "the server does not serve now (LOADING, READONLY, MASTERDOWN, BUSY, UNBLOCKED)"
    REDIRECTED = "another node of the Cluster has its slot (MOVED, ASK)"
    POSTPONED = "its keys are being moved (TRYAGAIN)"
    UNSERVED = "nobody serves its slot now (CLUSTERDOWN)"
    UNAVAILABLE = "no connection served within grace"
    EXPIRED_UNSENT = "its deadline passed before it was sent"
    EXPIRED = "its deadline passed after it was sent"
    CLOSED = "the pool is draining or closed"
    FAILED = "the server answered with any other error"
    CANCELLED = "its caller was cancelled"


class Step(enum.Enum):
    """What to do next."""

    AGAIN = "again"
    HEAL_AGAIN = "again, after the heal"
    REDIRECT = "again, where it belongs"
    WAIT_AGAIN = "again, after a pause"
    ELSEWHERE = "again, if another node has its slot by now"
    RAISE = "the error"


_ROUTED = {
    Happened.REDIRECTED: Step.REDIRECT,
    Happened.POSTPONED: Step.WAIT_AGAIN,
    Happened.UNSERVED: Step.HEAL_AGAIN,
    Happened.UNAVAILABLE: Step.ELSEWHERE,
    Happened.CLOSED: Step.ELSEWHERE,
}
"""What follows in a Cluster, however often it happens: the command was not executed."""

_SENT = frozenset({Happened.LOST, Happened.EXPIRED})
"""What leaves open whether the server has executed it."""

_ANSWERED = frozenset({Happened.REFUSED, Happened.FAILED})
"""What one of a pipeline's commands was answered, while others may have run."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from what happened.

    Attributes:
        step: What to do next.
        maybe_executed: Whether the server may have executed the command by now: what the
            error says, if one is raised.
    """

    step: Step
    maybe_executed: bool

    @property
    def is_final(self) -> bool:
        """Whether the command does not go out again."""
        return self.step is Step.RAISE


def decide(
    kind: Kind, happened: Happened, *, sent_before: bool, repeated: bool, routed: bool = False
) -> Verdict:
    """Return what follows for a command.

    Args:
        kind: What it is.
        happened: What became of this attempt.
        sent_before: Whether an earlier attempt may have been executed.
        repeated: Whether it was sent again already after a lost reply or a refusal.
        routed: Whether it goes to wherever a Cluster has its slot.
    """
    maybe_executed = sent_before or happened in _SENT
    if happened in _ANSWERED and kind in PIPELINES:
        return Verdict(Step.RAISE, True)
    return Verdict(_step(kind, happened, repeated=repeated, routed=routed), maybe_executed)


def _step(kind: Kind, happened: Happened, *, repeated: bool, routed: bool) -> Step:
    if kind in KEEPS_CONNECTION:
        return Step.RAISE
    if happened is Happened.NOT_SENT:
        return Step.AGAIN
    if routed and happened in _ROUTED:
        return _ROUTED[happened]
    if happened is Happened.LOST and kind in REPEATABLE and not repeated:
        return Step.HEAL_AGAIN
    if happened is Happened.REFUSED and kind is not Kind.TRANSACTION:
        if not repeated:
            return Step.HEAL_AGAIN
        return Step.ELSEWHERE if routed else Step.RAISE
    return Step.RAISE


class Execution:
    """One command on its way, from the first attempt to its reply or its error.

    Attributes:
        kind: What the command is.
        maybe_executed: Whether the server may have executed it by now.

    Args:
        kind: What the command is.
        routed: Whether it goes to wherever a Cluster has its slot.
    """

    __slots__ = ("_repeated", "_routed", "kind", "maybe_executed")

    def __init__(self, kind: Kind, *, routed: bool = False) -> None:
        self.kind = kind
        self.maybe_executed = False
        self._repeated = False
        self._routed = routed

    def after(self, happened: Happened) -> Step:
        """Note what became of an attempt; return what to do next."""
        verdict = decide(
            self.kind,
            happened,
            sent_before=self.maybe_executed,
            repeated=self._repeated,
            routed=self._routed,
        )
        self.maybe_executed = verdict.maybe_executed
        self._repeated = self._repeated or happened in (Happened.LOST, Happened.REFUSED)
        return verdict.step

    def error(self, error: Exception, instance: str) -> Exception:
        """Return what the caller sees of *error*, which says whether the command may have run."""
        if isinstance(error, Interrupted):
            message = f"redis {instance!r} took the command and its reply was lost"
            error = ReplyLostError(message, instance=instance)
        seen = error if isinstance(error, RedisManagerError) else from_reply(error, instance)
        if isinstance(seen, RedisManagerError):
            seen.maybe_executed = seen.maybe_executed or self.maybe_executed
        return seen


def kind_of(args: tuple[Any, ...]) -> Kind:
    """Return what a single command is."""
    name = args[0] if isinstance(args[0], str) else ""
    command = SHARED.get(name)
    if command is not None and command.read_only:
        return Kind.READ
    if name in SCRIPTS:
        return Kind.SCRIPT
    return Kind.WRITE if blocking_timeout(args) is None else Kind.BLOCKING


def kind_of_pipeline(stack: Iterable[tuple[Any, Any]], *, transaction: bool) -> Kind:
    """Return what the commands of *stack*, with their options, are together."""
    for args, _ in stack:
        command = SHARED.get(args[0])
        if command is None or not command.read_only:
            break
    else:
        return Kind.READ_PIPELINE
    return Kind.TRANSACTION if transaction else Kind.PIPELINE


def what_happened(error: Exception) -> Happened:
    """Return what an attempt that ended with *error* met."""
    if isinstance(error, Interrupted):
        return Happened.LOST if error.written else Happened.NOT_SENT
    if isinstance(error, ReplyLostError):
        return Happened.LOST if error.maybe_executed else Happened.NOT_SENT
    if isinstance(error, CommandTimeoutError):
        return Happened.EXPIRED if error.maybe_executed else Happened.EXPIRED_UNSENT
    if isinstance(error, PoolClosedError):
        return Happened.CLOSED
    if isinstance(error, RedisManagerError):
        return _unavailable(error)
    if isinstance(error, MovedError | AskError):
        return Happened.REDIRECTED
    if isinstance(error, SlotNotCoveredError) or _is_cluster_down(error):
        return Happened.UNSERVED
    if isinstance(error, TryAgainError) and moves_on(error):
        return Happened.POSTPONED
    return Happened.REFUSED if reconnecting_helps(error) else Happened.FAILED


def _unavailable(error: RedisManagerError) -> Happened:
    if error.maybe_executed or type(error) is not RedisUnavailableError:
        return Happened.FAILED
    return Happened.UNSERVED if _is_cluster_down(error.__cause__) else Happened.UNAVAILABLE


def _is_cluster_down(error: BaseException | None) -> bool:
    return error is not None and refusal_code(error) == "CLUSTERDOWN"
