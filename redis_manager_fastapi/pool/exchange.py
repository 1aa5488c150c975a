"""A connection that knows what is on its way over it, and who is to blame if no reply comes."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from redis_manager_fastapi.commands.blocking import upper_word
from redis_manager_fastapi.errors import Cause, CommandTimeoutError, ReplyLostError
from redis_manager_fastapi.pool.causes import Connection, Finding, WhyLate
from redis_manager_fastapi.pool.request import explained, timed_out
from redis_manager_fastapi.redis_py import AbortableConnection, is_unacknowledged


class Pieces(Protocol):
    """What a stream reads from.

    Attributes:
        heard_at: When bytes last came, on the loop's clock.
        received: How many have come since a command was last sent.
        question: Whose answer is looked for in them, a `Question`; None for none.
    """

    heard_at: float
    received: int
    question: Any


class ExchangeConnection(AbortableConnection):
    """A redis-py connection whose errors name the command, and the culprit.

    Attributes:
        instance: The name of the manager, for errors.
        listens: Whether a subscription or MONITOR has begun on it, so that no reply is owed.
        why_late: Says why a reply did not come; set by whoever leases it.
        parts: How many parts of the present blocking command were answered.
    """

    instance = "default"
    listens: bool = False
    why_late: WhyLate | None = None
    parts: int = 0

    _pieces: Pieces | None = None
    _first: Any = ""
    _packed = _to_come = 0
    _begun_at = _until = 0.0
    _clock: Callable[[], float] = time.monotonic
    _cause = Cause.CONNECTION_LOST
    _serving = _was_lost = False
    _blocking = 0.0

    def blocks_beyond(self, when: float) -> bool:
        """Whether it is blocked, and will be at *when*, on the loop's clock."""
        return self._to_come > 0 and self._until > when

    def drop(self) -> None:
        """Drop the connection under its holder, who learns why."""
        self._cause = self.finding(self._begun_at, asyncio.get_running_loop().time()).cause
        self.abort()

    def leave(self) -> None:
        """Drop the connection because it is not wanted any more."""
        self._cause = Cause.CLOSED
        self.abort()

    def finding(self, since: float, now: float) -> Finding:
        """Return why a command of *since*, on the loop's clock, has no reply by *now*."""
        if self.why_late is None or self._pieces is None:
            return Finding(self._cause)
        heard_at, received = self._pieces.heard_at, self._pieces.received
        writer, begun = self._writer, received > 0 and self._packed == 1
        lost = self.unacknowledged if writer is None else is_unacknowledged(writer.transport)
        seen = Connection(heard_at, received, begun, lost)
        return self.why_late(since, now, seen, self)

    @property
    def _what(self) -> str:
        """What is on its way, in words: the command's name."""
        name = upper_word(self._first).partition(" ")[0]
        if self._packed == 1:
            return name
        return "a transaction" if name == "MULTI" else "a pipeline"

    def _explain(self, error: Exception) -> None:
        """Have an error over a reply that is no UTF-8 say what that answers."""
        if isinstance(error, UnicodeDecodeError):
            explained(error, "a message" if self.listens else f"reply to {self._what}")

    def _error(self, what: str, *, maybe_executed: bool = True) -> ReplyLostError:
        """Return the error for a lost reply, or for a connection that owed none."""
        message, cause = f"the connection to redis {self.instance!r} {what}", self._cause
        if maybe_executed and self._packed and not self.listens:
            seconds = asyncio.get_running_loop().time() - self._begun_at
            what = f"{self._what} on redis {self.instance!r} lost its reply after {seconds:.2g} s"
            message = f"{what}: {cause.words}"
        return ReplyLostError(
            message, instance=self.instance, maybe_executed=maybe_executed, cause=cause
        )

    def _lost(self, what: str, *, maybe_executed: bool = True) -> ReplyLostError:
        self._was_lost = True
        self.abort()
        return self._error(what, maybe_executed=maybe_executed)

    def _late(self) -> CommandTimeoutError:
        """Return the error for a reply that did not come within redis-py's limit for a read."""
        now, limit = asyncio.get_running_loop().time(), self.socket_timeout or 0.0
        finding = self.finding(self._begun_at, now)
        return timed_out(self._what, self.instance, limit, finding, written=True)
