"""The half of a manager that listens: it opens and closes the parts of real time."""

import asyncio
from typing import Any

from redis_manager_fastapi.observe.events import Bus
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.realtime.part import Part
from redis_manager_fastapi.realtime.signals import ShutdownSignals
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
        self._parts: tuple[Part, ...] = ()

    def _realtime_stats(self) -> RealTimeStats:
        return RealTimeStats()

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
