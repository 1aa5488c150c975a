"""One command, or one batch of commands, on its way over a multiplexed connection."""

import asyncio
from typing import Any

from redis_manager_fastapi.errors import CommandTimeoutError

Reply = asyncio.Future[Any]


class Interrupted(Exception):  # noqa: N818 (never leaves the library)
    """The connection was lost under a command.

    Attributes:
        written: Whether the command had been handed to the socket.
    """

    def __init__(self, *, written: bool) -> None:
        super().__init__()
        self.written = written


class Request:
    """A packed command, and what becomes of its reply.

    Attributes:
        packed: The bytes to write.
        future: Done as soon as nobody waits for the reply any more.
        deadline: When its time is up, on the loop's clock.
        decode: Whether strings in the reply become `str`.
        read_only: Whether it may be sent again after it was written.
    """

    __slots__ = ()

    packed: bytes
    future: Reply
    deadline: float
    decode: bool
    read_only: bool

    def finish(self, outcome: Any) -> None:
        """Hand over a reply, or an exception as a value; a caller that has left gets nothing."""
        if not self.future.done():
            self.future.set_result(outcome)

    def interrupt(self, *, written: bool) -> None:
        """Tell the caller that the connection is gone."""
        self.finish(Interrupted(written=written))

    def expire(self, instance: str, *, written: bool) -> None:
        """Tell the caller that its time is up."""
        name = self.packed[:64].split(b"\r\n", 3)[2].decode(errors="replace")
        what = "got no reply before its deadline" if written else "could not be sent in time"
        message = f"{name} on redis {instance!r} {what}"
        self.finish(CommandTimeoutError(message, instance=instance, maybe_executed=written))


class SingleRequest(Request):
    """A request whose sender waits on its future.

    The future's result is the reply as parsed, or an exception *value*, the
    server's or ours: the sender raises it, so that the exception of a caller
    that was cancelled meanwhile is never reported as unretrieved.

    It has no `__init__`: CPython 3.11 and 3.12 call one in twice the time that the
    assignments take.  `new_request` is for where a command's time does not matter.
    """

    __slots__ = ("deadline", "decode", "future", "packed", "read_only")

    def renew(self) -> None:
        """Make ready to be sent again."""
        self.future = self.future.get_loop().create_future()


def new_request(
    packed: bytes, future: Reply, deadline: float, *, decode: bool, read_only: bool
) -> SingleRequest:
    """Return a request with these attributes."""
    request = SingleRequest()
    request.packed, request.future, request.deadline = packed, future, deadline
    request.decode, request.read_only = decode, read_only
    return request


class Batch(SingleRequest):
    """Several commands in one contiguous write; the result is the list of their replies.

    Attributes:
        expected: How many replies there will be.
        replies: Those that have come.
    """

    __slots__ = ("expected", "replies")

    def __init__(
        self,
        packed: bytes,
        future: Reply,
        deadline: float,
        decode: bool,
        read_only: bool,
        *,
        expected: int,
    ) -> None:
        self.packed, self.future, self.deadline = packed, future, deadline
        self.decode, self.read_only = decode, read_only
        self.expected = expected
        self.replies: list[Any] = []

    def renew(self) -> None:
        """Make ready to be sent again, without the replies of the first time."""
        super().renew()
        self.replies = []

    def add(self, reply: Any) -> bool:
        """Take one reply; return whether it was the last."""
        self.replies.append(reply)
        return len(self.replies) == self.expected
