"""The half of a manager that listens: it opens and closes the parts of real time."""

import asyncio
from collections.abc import Iterable
from typing import Any

from redis_manager_fastapi.observe.events import Bus
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.realtime.buffer import Overflow
from redis_manager_fastapi.realtime.part import Part
from redis_manager_fastapi.realtime.signals import ShutdownSignals
from redis_manager_fastapi.realtime.subscriptions.hub import Subscriptions
from redis_manager_fastapi.realtime.subscriptions.subscription import Subscription, subscription
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
        self._subscriptions = Subscriptions(client.session.deployment, settings, bus)
        self._parts: tuple[Part, ...] = (self._subscriptions,)

    def subscribe(
        self,
        *channels: str,
        patterns: Iterable[str] = (),
        sharded: bool = False,
        buffer: int = 1000,
        overflow: Overflow = "drop",
        until: Connected | None = None,
    ) -> Subscription:
        """Listen to channels: `async with manager.subscribe("news") as messages:`.

        Entering the block returns when the server has confirmed.  After a break the
        channels are subscribed again, and a `Gap` says that messages may be missing;
        nothing is raised for it.  All listeners of a process share a connection.

        Args:
            channels: The channels' names.
            patterns: Glob-style patterns, such as "room:*".
            sharded: Whether the channels are sharded ones (SPUBLISH, Redis 7.0).
            buffer: How many messages the listener may be behind.
            overflow: What happens then: "drop" drops the oldest, and a `Gap` says how
                many; "end" raises `ListenerTooSlowError`.
            until: A request or a WebSocket from which the app itself does not receive; the
                iteration ends when its client has gone.

        Raises:
            TypeError, ValueError: An argument is wrong.
            RedisUnavailableError: On entering: Redis is away, and grace is over.
            RedisPermissionError: On entering: the server's ACL forbids a channel.
            CommandTimeoutError: On entering: not confirmed within `timeout.command`.
            PoolClosedError: On entering: the manager is closing, or closed.
        """
        return subscription(
            self._subscriptions,
            channels,
            patterns,
            sharded=sharded,
            buffer=buffer,
            overflow=overflow,
            until=until,
        )

    def _realtime_stats(self) -> RealTimeStats:
        return RealTimeStats(subscriptions=self._subscriptions.stats())

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
