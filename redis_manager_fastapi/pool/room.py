"""Who waits for room on a pool's shared connections, and what takes too much of it.

First in, first out: the connections take the requests from here themselves, so that no command that
comes later, on whichever connection, gets ahead of one that waits.
"""

import asyncio
import time
from collections import OrderedDict
from functools import partial

from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.pool.request import Request
from redis_manager_fastapi.pool.written import Writes

LARGE_REPLY = 1024 * 1024
"""More bytes than this, and everybody behind a reply waits for it."""

# How long (seconds) the size of a reply is remembered, and of how many.
_MEMORY = 60.0
_MOST = 1000


class Room:
    """The requests that wait until a connection has room for them.

    Attributes:
        waiting: Those that do, by the future that says when they no longer do.
        alone: Hashes of requests whose reply was large, and until when each takes a connection
            of its own.
        writes: Is told of those that write, when a connection takes them.
    """

    writes: Writes | None = None

    def __init__(self) -> None:
        self.alone: OrderedDict[int, float] = OrderedDict()
        self.waiting: OrderedDict[Request, asyncio.Future[None]] = OrderedDict()

    def enter(self, request: Request) -> asyncio.Future[None]:
        """Have *request* wait; the future is done when it waits no longer, for either reason."""
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[request] = entered
        return entered

    def leave(self, request: Request) -> bool:
        """Have *request* wait no more; return whether it still did."""
        return self.waiting.pop(request, None) is not None

    def next(self) -> Request | None:
        """Take the request that has waited longest; None if none waits."""
        while self.waiting:
            request, entered = self.waiting.popitem(last=False)
            if not entered.done():
                entered.set_result(None)
                if self.writes is not None:
                    self.writes.note(request)
                return request
        return None

    def clear(self) -> None:
        """Tell all who wait that there is no connection: they were not sent."""
        waiting = list(self.waiting.items())
        self.waiting.clear()
        now = asyncio.get_running_loop().time()
        turnstile().spread(partial(_dismiss, request, entered, now) for request, entered in waiting)

    def note_large(self, packed: bytes) -> None:
        """The reply to *packed* is large: the same request had better go alone for a while."""
        known = hash(packed)
        self.alone[known] = time.monotonic() + _MEMORY
        self.alone.move_to_end(known)
        if len(self.alone) > _MOST:
            self.alone.popitem(last=False)

    def goes_alone(self, packed: bytes) -> bool:
        """Whether the reply to *packed* was large not long ago."""
        known = hash(packed)
        until = self.alone.get(known)
        if until is None:
            return False
        if until > time.monotonic():
            return True
        del self.alone[known]
        return False


def _dismiss(request: Request, entered: "asyncio.Future[None]", now: float) -> None:
    """Tell a request's caller that it was not sent."""
    request.interrupt(now, written=False)
    if not entered.done():
        entered.set_result(None)
