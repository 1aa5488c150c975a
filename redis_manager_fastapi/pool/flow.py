"""Whether the reply at the head of a multiplexed connection goes on coming."""

import math

from redis_manager_fastapi.pool.request import Batch, Request
from redis_manager_fastapi.pool.room import LARGE_REPLY

FLOW_WINDOW = 0.5
"""Seconds between two looks at a late reply."""

# A late reply goes on coming if it brings as many bytes as this in that time.
_FLOW = 16 * 1024


class Flow:
    """What a connection's replies brought, looked at once in each `FLOW_WINDOW`.

    Attributes:
        late: The head whose late reply is looked at, how much of it there was, and when.
    """

    def __init__(self) -> None:
        self.late: tuple[Request, int, float] | None = None
        self._seen: tuple[Request | None, int, float, bool] = (None, 0, -math.inf, False)

    def goes_on(self, head: Request | None, received: int, now: float) -> bool:
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
        """Whether a late reply has *begun*, and has hardly grown since it was last looked at."""
        if type(head) is Batch:
            received += _FLOW * len(head.replies)
        elif received:
            begun = True
        if not begun:
            self.late = None
            return False
        last = 0
        if self.late is not None and self.late[0] is head:
            _, last, at = self.late
            if now - at < FLOW_WINDOW:
                return False
        self.late = head, received, now
        return received - last < _FLOW
