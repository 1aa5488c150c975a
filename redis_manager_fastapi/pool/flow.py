"""Whether a reply that is long in coming goes on coming.

A large reply is waited for as long as its bytes flow; one that has begun and hardly grows
any more will never end, and what was sent behind it is not answered either.
"""

import math

from redis_manager_fastapi.pool.request import Batch, Request
from redis_manager_fastapi.pool.room import LARGE_REPLY

# A late reply goes on coming if it brings as many bytes as this in so many seconds.
_FLOW = 16 * 1024
FLOW_WINDOW = 0.5


class Flow:
    """How the reply at the head of a connection grows."""

    _late: tuple[Request, int, float] | None = None
    _seen: tuple[Request | None, int, float, bool] = (None, 0, -math.inf, False)

    @property
    def late(self) -> bool:
        """Whether that reply was late, and had begun, when it was last looked at."""
        return self._late is not None

    def in_time(self) -> None:
        """The reply at the head is not late, or has not begun."""
        self._late = None

    def goes_on(self, head: Request, received: int, now: float) -> bool:
        """Whether a large reply goes on coming: those behind it were executed, and can wait."""
        if received <= LARGE_REPLY:
            return False
        seen, before, at, flows = self._seen
        if head is not seen:
            before, at = 0, -math.inf
        if now - at >= FLOW_WINDOW:
            flows = received - before >= _FLOW
            self._seen = head, received, now, flows
        return flows

    def has_stuck(self, head: Request, received: int, now: float, *, begun: bool) -> bool:
        """Whether a late reply has begun, and has hardly grown since it was last looked at."""
        if type(head) is Batch:
            received += _FLOW * len(head.replies)
        elif received:
            begun = True
        if not begun:
            self._late = None
            return False
        last = 0
        if self._late is not None and self._late[0] is head:
            _, last, at = self._late
            if now - at < FLOW_WINDOW:
                return False
        self._late = head, received, now
        return received - last < _FLOW
