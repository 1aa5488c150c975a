"""A manager's events as an iteration: `async for event in manager.events()`."""

import math
from collections.abc import AsyncIterator
from typing import Self
from weakref import ref

from redis_manager_fastapi.errors import ListenerTooSlowError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import Event
from redis_manager_fastapi.observe.words import counted
from redis_manager_fastapi.realtime.buffer import Buffer
from redis_manager_fastapi.realtime.consumers.options import check_count
from redis_manager_fastapi.realtime.items import Gap


class Events(AsyncIterator[Event | Gap]):
    """What happens from now on, until the manager closes or the process is told to stop.

    It holds up nobody: one who takes too long loses the oldest events, and gets a `Gap` in
    their place that says how many.  It is forgotten when nobody iterates over it any more.
    """

    def __init__(self, bus: Bus, size: int) -> None:
        check_count("buffer", size)
        self._buffer: Buffer[Event] = Buffer(size, "drop", _too_slow)
        # The bus keeps no iteration alive that was left by `break`.
        mine = ref(self, lambda _: bus.remove(hear))

        def hear(event: Event) -> None:
            if (events := mine()) is not None:
                events.hear(event)

        bus.add(hear)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event | Gap:
        return await self._buffer.take()

    def hear(self, event: Event) -> None:
        """Keep *event* until it is taken."""
        self._buffer.put(event)

    def end(self) -> None:
        """End after what has happened so far."""
        self._buffer.end(math.inf)


def _too_slow(size: int) -> Exception:  # pragma: no cover  # the oldest are dropped instead
    return ListenerTooSlowError(f"more than {counted(size, 'event')}")
