"""One command, or one batch of commands, on its way over a multiplexed connection."""

import asyncio
from typing import Any, Self

from redis_manager_fastapi.errors import CommandTimeoutError


class Interrupted(Exception):  # noqa: N818 (never leaves the library)
    """The connection was lost under a command.

    Attributes:
        written: Whether the command had been handed to the socket.
    """

    def __init__(self, *, written: bool) -> None:
        super().__init__()
        self.written = written


class Request(asyncio.Future[Any]):
    """A packed command that is awaited for its reply.

    Its result is the reply as parsed, or an exception *value*, the server's or
    ours: the caller raises it, so that the exception of a caller that was
    cancelled meanwhile is never reported as unretrieved.

    It is a future, and is filled in by `prepare`, because every command makes
    one: an object beside the future would cost half as much again.

    Attributes:
        packed: The bytes to write.
        decode: Whether strings in the reply become `str`.
        read_only: Whether it may be sent again after it was written.
        deadline: When its time is up, on the loop's clock.
    """

    __slots__ = ("deadline", "decode", "packed", "read_only")

    packed: bytes
    decode: bool
    read_only: bool
    deadline: float

    def prepare(self, packed: bytes, deadline: float, decode: bool, read_only: bool) -> Self:
        """Fill in what is to be sent, and return the request."""
        self.packed = packed
        self.deadline = deadline
        self.decode = decode
        self.read_only = read_only
        return self

    def again(self) -> "Request":
        """Return the same command as a request of its own, to be sent once more."""
        copy = Request(loop=self.get_loop())
        return copy.prepare(self.packed, self.deadline, self.decode, self.read_only)

    def finish(self, outcome: Any) -> None:
        """Hand over a reply, or an exception as a value; too late for a caller that left."""
        if not self.done():
            self.set_result(outcome)

    def interrupt(self, *, written: bool) -> None:
        """Tell the caller that the connection is gone."""
        self.finish(Interrupted(written=written))

    def expire(self, instance: str, *, written: bool) -> None:
        """Tell the caller that its time is up."""
        message = "no reply before the command's deadline"
        self.finish(CommandTimeoutError(message, instance=instance, maybe_executed=written))


class Batch(Request):
    """Several commands in one contiguous write; the result is the list of their replies."""

    __slots__ = ("_expected", "replies")

    def expect(self, replies: int) -> Self:
        """Say how many replies there will be, and return the batch."""
        self._expected = replies
        self.replies: list[Any] = []
        return self

    def again(self) -> "Batch":
        """Return the same batch, without the replies of the first time."""
        copy = Batch(loop=self.get_loop()).expect(self._expected)
        return copy.prepare(self.packed, self.deadline, self.decode, self.read_only)

    def add(self, reply: Any) -> bool:
        """Take one reply; return whether it was the last."""
        self.replies.append(reply)
        return len(self.replies) == self._expected
