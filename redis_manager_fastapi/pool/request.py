"""One command, or one batch of commands, on its way over a multiplexed connection."""

import asyncio
from typing import Any

import hiredis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    ExecAbortError,
    NoPermissionError,
    TryAgainError,
)

from redis_manager_fastapi.commands.packing import ASKING
from redis_manager_fastapi.errors import Cause, CommandTimeoutError, ReplyLostError
from redis_manager_fastapi.pool.causes import Finding
from redis_manager_fastapi.pool.reader import UnhashableReplyError
from redis_manager_fastapi.topology.failures import refusal_code

Reply = asyncio.Future[Any]

# With these EXEC says that it has discarded the transaction: a Cluster's node redirects it as
# a whole, before its first command.
DISCARDED = (ExecAbortError, AskError, TryAgainError, ClusterDownError)

# Those of a server that does not serve now; what it refuses writes with answers no PING.
_TO_ANY_COMMAND = frozenset({"BUSY", "LOADING", "MASTERDOWN", "MISCONF"})

ENDED = (list, UnhashableReplyError, UnicodeDecodeError, *DISCARDED)
"""What EXEC is answered by, beside nil, when the transaction has ended."""


class Interrupted(Exception):  # noqa: N818 (never leaves the library)
    """The connection was lost under a command.

    Attributes:
        written: Whether the command had been handed to the socket.
        cause: Why.
        what: The command's name.
        seconds: How long it had waited.
    """

    def __init__(
        self,
        *,
        written: bool,
        cause: Cause = Cause.CONNECTION_LOST,
        what: str = "a command",
        seconds: float = 0.0,
    ) -> None:
        super().__init__()
        self.written, self.cause, self.what, self.seconds = written, cause, what, seconds

    def reply_lost(self, instance: str) -> ReplyLostError:
        """Return the error for a caller whose command is not sent again."""
        after = f"after {self.seconds:.2g} s"
        message = f"{self.what} on redis {instance!r} lost its reply {after}: {self.cause.words}"
        return ReplyLostError(message, instance=instance, cause=self.cause)


TOLD_IN_TURN = (Interrupted, CommandTimeoutError)
"""What callers are told of a few in each turn of the loop already."""


class DoubtfulReplyError(Exception):
    """A reply after which no further one may be handed to anybody; says why, in words."""


class Request:
    """A packed command, and what becomes of its reply.

    Attributes:
        packed: The bytes to write.
        began: When it was made, on the loop's clock.
        future: Done as soon as nobody waits for the reply any more.
        deadline: When its time is up, on the loop's clock.
        decodes: Whether strings in the reply become `str`.
        read_only: Whether it may be sent again after it was written.
        script: Whether a script is in it, whose reply has to be proven to be one.
    """

    __slots__ = ()

    packed: bytes
    began: float
    future: Reply
    deadline: float
    decodes: bool
    read_only: bool
    script: bool = False

    def finish(self, outcome: Any) -> None:
        """Hand over a reply, or an exception as a value; a caller that has left gets nothing."""
        if not self.future.done():
            self.future.set_result(outcome)

    def interrupt(self, now: float, cause: Cause = Cause.CONNECTION_LOST, *, written: bool) -> None:
        """Tell the caller that the connection is gone."""
        if not self.future.done():
            what, seconds = self.what(), now - self.began
            self.finish(Interrupted(written=written, cause=cause, what=what, seconds=seconds))

    def what(self) -> str:
        """Return what it is, in words: the command's name."""
        return _name(self.packed)

    def no_text(self, error: UnicodeDecodeError) -> UnicodeDecodeError:
        """Return *error*, which now says what the reply that is no UTF-8 answers."""
        return explained(error, f"reply to {self.what()}")

    def expire(self, instance: str, finding: Finding, *, written: bool) -> None:
        """Tell the caller that its time is up, and why."""
        limit = self.deadline - self.began
        self.finish(timed_out(self.what(), instance, limit, finding, written=written))


class SingleRequest(Request):
    """A request whose sender waits on its future.

    The future's result is the reply as parsed, or an exception *value*, the
    server's or ours: the sender raises it, so that the exception of a caller
    that was cancelled meanwhile is never reported as unretrieved.

    It has no `__init__`: CPython 3.11 and 3.12 call one in twice the time that the
    assignments take.  `new_request` is for where a command's time does not matter.
    """

    __slots__ = ("began", "deadline", "decodes", "future", "packed", "read_only")

    def renew(self) -> None:
        """Make ready to be sent again."""
        self.future = asyncio.get_running_loop().create_future()


class ScriptRequest(SingleRequest):
    """A request of a script."""

    __slots__ = ()

    script = True


def new_request(
    packed: bytes,
    future: Reply,
    deadline: float,
    *,
    decode: bool,
    read_only: bool,
) -> SingleRequest:
    """Return a request with these attributes, which begins now."""
    request = SingleRequest()
    request.began = asyncio.get_running_loop().time()
    request.packed, request.future, request.deadline = packed, future, deadline
    request.decodes, request.read_only = decode, read_only
    return request


class Batch(SingleRequest):
    """Several commands in one contiguous write; the result is the list of their replies.

    Attributes:
        expected: How many replies there will be.
        multi: Which of them is MULTI's, if the last is EXEC's; else None.
        own: Whether the library asks for itself, and counts none of them.
        replies: Those that have come.
    """

    __slots__ = ("expected", "multi", "own", "replies", "script")

    def __init__(
        self,
        packed: bytes,
        future: Reply,
        deadline: float,
        decode: bool,
        read_only: bool,
        *,
        began: float,
        expected: int,
        multi: int | None = None,
        own: bool = False,
        script: bool = False,
    ) -> None:
        self.began = began
        self.packed, self.future, self.deadline = packed, future, deadline
        self.decodes, self.read_only, self.script = decode, read_only, script
        self.expected, self.multi, self.own = expected, multi, own
        self.replies: list[Any] = []

    def renew(self) -> None:
        """Make ready to be sent again, without the replies of the first time."""
        super().renew()
        self.replies = []

    def what(self) -> str:
        """Return what it is, in words."""
        if self.multi is not None:
            return "a transaction"
        if self.expected == 2 and self.packed.startswith(ASKING):
            return _name(self.packed[len(ASKING) :])
        return "a pipeline"

    def no_text(self, error: UnicodeDecodeError) -> UnicodeDecodeError:
        """Return *error*, which now names the command whose reply comes next."""
        if self.multi is not None:
            return super().no_text(error)
        commands: Any = hiredis.Reader()
        commands.feed(self.packed)
        name = [commands.gets()[0] for _ in range(len(self.replies) + 1)][-1]
        return explained(error, f"reply to {name.decode(errors='replace')}")

    def add(self, reply: Any) -> bool:
        """Take one reply; return whether it was the last."""
        self.replies.append(reply)
        return len(self.replies) == self.expected

    @property
    def refused(self) -> bool:
        """Whether EXEC was answered by what it does not answer when the transaction ends."""
        last = self.replies[-1]
        return self.multi is not None and not (last is None or isinstance(last, ENDED))

    @property
    def unended(self) -> bool:
        """Whether the server may still queue what comes, instead of executing it."""
        return self.refused and not isinstance(self.replies[self.multi or 0], Exception)


class Heartbeat(SingleRequest):
    """A PING with a number, whose answer must be exactly its own.

    The result of its future is PONG, or the exception with which a server says that it
    does not serve.

    Attributes:
        number: What the server has to repeat.
        answer: The bytes that end its answer on the wire.
        refusal: The words of the server's error, if that was its answer.
    """

    __slots__ = ("answer", "number", "refusal")

    refusal: str | None

    def __init__(self, number: bytes, future: Reply, began: float, deadline: float) -> None:
        packed: Any = hiredis.pack_command(("PING", number))  # type: ignore[arg-type]
        self.packed = packed
        self.future, self.deadline = future, deadline
        self.began, self.decodes, self.read_only = began, False, True
        self.number, self.answer, self.refusal = number, number + b"\r\n", None

    def found_in(self, last: bytes, data: bytes) -> tuple[int, bytes]:
        """Look for its answer in *data*, which follows *last*.

        Returns:
            Where in *data* it begins, -1 if nowhere, and the bytes to look at again.
        """
        recent = last + data
        found = recent.find(self.answer)
        return max(found - len(last), 0) if found >= 0 else -1, recent[1 - len(self.answer) :]

    def finish(self, outcome: Any) -> None:
        """Take the answer.

        Raises:
            DoubtfulReplyError: It belongs to another command.
        """
        lost = isinstance(outcome, Interrupted)
        self.refusal = str(outcome) if isinstance(outcome, Exception) and not lost else None
        if outcome == self.number:
            super().finish("PONG")
        elif lost or _may_answer_ping(outcome):
            super().finish(outcome)
        else:  # somebody's data, which nobody may be told
            super().finish(Interrupted(written=True, cause=Cause.BAD_REPLY))
            raise DoubtfulReplyError("a heartbeat was answered by another command's reply")

    def expire(self, instance: str, finding: Finding, *, written: bool) -> None:
        """Go on waiting: whether the server is silent is for the supervisor to say."""


def timed_out(
    what: str, instance: str, timeout: float, finding: Finding, *, written: bool
) -> CommandTimeoutError:
    """Return the error for *what* got no reply, or was not even sent, within its time."""
    became = "got no reply" if written else "could not be sent"
    return CommandTimeoutError(
        f"{what} on redis {instance!r} {became} within {timeout:g} s: {finding.cause.words}",
        instance=instance,
        maybe_executed=written,
        cause=finding.cause,
        blocked_at=finding.blocked_at,
    )


def explained(error: UnicodeDecodeError, what: str) -> UnicodeDecodeError:
    """Return the error for what is no UTF-8, which now says *what* that is, and the remedy."""
    error.reason += f" ({what}; take r.with_options(decode_responses=False) for bytes)"
    return error


def first_piece(requests: list[Request], least: int) -> tuple[list[Request], list[Request]]:
    """Split off the first of *requests*: as few as have *least* bytes, one at least."""
    size = 0
    for count, request in enumerate(requests, 1):
        size += len(request.packed)
        if size >= least:
            return requests[:count], requests[count:]
    return requests, []


def _name(packed: bytes) -> str:
    """Return the name of the first command in *packed*."""
    return packed[:64].split(b"\r\n", 3)[2].decode(errors="replace")


def _may_answer_ping(reply: Any) -> bool:
    """Whether *reply* is one of the errors that a server has for any command, PING included."""
    if isinstance(reply, AuthenticationError | NoPermissionError):
        return True
    return isinstance(reply, Exception) and refusal_code(reply) in _TO_ANY_COMMAND
