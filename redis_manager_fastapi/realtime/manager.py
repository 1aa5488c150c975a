"""The half of a manager that listens: it opens and closes the parts of real time."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, Unpack
from weakref import WeakSet

from redis_manager_fastapi.observe.bus import Bus, History
from redis_manager_fastapi.observe.events import Listener
from redis_manager_fastapi.observe.realtime import RealTimeStats
from redis_manager_fastapi.pool.counters import Observer
from redis_manager_fastapi.realtime.buffer import Overflow
from redis_manager_fastapi.realtime.consumers.options import (
    ConsumerArguments,
    ConsumerOptions,
    check_count,
    options_of,
)
from redis_manager_fastapi.realtime.consumers.part import Consumers, Entries
from redis_manager_fastapi.realtime.events import Events
from redis_manager_fastapi.realtime.part import Part
from redis_manager_fastapi.realtime.signals import ShutdownSignals
from redis_manager_fastapi.realtime.subscriptions.hub import Subscriptions
from redis_manager_fastapi.realtime.subscriptions.subscription import Subscription, subscription
from redis_manager_fastapi.realtime.tails.part import Tails
from redis_manager_fastapi.realtime.tails.tail import Tail
from redis_manager_fastapi.realtime.until import Connected
from redis_manager_fastapi.realtime.workers import Handle, Loop, Workers
from redis_manager_fastapi.settings import RedisSettings

C = TypeVar("C", bound=Listener)
H = TypeVar("H", bound=Handle)
L = TypeVar("L", bound=Loop)


class RealTimeManager:
    """What a `RedisManager` has of real time.

    Args:
        client: The manager's client, for the life of the app.
        settings: The manager's.
        bus: Takes the events.
        history: Has those that happened lately.
    """

    settings: RedisSettings

    def __init__(self, client: Any, settings: RedisSettings, bus: Bus, history: History) -> None:
        self.settings = settings
        self.history = history
        self._client = client
        self._bus = bus
        self._events: WeakSet[Events] = WeakSet()
        self._signals = ShutdownSignals()
        self._subscriptions = Subscriptions(client.session.deployment, settings, bus)
        self._consumers = Consumers(client, bus)
        self._tails = Tails(client, settings, bus)
        self._workers = Workers(self._consumers, client, bus)
        self._parts: tuple[Part, ...] = (
            self._subscriptions,
            self._consumers,
            self._tails,
            self._workers,
            history,
        )
        self._drained = 0.0

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
        checked = options_of(streams, group, options)
        return Entries(self._consumers, checked, until)

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

    def events(self, *, buffer: int = 1000) -> Events:
        """Iterate over what happens from now on: `async for event in manager.events():`.

        The iteration ends when the manager closes, or before: on SIGTERM, so that a response
        which it feeds does not hold up the end of the process.  Hooks of `on_event` hear what
        happens after that.  It may begin before the manager opens, on the same event loop.

        Args:
            buffer: How many events the loop may be behind.  Then the oldest are dropped, and
                a `Gap` in their place says how many.

        Raises:
            TypeError, ValueError: *buffer* is not a number from 1.
        """
        events = Events(self._bus, buffer)
        self._events.add(events)
        if self._signals.heard:
            events.end()
        return events

    def on_event(self, callback: C) -> C:
        """Have *callback* called with each `Event` from now on; also a decorator.

        It is called in the event loop, in the turn in which it happened, and must not block.
        What it raises is logged, and reaches nobody.

        Raises:
            TypeError: It is a coroutine function, which nobody would await: iterate over
                `events()` instead.
        """
        if not callable(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError(f"on_event takes a plain function of an event, not {callback!r}")
        self._bus.add(callback)
        return callback

    def on_answers(self, callback: Observer) -> Observer:
        """Have *callback* called with what goes into `stats().latency`, as it goes.

        It gets the seconds that the oldest of some commands took that were answered together,
        and how many they were; in the event loop, between other callers' replies, so it must
        be quick.  If it raises, that is logged, and it is called no more.
        """
        self._client.session.deployment.on_answers(callback)
        return callback

    def consumer(
        self,
        *streams: str,
        group: str,
        concurrency: int = 1,
        **options: Unpack[ConsumerArguments],
    ) -> Callable[[H], H]:
        """Register an async function that handles the entries of streams, in the lifespan.

        `@manager.consumer("orders", group="billing", concurrency=8)` before
        `async def handle(entry: StreamEntry) -> None:`.  It begins when the manager opens,
        after the app's own lifespan has started, and at the end gets `shutdown.drain` seconds
        for the entries in hand.  An entry whose handler raises stays pending, and comes again
        after *claim_after* seconds.  The function can be called as before.

        Args:
            streams: The streams' keys.
            group: The consumer group, which is made where there is none.
            concurrency: How many entries it handles at a time.
            options: As with `consume`.

        Raises:
            TypeError, ValueError: An argument is wrong, or it is no async function of an entry.
        """

        def make() -> ConsumerOptions:
            return options_of(streams, group, options)

        make()  # what is wrong is told here
        check_count("concurrency", concurrency)

        def register(function: H) -> H:
            self._workers.add_handler(function, make, concurrency)
            return function

        return register

    def background(self, function: L) -> L:
        """Register an async function that runs from the start to the end of the app.

        `@manager.background` before `async def loop() -> None:`.  It begins once Redis
        serves, and is cancelled when the app ends.  If it raises, it is begun again after a
        pause, once Redis serves; if it returns, it has ended.

        Raises:
            TypeError: It is no async function without arguments.
        """
        self._workers.add_loop(function)
        return function

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run what is registered, for a manager that was opened without it."""
        self._workers.start()
        loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            began = loop.time()
            try:
                await self._workers.aclose(self.settings.shutdown.drain)
            finally:
                self._drained = loop.time() - began

    def _end_events(self) -> None:
        """End every iteration over events, after the last one."""
        for events in tuple(self._events):
            events.end()
        self._events.clear()

    def _realtime_stats(self) -> RealTimeStats:
        return RealTimeStats(
            subscriptions=self._subscriptions.stats(),
            consumers=self._consumers.stats(),
            tails=self._tails.stats(),
            workers=self._workers.stats(),
        )

    def _start_realtime(self, *, workers: bool) -> None:
        """Hear of the process' end, so that streams of events end before their server waits."""
        self._consumers.begin()
        self.history.begin()
        self._signals.listen(self._told_to_stop)
        if workers:
            self._workers.start()

    def _told_to_stop(self) -> None:
        """End every iteration, those over events as well: the server waits for what they feed."""
        self._stop_realtime()
        self._end_events()

    def _stop_realtime(self) -> None:
        """End every iteration, and take nothing new from any stream."""
        for part in self._parts:
            part.stop()

    async def _close_realtime(self, timeout: float) -> float:
        """Give what is in hand *timeout* seconds; return how many of them are left."""
        loop = asyncio.get_running_loop()
        timeout, self._drained = max(0.0, timeout - self._drained), 0.0
        ends = loop.time() + timeout
        self._signals.stop()
        self._stop_realtime()
        await asyncio.gather(*(part.aclose(timeout) for part in self._parts))
        return max(0.0, ends - loop.time())
