"""What happened lately, for whoever begins to look after it happened."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from redis_manager_fastapi.observe.events import Event, ProbeFailed, StateChanged

_KEPT = 200


@dataclass(frozen=True, slots=True)
class Happened:
    """An event and its time.

    Attributes:
        number: How many happened before it.
        at: When, in seconds since 1970.
        event: What.
    """

    number: int
    at: float
    event: Event


class History:
    """A listener that keeps the last 200 events of a manager, and wakes those who wait for more.

    Failed probes are left out: there may be several a second, and the state tells of them.

    Attributes:
        count: How many events there were.
        address: The server that was spoken to last, `host:port`; empty for a Cluster.
        stopped: Whether the process is about to end, or the manager is closed.
        waiting: Done as soon as there is news.
    """

    def __init__(self) -> None:
        self.count = 0
        self.address = ""
        self._kept: deque[Happened] = deque(maxlen=_KEPT)
        self.waiting: set[asyncio.Future[None]] = set()
        self.stopped = False

    def __call__(self, event: Event) -> None:
        """Keep *event*."""
        if isinstance(event, ProbeFailed):
            return
        if isinstance(event, StateChanged) and not event.node:
            self.address = event.address
        self._kept.append(Happened(self.count, time.time(), event))
        self.count += 1
        self._wake()

    def since(self, number: int) -> list[Happened]:
        """Return what is still kept of the events from *number* on, the oldest first."""
        return [each for each in self._kept if each.number >= number]

    def begin(self) -> None:
        """Let waiters wait again, after `stop`."""
        self.stopped = False

    def stop(self) -> None:
        """End every wait: the process is about to end."""
        self.stopped = True
        self._wake()

    async def aclose(self, timeout: float) -> None:
        """Do the same as the manager closes."""
        self.stop()

    def _wake(self) -> None:
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)


async def wait_for_news(histories: Sequence[History], seen: Sequence[int], timeout: float) -> bool:
    """Wait until one of *histories* has more events than were *seen*, or for *timeout* seconds.

    Returns:
        Whether to go on; False once one of them was stopped.
    """
    if all(each.count <= count for each, count in zip(histories, seen, strict=True)):
        waiter = asyncio.get_running_loop().create_future()
        for each in histories:
            each.waiting.add(waiter)
        try:
            if not any(each.stopped for each in histories):
                await asyncio.wait([waiter], timeout=timeout)
        finally:
            for each in histories:
                each.waiting.discard(waiter)
    return not any(each.stopped for each in histories)
