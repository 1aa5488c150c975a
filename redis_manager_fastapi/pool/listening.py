"""A connection that somebody listens on: a pub/sub, which outlives it, or MONITOR.

When it is lost, a pub/sub object gets another one in its place: it is connected again by way
of the pool, within grace, and redis-py's own callbacks subscribe to all channels again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import redis.exceptions as redis_errors

from redis_manager_fastapi.commands.blocking import blocking_timeout, upper_word
from redis_manager_fastapi.commands.sharing import UNANSWERED
from redis_manager_fastapi.errors import Cause, RedisManagerError, ReplyLostError
from redis_manager_fastapi.pool.watched import WatchedConnection, answers_question
from redis_manager_fastapi.topology.failures import refusal_code

_CONFIRMED = frozenset(
    word for kind in ("psubscribe", "ssubscribe", "subscribe") for word in (kind, kind.encode())
)

# How many parts a message has; all others have three.
_PARTS = {"pmessage": 4, b"pmessage": 4, "pong": 2, b"pong": 2}

# What hiredis raises of bytes that are no reply; it reads nothing after that.
UNREADABLE = (redis_errors.InvalidResponse, LookupError, MemoryError, TypeError, ValueError)

BEFORE = "was lost before the reply came"


class ListeningConnection(WatchedConnection):
    """A redis-py connection that a pub/sub may keep for longer than its socket lives.

    Attributes:
        reconnect: Connects it again once it has served, by way of the pool, for which redis-py's
            pub/sub must wait like any caller; None as long as it has no pool.
        sent: Takes every command that is packed, while somebody wants to know.
        for_one_command: Whether its holder has it for one command, which may go out elsewhere.
        left_behind: Whether the pool has gone to another server since.
        when_resubscribed: Called when a pub/sub's channels are back after the connection was
            lost: with how many there are, and for how many seconds nothing was heard.
    """

    reconnect: Callable[[Any], Awaitable[None]] | None = None
    sent: list[tuple[Any, ...]] | None = None
    when_resubscribed: Callable[[int, float], None] | None = None
    for_one_command = left_behind = False

    _farewell: Callable[[], RedisManagerError] | None = None
    _parts_at = 0.0
    _resubscribing = False
    _channels = _unconfirmed = 0
    _missing_since: float | None = None

    def _count_answer(self) -> None:
        """Count an answer."""
        raise NotImplementedError

    def _note_outcome(self, outcome: Any) -> None:
        """Note what a reply, or an error, says of the session and of its transaction."""
        raise NotImplementedError

    @property
    def confirmed(self) -> bool:
        """Whether the server has confirmed every channel that was asked for."""
        return self._unconfirmed == 0

    def _listen_anew(self) -> None:
        """Begin a session, in which nothing is subscribed yet."""
        self.listens, self._asks, self._owed = False, False, None
        self._channels = self._unconfirmed = 0

    def _note_listening(self, channels: int) -> None:
        self.listens, self._whole_at = True, self._clock()
        self._channels += channels
        self._unconfirmed += channels

    def say_goodbye(self, farewell: Callable[[], RedisManagerError], ends: float) -> None:
        """Have the holder, who listens, get the error that *farewell* makes.

        A pub/sub's gets it when the server has closed the connection, which it does because
        nothing more will be sent; what it sent before still arrives.  One that blocks gets
        it when the server is asked to unblock it, or would begin to block beyond *ends*, on the
        loop's clock.  All others go on.
        """
        self._farewell, self._parts_at = farewell, ends
        if not self.listens or self._writer is None or self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS
            self.abort()

    def move_on(self) -> None:
        """Leave for the server that the pool has gone to, as far as the holder need not notice.

        A pub/sub is subscribed again there, and a command that blocks goes there with its next
        part.  What else is held may have a state that only this server knows.
        """
        self.left_behind = True
        if self._subscribed:
            self.drop()

    def refuse_to_outlast(self, args: tuple[Any, ...]) -> None:
        """Raise the farewell, if it was said, in the place of a command that would block beyond."""
        if self._farewell is None or (seconds := blocking_timeout(args)) is None:
            return
        if seconds == 0 or self._clock() + seconds > self._parts_at:
            raise self._parting(self._farewell)

    @staticmethod
    def _parting(
        farewell: Callable[[], RedisManagerError], *, maybe_executed: bool = False
    ) -> RedisManagerError:
        error = farewell()
        error.maybe_executed = maybe_executed
        return error

    def _gone(self, how: str, *, blocking: bool) -> Exception:
        """Return the error for a connection that ended before the reply came."""
        if self._farewell is None and self.was_silent and self.watch is not None:
            seconds, self._cause = self.watch.interval + self.watch.timeout, Cause.NETWORK_SILENT
            return self._lost(f"was silent for {seconds:g} s, and is dropped")
        if self._farewell is None or not (self.listens or blocking):
            return self._lost(how)
        self.abort()
        return self._parting(self._farewell, maybe_executed=blocking)

    def _seen(self, error: Exception) -> Exception:
        """Return what the holder sees of an error that came in a reply's place."""
        if isinstance(error, redis_errors.TimeoutError):
            return self._late()
        if isinstance(error, redis_errors.ConnectionError):
            if self._serving and error.status_code is None:
                return self._gone(BEFORE, blocking=self._blocking > 0)
            if error.status_code is not None:
                self._note_outcome(error)
            return error
        if isinstance(error, redis_errors.ResponseError):
            self._count_answer()
            self._note_outcome(error)
            if self._farewell is not None and str(error).startswith("UNBLOCKED"):
                return self._parting(self._farewell, maybe_executed=self._packed > 1)
            return error
        if isinstance(error, UNREADABLE):
            if not self._serving:
                return redis_errors.InvalidResponse(str(error))
            return self.misread()
        return error

    async def resubscribe(self) -> None:
        """Have a pub/sub that holds the connection take up its channels again."""
        self._resubscribing = True
        try:
            for reference in self._connect_callbacks:
                callback = reference()
                if callback is not None:
                    # Those of a pub/sub are coroutines; redis-py's type has plain functions too.
                    await callback(self)  # pyright: ignore[reportGeneralTypeIssues]
        finally:
            self._resubscribing = False

    def continue_from(self, other: "ListeningConnection") -> None:
        """Take the place of *other*, whose subscriptions are taken up again on this one."""
        self._missing_since = other._missing_since  # noqa: SLF001 (its own)

    def note_loss(self) -> None:
        """Note since when a subscription hears nothing, once until it is taken up again."""
        if self._missing_since is None and self.listens and self._connect_callbacks:
            now = asyncio.get_running_loop().time()
            self._missing_since = now if self._pieces is None else self._pieces.heard_at

    async def _hear(self, disable_decoding: bool, timeout: float | None, **kwargs: Any) -> Any:
        """Read what a listener gets, and nothing of what is there because we asked.

        Raises:
            redis.DataError: A client sent SUBSCRIBE as a command, and waits for its one reply.
        """
        if self.sent and (name := upper_word(self.sent[-1][0])) in UNANSWERED:
            self.abort()
            raise redis_errors.DataError(UNANSWERED[name])
        clock = asyncio.get_running_loop().time
        ends = clock() + (inf if timeout is None else timeout)
        while True:
            try:
                reply = await self._read_message(disable_decoding, timeout, **kwargs)
            except ReplyLostError:
                if not self._subscribed:
                    raise
                await self.connect()
            except redis_errors.ResponseError as error:
                asked = self._forget_question()
                if not asked or self._unconfirmed or refusal_code(error) is None:
                    self._unconfirmed = 0
                    raise
            else:
                self._found_nothing = reply is None
                if not answers_question(reply):
                    self._note_confirmed(reply)
                    return reply
                self._forget_question()
            if timeout is not None:
                timeout = max(0.0, ends - clock())

    async def _read_message(self, *args: Any, **kwargs: Any) -> Any:
        swallowed = self._answer_came_at is not None
        reply = await self._read(*args, **kwargs)
        if reply is None:
            if swallowed:  # all that had come before is a part of what is not complete
                raise self.misread()
            return None
        self._whole_at = self._clock()
        if self._subscribed and not _is_whole(reply):
            raise self.misread()
        return reply

    @property
    def _subscribed(self) -> bool:
        """Whether a pub/sub holds the connection, so that another one is as good."""
        return self.listens and bool(self._connect_callbacks) and self.reconnect is not None

    def _note_confirmed(self, reply: Any) -> None:
        """Count what the server confirms, and tell when all channels are back after a loss."""
        if not self._unconfirmed or not isinstance(reply, list) or reply[0] not in _CONFIRMED:
            return
        self._unconfirmed -= 1
        since, when_resubscribed = self._missing_since, self.when_resubscribed
        if self._unconfirmed == 0 and since is not None:
            self._missing_since = None
            if when_resubscribed is not None:
                when_resubscribed(self._channels, asyncio.get_running_loop().time() - since)

    def _may_ask(self) -> bool:
        return super()._may_ask() and self._farewell is None


def _is_whole(reply: Any) -> bool:
    """Whether redis-py's pub/sub can make a message of *reply*, if that is an array."""
    if not isinstance(reply, list):
        return True
    if not reply or not isinstance(reply[0], str | bytes):
        return False
    return len(reply) >= _PARTS.get(reply[0], 3)
