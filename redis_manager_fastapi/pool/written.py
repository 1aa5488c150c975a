"""Who is to know what this process writes, before whoever wrote it goes on.

A cache in the process drops a key when a write to it is sent, and once more when it is
answered: what was read in between may be older.  Until somebody listens, writes pass
as if this module were not there.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol
from weakref import WeakMethod, WeakSet

from redis_manager_fastapi.commands.written import commands_in, keys_written
from redis_manager_fastapi.pool.request import Request

Keys = Iterable[bytes] | None
"""Keys that a write names; None is all there are."""

# Past a call's own method of that name: a call is a future only for its reply.
_when_done: Any = asyncio.Future.add_done_callback


class WriteListener(Protocol):
    """Who wants to know of writes."""

    def wrote(self, keys: Keys) -> None:
        """A write to *keys* is being sent, or was answered."""
        ...


class Writes:
    """The writes of all connections of a deployment.

    Attributes:
        listener: Who is told of them; None while nobody wants to know.
        connections: The dedicated connections that were made, as long as they live.
    """

    def __init__(self) -> None:
        self.listener: WriteListener | None = None
        self.connections: WeakSet[Any] = WeakSet()
        self._waiting: list[WeakMethod[Callable[[], None]]] = []

    def call_when_wanted(self, call: Callable[[], None]) -> None:
        """Call a bound method, as long as its object lives, when somebody begins to listen."""
        self._waiting = [each for each in self._waiting if each() is not None]
        self._waiting.append(WeakMethod(call))

    def listen(self, listener: WriteListener) -> None:
        """Tell *listener* of every write from now on."""
        self.listener = listener
        for waiting in self._waiting:
            if (call := waiting()) is not None:
                call()

    def tell(self, keys: Keys) -> None:
        """Tell of a write to *keys* that is being sent, or was answered."""
        if self.listener is not None:
            self.listener.wrote(keys)

    def note(self, request: Request) -> None:
        """Tell of *request*, unless it reads, now and when its future is done."""
        if request.read_only:
            return
        keys = written_by(request.packed)
        self.tell(keys)
        # Whoever waits for the reply comes later in the same queue of the loop.
        _when_done(request.future, partial(self._answered, keys))

    def _answered(self, keys: Keys, future: "asyncio.Future[Any]") -> None:
        self.tell(keys)


def written_by(packed: bytes) -> Keys:
    """Return the keys that the commands of a packed request may write."""
    keys: list[bytes] = []
    for command in commands_in(packed):
        found = keys_written(command)
        if found is None:
            return None
        keys += found
    return keys
