"""The half of a manager that listens: it opens and closes the parts of real time."""

import asyncio
from typing import Any

from redis_manager_fastapi.observe.events import Bus
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.realtime.buffer import Overflow
from redis_manager_fastapi.realtime.part import Part
from redis_manager_fastapi.realtime.signals import ShutdownSignals
from redis_manager_fastapi.realtime.tails.part import Tails
from redis_manager_fastapi.realtime.tails.tail import Tail
from redis_manager_fastapi.realtime.until import Connected
from redis_manager_fastapi.settings import RedisSettings


class RealTimeManager:
    """What a `RedisManager` has of real time.

    Args:
        client: The manager's client, for the life of the app.
        settings: The manager's.
        bus: Takes the events.
    """

    settings: RedisSettings

    def __init__(self, client: Any, settings: RedisSettings, bus: Bus) -> None:
        self.settings = settings
        self._client = client
        self._signals = ShutdownSignals()
        self._tails = Tails(client, settings, bus)
        self._parts: tuple[Part, ...] = (self._tails,)

    def tail(
        self,
        stream: str,
        *,
        after: str | None = None,
        buffer: int = 1000,
        overflow: Overflow = "drop",
        until: Connected | None = None,
    ) -> Tail:
        """Follow a stream: `async with manager.tail("room:42") as entries:`, then `async for`.

        Args:
            stream: Its key; the stream need not exist.
            after: The `cursor` of the entry after which to begin, which may come from a
                browser; "start" for all that the stream has; None or "" for what is
                added from now on.  What is no cursor gives one `Gap`, and then what is added
                from now on.
            buffer: How many entries a listener may be behind and still find them in memory.
            overflow: What happens to one who is further behind: "drop" has it read them from
                the server again, "end" raises `ListenerTooSlowError`.
            until: A request or WebSocket: the iteration ends when its client is gone.

        Raises:
            TypeError, ValueError: An argument is wrong.
        """
        return self._tails.tail(stream, after, buffer, overflow, until)

    def _realtime_stats(self) -> RealTimeStats:
        return RealTimeStats(tails=self._tails.stats())

    def _start_realtime(self) -> None:
        """Hear of the process' end, so that streams of events end before their server waits."""
        self._signals.listen(self._stop_realtime)

    def _stop_realtime(self) -> None:
        """End every iteration, and take nothing new from any stream."""
        for part in self._parts:
            part.stop()

    async def _close_realtime(self, timeout: float) -> float:
        """Give what is in hand *timeout* seconds; return how many of them are left."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        self._signals.stop()
        self._stop_realtime()
        await asyncio.gather(*(part.aclose(timeout) for part in self._parts))
        return max(0.0, ends - loop.time())
