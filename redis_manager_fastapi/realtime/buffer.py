"""What one listener has still to take: bounded, and never in the way of another listener."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.realtime.items import Gap

T = TypeVar("T")

Overflow = Literal["drop", "end"]
"""What happens to a listener that is too slow: it loses the oldest items, or it ends."""

_running_loop = asyncio.get_running_loop

TOO_SLOW = "this listener is too slow"


class Buffer(Generic[T]):
    """A queue between a connection, which never waits, and one listener, which does.

    Args:
        size: How many items it holds.
        overflow: What happens to one item more.
        too_slow: Makes the error that ends a listener whose buffer is full.

    Attributes:
        dropped: How many items were dropped.
    """

    def __init__(self, size: int, overflow: Overflow, too_slow: Callable[[int], Exception]) -> None:
        self.dropped = 0
        self._size = size
        self._overflow: Overflow = overflow
        self._too_slow = too_slow
        self._items: deque[T | Gap] = deque()
        self._lost: Gap | None = None
        self._error: Exception | None = None
        self._ended_at: float | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Add an item, in the turn of the loop in which it came; return whether a task wakes."""
        if self._ended_at is not None or self._error is not None:
            return False
        if len(self._items) >= self._size:
            if self._overflow == "end":
                self._error = self._too_slow(self._size)
                self._items.clear()
                self._wake()
                return True
            self._drop(self._items.popleft())
        self._items.append(item)
        waiter = self._waiter
        if waiter is None or waiter.done():
            return False
        waiter.set_result(None)
        return True

    def put_gap(self, gap: Gap) -> None:
        """Tell of a break, after what came before it; breaks with nothing between are one."""
        if self._ended_at is not None or self._error is not None:
            return
        last = self._items[-1] if self._items else None
        if isinstance(last, Gap):
            self._items[-1] = merged(last, gap)
        else:
            self._items.append(gap)
        self._wake()

    def end(self, by: float = 0.0) -> None:
        """End the listener: it may take what is here until *by*, on the loop's clock."""
        if self._ended_at is None:
            self._ended_at = by
            self._wake()

    def fail(self, error: Exception) -> None:
        """End the listener with *error*, after what is here."""
        if self._error is None:
            self._error = error
            self._wake()

    async def take(self) -> T | Gap:
        """Return the oldest item; wait for one.

        Raises:
            StopAsyncIteration: The listener was ended.
            Exception: What it was failed with.
        """
        items = self._items
        while True:
            if self._ended_at is not None and self._has_ended(self._ended_at):
                await turnstile().refused()
                raise StopAsyncIteration
            if self._lost is not None:
                lost, self._lost = self._lost, None
                return lost
            if items:
                return items.popleft()
            if self._error is not None:
                await turnstile().refused()
                raise self._error
            self._waiter = _running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _has_ended(self, ended_at: float) -> bool:
        """Whether there is nothing left to take, or no time."""
        empty = not self._items and self._lost is None and self._error is None
        return empty or _running_loop().time() >= ended_at

    def _drop(self, item: T | Gap) -> None:
        gap = item if isinstance(item, Gap) else Gap(TOO_SLOW, dropped=1)
        self.dropped += gap.dropped
        self._lost = merged(self._lost, gap) if self._lost is not None else gap

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def merged(first: Gap, second: Gap) -> Gap:
    """Return one gap for two with nothing between them."""
    reason = first.reason
    if second.reason not in reason:
        reason = f"{reason}; {second.reason}"
    dropped = first.dropped + second.dropped
    return Gap(reason, first.seconds + second.seconds, dropped, second.cursor)
