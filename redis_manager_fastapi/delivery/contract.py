"""The outage contract: may a command go out again, and may it have run?

The answer follows from what the command is (`Kind`), from what happened to it
(`Happened`), and from what happened to it before; nothing here does I/O or
looks at a clock.  Whoever carries a command asks an `Execution` and does what
its `Step` says, so the promise is kept in one place, and `tests/delivery/
test_contract.py` shows all of it without a server.
"""

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from redis.exceptions import (
    AskError,
    ExecAbortError,
    MovedError,
    SlotNotCoveredError,
    TryAgainError,
)

from redis_manager_fastapi.commands.blocking import blocking_timeout, new_only, upper_word
from redis_manager_fastapi.commands.sharing import SCRIPTS, SHARED, in_words
from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    PoolClosedError,
    RedisManagerError,
    RedisUnavailableError,
    ReplyLostError,
)
from redis_manager_fastapi.pool.request import DISCARDED, Interrupted
from redis_manager_fastapi.topology.failures import (
    Meaning,
    from_reply,
    meaning_of,
    moves_on,
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
    WATCHED_SCRIPT = "script under WATCH, or on a pinned connection"


REPEATABLE = frozenset({Kind.READ, Kind.READ_PIPELINE})
"""What changes nothing, so that it may be sent again after a lost reply."""

_SCRIPTS = frozenset({Kind.SCRIPT, Kind.WATCHED_SCRIPT})
"""What the user wrote, and may have written something before it fails."""

_WATCHED = frozenset({Kind.WATCHED, Kind.WATCHED_SCRIPT})
"""What means nothing on any other connection."""

PIPELINES = frozenset({Kind.READ_PIPELINE, Kind.PIPELINE})
"""What consists of commands that run one by one: an error of one says nothing of the others."""


class Happened(enum.Enum):
    """What became of one attempt to execute a command."""

    NOT_SENT = "the connection was lost before it was sent"
    LOST = "it was sent, and the reply was lost"
    REFUSED = "the server does not serve now (LOADING, READONLY, MASTERDOWN, BUSY, UNBLOCKED)"
    SHORT = "too few replicas are connected for a write (NOREPLICAS)"
    FULL = "the server takes no writes now (OOM, MISCONF)"
    REDIRECTED = "another node of the Cluster has its slot (MOVED, ASK)"
    POSTPONED = "its keys are being moved (TRYAGAIN)"
    UNSERVED = "the Cluster does not serve its slot now (CLUSTERDOWN)"
    UNCOVERED = "no node has its slot, as far as is known"
    UNAVAILABLE = "no connection served within grace"
    EXPIRED_UNSENT = "its deadline passed before it was sent"
    EXPIRED = "its deadline passed after it was sent"
    CLOSED = "the pool is draining or closed"
    BARRED = "it was not sent: no connection was free, or the credentials are wrong"
    PARTLY = "MULTI or EXEC was refused while its commands ran, or one of them failed"
    FAILED = "the server answered with any other error"
    CANCELLED = "its caller was cancelled"


MEANT = {
    Meaning.AWAY: Happened.REFUSED,
    Meaning.UNSERVED: Happened.UNSERVED,
    Meaning.SHORT: Happened.SHORT,
    Meaning.FULL: Happened.FULL,
}
"""What a server's word is for the command that met it."""


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
    Happened.UNCOVERED: Step.HEAL_AGAIN,
    Happened.UNAVAILABLE: Step.ELSEWHERE,
    Happened.CLOSED: Step.ELSEWHERE,
}
"""What follows in a Cluster, however often it happens: the command was not executed."""

_SENT = frozenset({Happened.LOST, Happened.EXPIRED, Happened.PARTLY})
"""What leaves open whether the server has executed it."""

_ANSWERED = frozenset({Happened.REFUSED, Happened.SHORT, Happened.FULL, Happened.FAILED})
"""What one of a pipeline's commands was answered, while others may have run."""

_ROUTED_ANSWERS = frozenset({Happened.REDIRECTED, Happened.POSTPONED, Happened.UNSERVED})
"""The same, of a node of a Cluster that is used like one server."""

_BELIEVED_ONCE = frozenset(
    {Happened.REDIRECTED, Happened.POSTPONED, Happened.UNSERVED, Happened.SHORT}
)
"""What a script may have answered by itself, in the server's words, after it has written."""

_ONCE_MORE = frozenset({Happened.LOST, Happened.REFUSED})
"""After what a command goes out once more, if it does."""

_SCRIPT_ANSWERED = _BELIEVED_ONCE | _ANSWERED
"""What leaves open whether a script has run: it may answer so by itself, after it has written."""


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
        repeated: Whether it was sent again already after a lost reply or a refusal; a script,
            also after a redirect.
        routed: Whether it goes to wherever a Cluster has its slot.
    """
    maybe_executed = sent_before or happened in _SENT
    answered = happened in _ANSWERED or (happened in _ROUTED_ANSWERS and not routed)
    if answered and kind in PIPELINES:
        return Verdict(Step.RAISE, True)
    if kind in _SCRIPTS and happened in _SCRIPT_ANSWERED:
        maybe_executed = True
    return Verdict(_step(kind, happened, repeated=repeated, routed=routed), maybe_executed)


def _step(kind: Kind, happened: Happened, *, repeated: bool, routed: bool) -> Step:
    if kind in _WATCHED:
        return Step.RAISE
    if happened is Happened.NOT_SENT:
        return Step.AGAIN
    if kind is Kind.SCRIPT and repeated and happened in _BELIEVED_ONCE:
        return Step.RAISE
    if happened is Happened.SHORT:
        return Step.WAIT_AGAIN
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
        answered: Whether it was sent before, and answered.
    """

    __slots__ = ("_repeated", "_routed", "kind", "maybe_executed")

    def __init__(self, kind: Kind, *, routed: bool = False, answered: bool = False) -> None:
        self.kind = kind
        self.maybe_executed = self._repeated = answered and kind is Kind.SCRIPT
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
        once_more = _ONCE_MORE | _BELIEVED_ONCE if self.kind is Kind.SCRIPT else _ONCE_MORE
        self._repeated = self._repeated or happened in once_more
        return verdict.step

    def was_answered(self) -> None:
        """Note that a part of the command was answered: a loss from then on is a new one."""
        self._repeated = False

    def error(self, error: Exception, instance: str) -> Exception:
        """Return what the caller sees of *error*, which says whether the command may have run."""
        if isinstance(error, Interrupted):
            error = error.reply_lost(instance)
        seen = error if isinstance(error, RedisManagerError) else from_reply(error, instance)
        if isinstance(seen, RedisManagerError):
            seen.maybe_executed = seen.maybe_executed or self.maybe_executed
        return seen


def kind_of(args: tuple[Any, ...]) -> Kind:
    """Return what a single command is, however its name is spelled."""
    command = SHARED.get(args[0])
    if command is None:
        args = in_words(args)
        command = SHARED.get(upper_word(args[0]))
    if command is not None and command.read_only:
        return Kind.READ
    name = upper_word(args[0])
    if name in SCRIPTS:
        return Kind.SCRIPT
    if name == "XREAD" and not new_only(args):
        return Kind.READ
    return Kind.WRITE if blocking_timeout(args) is None else Kind.BLOCKING


def kind_of_watched(args: tuple[Any, ...]) -> Kind:
    """Return what a command is on a connection that it cannot leave."""
    return Kind.WATCHED_SCRIPT if kind_of(args) is Kind.SCRIPT else Kind.WATCHED


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
        return _ours(error)
    if isinstance(error, MovedError | AskError):
        return Happened.REDIRECTED
    if isinstance(error, SlotNotCoveredError):
        return Happened.UNCOVERED
    if isinstance(error, TryAgainError) and moves_on(error):
        return Happened.POSTPONED
    meaning = meaning_of(error)
    return Happened.FAILED if meaning is None else MEANT[meaning]


def what_a_read_met(error: Exception) -> Happened:
    """Return the same for what reads: that it may have run does not keep it from going on."""
    if type(error) is RedisUnavailableError:
        return Happened.UNSERVED if is_unserved(error) else Happened.UNAVAILABLE
    return what_happened(error)


def _ours(error: RedisManagerError) -> Happened:
    if error.maybe_executed:
        return Happened.FAILED
    if type(error) is not RedisUnavailableError:
        return Happened.BARRED
    return Happened.UNSERVED if is_unserved(error) else Happened.UNAVAILABLE


def is_unserved(error: RedisManagerError) -> bool:
    """Whether a Cluster said that it does not serve the slot."""
    cause = error.__cause__
    return cause is not None and meaning_of(cause) is Meaning.UNSERVED


def may_have_run(outcome: object, kind: Kind) -> bool:
    """Return whether a part of something larger may have run that ended with *outcome*.

    An error that a server answered with says that it did not, unless a script made it.
    """
    if isinstance(outcome, RedisManagerError):
        return outcome.maybe_executed
    return kind is Kind.SCRIPT or not isinstance(outcome, Exception)


def ran_in_part(commands: Collection[tuple[Any, Any]], outcomes: list[Any]) -> bool:
    """Return whether commands of a transaction may have run although it ended with an error.

    Args:
        commands: Its commands, with their options.
        outcomes: What MULTI, each of them and EXEC were answered, as far as that was read.
    """
    if not outcomes or outcomes[-1] is None:
        return False
    begun, ended = outcomes[0], outcomes[-1]
    if len(outcomes) < len(commands) + 2:
        return isinstance(begun, Exception)
    if not isinstance(begun, Exception):
        # Whatever else EXEC is answered, it may have run or may still.
        return not isinstance(ended, DISCARDED)
    # Without MULTI each ran as it came; an error of a script is no proof that it did not.
    if not all(isinstance(each, Exception) for each in outcomes):
        return True
    return any(kind_of(args) is Kind.SCRIPT for args, _ in commands)


def short_of_replicas(replies: list[Any]) -> Exception | None:
    """Return the error by which a transaction was refused as a whole for want of replicas."""
    if isinstance(replies[0], Exception) or not isinstance(replies[-1], ExecAbortError):
        return None
    error = next(each for each in replies if isinstance(each, Exception))
    return error if what_happened(error) is Happened.SHORT else None
