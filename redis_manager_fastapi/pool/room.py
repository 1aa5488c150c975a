"""Who waits for room on a pool's shared connections: first in, first out.

The connections take the requests from here themselves, so that no command that
comes later, on whichever connection, gets ahead of one that waits.
"""

import asyncio
from collections import OrderedDict

from redis_manager_fastapi.pool.request import Request


class Room:
    """The requests that wait until a connection has room for them.

    Attributes:
        waiting: Those that do, by the future that says when they no longer do.
    """

    def __init__(self) -> None:
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
                return request
        return None

    def clear(self) -> None:
        """Tell all who wait that there is no connection: they were not sent."""
        while (request := self.next()) is not None:
            request.interrupt(written=False)
