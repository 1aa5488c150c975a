"""All consumers of one manager: made, counted and ended together."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from redis.exceptions import RedisError

from redis_manager_fastapi.errors import PoolClosedError, RedisManagerError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.realtime import ConsumerStats
from redis_manager_fastapi.pool.pacing import paced, turnstile
from redis_manager_fastapi.pool.state import FINAL
from redis_manager_fastapi.realtime.consumers.consumer import Consumer
from redis_manager_fastapi.realtime.consumers.group import Abilities
from redis_manager_fastapi.realtime.consumers.options import ConsumerOptions
from redis_manager_fastapi.realtime.items import StreamEntry, bytes_of
from redis_manager_fastapi.realtime.until import Connected, Until
from redis_manager_fastapi.supervision.deployment import Deployment
from redis_manager_fastapi.tasks import end

# The server's counts are asked for when somebody reads them, but no oftener than this (seconds).
_COUNTED_EVERY = 5.0


class Consumers:
    """The consumers of `manager.consume` and `@manager.consumer`.

    Args:
        client: The manager's.
        bus: Takes the events.
    """

    def __init__(self, client: Any, bus: Bus) -> None:
        self._client, self._bus = client, bus
        self._open: set[Consumer] = set()
        self._can = Abilities()
        self._stopped = False
        self._counting: asyncio.Task[None] | None = None
        self._counted_at = float("-inf")

    @property
    def _deployment(self) -> Deployment[Any]:
        deployment: Deployment[Any] = self._client.session.deployment
        return deployment

    @property
    def drain(self) -> float:
        """Seconds that a consumer has to tell the server what it has done."""
        return self._deployment.settings.shutdown.drain

    def start(self, options: ConsumerOptions) -> Consumer:
        """Return a consumer that has begun; it sends nothing before somebody takes.

        Raises:
            PoolClosedError: The manager is closing or closed.
            RedisNotStartedError: It was never opened.
        """
        deployment = self._deployment
        opened = deployment.require()
        opened.check_usable()
        if self._stopped:
            message = f"redis {deployment.instance!r} is closing: it takes no new consumer"
            raise PoolClosedError(message, instance=deployment.instance)
        consumer = Consumer(self._client, deployment, self._bus, options, self._slots, self._can)
        consumer.start()
        self._open.add(consumer)
        return consumer

    async def close(self, consumer: Consumer, timeout: float) -> None:
        """Close a consumer, and forget it."""
        try:
            await consumer.close(timeout)
        finally:
            self._open.discard(consumer)

    def _slots(self, streams: tuple[str, ...]) -> dict[int | None, list[str]]:
        if self._deployment.settings.topology != "cluster":
            return {None: list(streams)}
        from redis_manager_fastapi.client.cluster.keys import slot_of

        found: dict[int | None, list[str]] = {}
        for stream in streams:
            found.setdefault(slot_of(bytes_of(stream)), []).append(stream)
        return found

    # The part.

    def begin(self) -> None:
        """Take consumers again: the manager was opened."""
        self._stopped = False

    def stop(self) -> None:
        """End every iteration at once and take nothing new; what is in hand goes on."""
        self._stopped = True
        for consumer in self._open:
            consumer.stop()

    async def aclose(self, timeout: float) -> None:
        """Give what is in hand *timeout* seconds, and close."""
        self.stop()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while self._open:
                        await next(iter(self._open)).closed.wait()
                        await asyncio.sleep(0)  # whoever closes it forgets it
        finally:
            if self._counting is not None:
                await end([self._counting])
                self._counting = None

    # Counting.

    def stats(self) -> tuple[ConsumerStats, ...]:
        """Return the counters, and have the server's asked for, for the next time."""
        self._count_soon()
        return tuple(self._stats())

    def _stats(self) -> Iterator[ConsumerStats]:
        for consumer in self._open:
            for ledger in consumer.ledgers.values():
                yield ledger.stats()

    def _count_soon(self) -> None:
        opened = self._deployment.opened
        if not self._open or opened is None or opened.state in FINAL or not opened.is_serving:
            return
        loop = opened.affinity.loop
        if self._counting is not None and not self._counting.done():
            return
        if loop.time() - self._counted_at < _COUNTED_EVERY:
            return
        self._counted_at = loop.time()
        self._counting = loop.create_task(self._count())

    async def _count(self) -> None:
        for consumer in list(self._open):
            for ledger in consumer.ledgers.values():
                with suppress(RedisError, RedisManagerError):
                    ledger.pending, ledger.lag = await consumer.group.counts(ledger.stream)


class Entries:
    """The entries of one `consume` block: enter it, and iterate; by one task at a time.

    Entering sends nothing, and needs no Redis.
    """

    def __init__(
        self, consumers: Consumers, options: ConsumerOptions, until: Connected | None
    ) -> None:
        self._consumers, self._options, self._until = consumers, options, Until(until)
        self._consumer: Consumer | None = None
        self._current: StreamEntry | None = None
        self._loops = False

    @paced
    async def __aenter__(self) -> Self:
        """Begin to consume.

        Raises:
            PoolClosedError: The manager is closing or closed.
            RedisNotStartedError: It was never opened.
        """
        if self._consumer is not None:
            raise RuntimeError("this block of consume() was entered before; call consume() again")
        self._consumer = consumer = self._consumers.start(self._options)
        self._until.begin(consumer.stop)
        return self

    def __aiter__(self) -> Self:
        """Iterate: an entry is acknowledged when the next one is asked for."""
        self._loops = True
        return self

    async def __anext__(self) -> StreamEntry:
        """Return the next entry; the one before it is through."""
        if self._consumer is None:
            await turnstile().refused()
        consumer = self._entered()
        self.done()
        self._current = entry = await consumer.take()
        return entry

    def done(self) -> None:
        """Have the entry in hand acknowledged: for a `break`, which else leaves it pending."""
        if self._current is not None:
            self._entered().done(self._current)
            self._current = None

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        consumer = self._entered()
        if self._current is not None:
            if exc is None and not self._loops:
                self.done()
            else:
                consumer.raised(self._current, exc)
                self._current = None
        try:
            await self._until.aclose()
        finally:
            await self._consumers.close(consumer, self._consumers.drain)

    def _entered(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError(
                "enter consume() first: `async with manager.consume(...) as entries:`"
            )
        return self._consumer
