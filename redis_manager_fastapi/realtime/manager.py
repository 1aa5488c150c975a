"""The half of a manager that listens: it opens and closes the parts of real time."""

import asyncio
from typing import Any, Unpack

from redis_manager_fastapi.observe.events import Bus
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.realtime.consumers.options import ConsumerArguments, ConsumerOptions
from redis_manager_fastapi.realtime.consumers.part import Consumers, Entries
from redis_manager_fastapi.realtime.part import Part
from redis_manager_fastapi.realtime.signals import ShutdownSignals
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
        self._consumers = Consumers(client, bus)
        self._parts: tuple[Part, ...] = (self._consumers,)

    def consume(
        self,
        *streams: str,
        group: str,
        until: Connected | None = None,
        **options: Unpack[ConsumerArguments],
    ) -> Entries:
        """Consume streams as a member of a group, at least once each entry.

        `async with manager.consume("orders", group="billing") as entries:`, and in it
        `async for entry in entries:`.  An entry is acknowledged when its body is through,
        and stays pending when the body raises, is cancelled or breaks out; it then comes
        again after *claim_after* seconds, to this consumer or to another of the group.

        An outage ends nothing: the iteration waits, and goes on.

        Args:
            streams: The streams' keys.
            group: The consumer group, which is made where there is none.
            until: A request or a WebSocket: the iteration ends when its client is gone.
            options: As `ConsumerOptions` explains them: `consumer`, `start`, `batch`,
                `claim_after`, `max_deliveries` and `dead_letter`.

        Raises:
            TypeError, ValueError: An argument is wrong.
        """
        checked = ConsumerOptions(streams=streams, group=group, **options)
        return Entries(self._consumers, checked, until)

    def _realtime_stats(self) -> RealTimeStats:
        return RealTimeStats(consumers=self._consumers.stats())

    def _start_realtime(self) -> None:
        """Hear of the process' end, so that streams of events end before their server waits."""
        self._consumers.begin()
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
