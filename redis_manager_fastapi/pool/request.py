"""One command, or one batch of commands, on its way over a multiplexed connection."""

import asyncio
from typing import Any

from redis_manager_fastapi.errors import CommandTimeoutError


class Interrupted(Exception):  # noqa: N818 (never leaves the library)
    """The connection was lost under a command.

    Attributes:
        written: Whether the command had been handed to the socket.
    """

    def __init__(self, *, written: bool) -> None:
        super().__init__()
        self.written = written


class Request:
    """A packed command and the future of its reply.

    The future's result is the reply as parsed, or an exception *value*, the
    server's or ours: the caller raises it, so that the exception of a caller
    that was cancelled meanwhile is never reported as unretrieved.

    Attributes:
        packed: The bytes to write.
        decode: Whether strings in the reply become `str`.
        read_only: Whether it may be sent again after it was written.
        deadline: When its time is up, on the loop's clock.
        future: Where the reply arrives.
        written: Whether it was handed to the socket.
    """

    __slots__ = ("deadline", "decode", "future", "packed", "read_only", "written")

    def __init__(
        self,
        packed: bytes,
        future: "asyncio.Future[Any]",
        deadline: float,
        *,
        decode: bool,
        read_only: bool,
    ) -> None:
        self.packed = packed
        self.future = future
        self.deadline = deadline
        self.decode = decode
        self.read_only = read_only
        self.written = False

    def finish(self, outcome: Any) -> None:
        """Hand over a reply, or an exception as a value; too late for a caller that left."""
        if not self.future.done():
            self.future.set_result(outcome)

    def renew(self, future: "asyncio.Future[Any]") -> None:
        """Make ready to be sent again."""
        self.future = future
        self.written = False

    def interrupt(self) -> None:
        """Tell the caller that the connection is gone."""
        self.finish(Interrupted(written=self.written))

    def expire(self, instance: str) -> None:
        """Tell the caller that its time is up."""
        message = "no reply before the command's deadline"
        self.finish(CommandTimeoutError(message, instance=instance, maybe_executed=self.written))


class Batch(Request):
    """Several commands in one contiguous write; the result is the list of their replies."""

    __slots__ = ("_expected", "replies")

    def __init__(
        self,
        packed: bytes,
        future: "asyncio.Future[Any]",
        deadline: float,
        *,
        decode: bool,
        read_only: bool,
        expected: int,
    ) -> None:
        super().__init__(packed, future, deadline, decode=decode, read_only=read_only)
        self._expected = expected
        self.replies: list[Any] = []

    def renew(self, future: "asyncio.Future[Any]") -> None:
        """Make ready to be sent again, without the replies of the first time."""
        super().renew(future)
        self.replies = []

    def add(self, reply: Any) -> bool:
        """Take one reply; return whether it was the last."""
        self.replies.append(reply)
        return len(self.replies) == self._expected
