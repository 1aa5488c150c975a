"""All subscriptions of a manager: who listens to what, and which connection it is heard over."""

import asyncio
from functools import partial
from typing import Any

import redis.exceptions as redis_errors

from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    RedisAuthError,
    RedisManagerError,
    RedisUnavailableError,
)
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import SubscriptionsBroken, SubscriptionsHealed
from redis_manager_fastapi.observe.realtime import SubscriptionStats
from redis_manager_fastapi.pool import errors
from redis_manager_fastapi.pool.deadline import Deadline
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import PoolState
from redis_manager_fastapi.realtime.subscriptions.channel import (
    Break,
    Channel,
    Key,
    Kind,
    Listener,
)
from redis_manager_fastapi.realtime.subscriptions.placement import OneServer, Placement
from redis_manager_fastapi.realtime.subscriptions.source import Source
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.supervision.deployment import Deployment
from redis_manager_fastapi.topology.failures import from_reply

# How long (seconds) listeners that are ended may go on taking what they have.
_REST = 0.5

# How often in a row a node may name another one before the next attempt has to wait.
_REDIRECTS = 3


class Subscriptions:
    """The channels that anybody in this process listens to.

    Args:
        deployment: The manager's.
        settings: The manager's.
        bus: Takes the events.
    """

    def __init__(self, deployment: Deployment[Any], settings: RedisSettings, bus: Bus) -> None:
        self.instance = deployment.instance
        self._deployment = deployment
        self._settings = settings
        self._bus = bus
        self._opened: Any = None
        self._stopped: Any = None  # what was open when the end began
        self._placement: Placement | None = None
        self._channels: dict[Key, Channel] = {}
        self._sources: dict[Pool, Source] = {}
        self._places: dict[Channel, Source] = {}
        self._listeners: set[Listener] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._gaps = self._dropped = self._received = 0

    @property
    def deaf(self) -> tuple[str, ...]:
        """The names that somebody listens to and that are not subscribed now."""
        return tuple(sorted(each.key[1] for each in self._channels.values() if each.deaf))

    @property
    def hears(self) -> bool:
        """Whether nothing is deaf."""
        return not any(channel.deaf for channel in self._channels.values())

    def stats(self) -> SubscriptionStats:
        """Return the counters of this instant."""
        sources = self._sources.values()
        return SubscriptionStats(
            listeners=len(self._listeners),
            channels=len(self._channels),
            connections=sum(source.connected for source in sources),
            messages=self._received + sum(source.messages for source in sources),
            gaps=self._gaps,
            dropped=self._dropped + sum(each.buffer.dropped for each in self._listeners),
            deaf=self.deaf,
        )

    # What listeners ask for.

    async def enter(self, listener: Listener) -> None:
        """Return when the server has confirmed all that *listener* listens to.

        Raises:
            RedisUnavailableError: Redis is away, and grace is over.
            RedisPermissionError: The server's ACL forbids a channel.
            CommandTimeoutError: The server did not confirm within `timeout.command`.
            PoolClosedError: The manager is closing, or closed.
            RedisNotStartedError: It is not open.
            RedisManagerError: The server has no sharded channels.
        """
        opened = self._deployment.require()
        opened.check_usable()
        self._check_going_on(opened)
        placement = self._reopen(opened)
        deadline = asyncio.get_running_loop().time() + self._settings.timeout.command
        await placement.wait_serving(listener.keys, deadline)
        self._check_going_on(opened)
        try:
            self._join(listener)
            async with Deadline(deadline):
                await listener.wait_heard()
        except TimeoutError as error:
            late = self._late(listener)
            self.leave(listener)
            raise late from error
        except BaseException:
            self.leave(listener)
            raise

    def leave(self, listener: Listener) -> None:
        """Forget *listener*; a channel that nobody else listens to is unsubscribed."""
        if listener not in self._listeners:
            return
        self._listeners.discard(listener)
        self._dropped += listener.buffer.dropped
        for key in listener.keys:
            channel = self._channels.get(key)
            if channel is None:
                continue
            channel.leave(listener)
            if not channel.listeners:
                del self._channels[key]
                if channel.broken is not None:
                    self._over(channel.broken, channel)
                source = self._places.pop(channel, None)
                if source is not None:
                    source.remove(channel)

    # How it ends.

    def stop(self) -> None:
        """End every iteration; what is buffered may be taken for half a second."""
        self._stopped = self._deployment.opened
        for listener in self._listeners:
            listener.buffer.end(asyncio.get_running_loop().time() + _REST)
            listener.refuse(partial(errors.closed, self.instance, PoolState.DRAINING))

    async def aclose(self, timeout: float) -> None:
        """Drop the connections; when the manager is opened again, anybody may listen again."""
        self._stopped = self._deployment.opened
        placement, sources = self._placement, list(self._sources)
        for pool in sources:
            self._close(pool)
        self._forget()
        if placement is not None:
            await placement.aclose()
        while self._closing:
            await asyncio.wait(self._closing)

    # What the sources report.

    def confirmed(self, channel: Channel) -> None:
        """*channel* is heard."""
        broken = channel.broken
        channel.confirm(asyncio.get_running_loop().time())
        if broken is not None:
            broken.healed = True
            self._over(broken, channel)

    def refused(self, source: Source, channel: Channel, error: Exception) -> None:
        """The server does not subscribe *channel*: ask elsewhere, later, or never again."""
        placement = self._placement
        if placement is not None and placement.redirect(channel, error, source.pool):
            channel.redirects += 1
            if channel.redirects <= _REDIRECTS:
                self.settle(channel)
            if self._places.get(channel) is source:
                source.retry(channel, soon=True)
            return
        seen = from_reply(error, self.instance)
        passing = isinstance(seen, RedisUnavailableError) and not isinstance(seen, RedisAuthError)
        passing = passing or isinstance(error, redis_errors.AskError | redis_errors.TryAgainError)
        if not passing:
            channel.refuse(partial(self._refusal, channel, error))
        source.retry(channel, soon=passing)

    def broken(self, broken: Break, channels: list[Channel]) -> None:
        """Channels that were heard are not any more."""
        for channel in channels:
            channel.lose(broken)
        broken.on_told = self._count_gap
        if broken.channels:
            count = len(broken.channels)
            event = SubscriptionsBroken(self.instance, broken.reason, count, broken.node)
            self._bus.emit(event)

    def pool_ended(self, source: Source) -> None:
        """A node has left: its channels are heard elsewhere."""
        if self._sources.get(source.pool) is source:
            self.settle_all()
            self._close(source.pool)

    # Where channels are heard.

    def settle_all(self) -> None:
        """Have each channel heard where it is by now."""
        self._settle(list(self._channels.values()))

    def settle(self, channel: Channel) -> None:
        """Have *channel* heard where it is by now."""
        self._settle([channel])

    # Inside.

    def _settle(self, channels: list[Channel]) -> None:
        lost: dict[Source, list[Channel]] = {}
        for channel in channels:
            source = self._move(channel)
            if source is not None and channel.heard:
                lost.setdefault(source, []).append(channel)
        now = asyncio.get_running_loop().time()
        for source, moved in lost.items():
            self.broken(Break("another node has the channel", now, source.node), moved)

    def _move(self, channel: Channel) -> Source | None:
        """Have *channel* heard from where it is; return that, if it is another place."""
        placement, pool = self._placement, self._pool_for(channel)
        if placement is None or pool is None:
            return None
        old, source = self._places.get(channel), self._sources.get(pool)
        if source is None:
            source = self._sources[pool] = Source(pool, self, node=placement.node(pool))
        if old is not None:
            old.remove(channel)
        self._places[channel] = source
        source.add(channel)
        return source

    def _misplaced(self) -> bool:
        """Whether any channel is to be heard from another server than now."""
        return any(self._pool_for(channel) is not None for channel in self._channels.values())

    def _pool_for(self, channel: Channel) -> Pool | None:
        """Return where *channel* has to go; None if it can stay, or nobody has it."""
        pool = self._placement.place(channel) if self._placement is not None else None
        source = self._places.get(channel)
        return None if source is not None and source.pool is pool else pool

    def _check_going_on(self, opened: Any) -> None:
        if opened is self._stopped:
            raise errors.closed(self.instance, PoolState.DRAINING)

    def _reopen(self, opened: Any) -> Placement:
        """Return how *opened* shares channels out; what was known of another opening is void."""
        if self._placement is None or self._opened is not opened:
            self._forget()
            self._opened, self._placement = opened, self._make_placement(opened)
            self._placement.follow(self._misplaced, self.settle_all)
        return self._placement

    def _make_placement(self, opened: Any) -> Placement:
        if self._settings.topology != "cluster":
            return OneServer(opened)
        # Imported here, so that only those who use a Cluster depend on redis-py's cluster client.
        from redis_manager_fastapi.realtime.subscriptions.slots import BySlot

        return BySlot(opened)

    def _forget(self) -> None:
        self._sources, self._places, self._channels = {}, {}, {}
        self._opened = self._placement = None
        self._dropped += sum(listener.buffer.dropped for listener in self._listeners)
        self._listeners = set()

    def _join(self, listener: Listener) -> None:
        self._listeners.add(listener)
        for key in listener.keys:
            channel = self._channels.get(key)
            if channel is None:
                channel = self._channels[key] = Channel(key)
                channel.join(listener)
                self.settle(channel)
            else:
                channel.join(listener)
                source = self._places.get(channel)
                if source is not None and not channel.heard:
                    source.ask(channel)

    def _close(self, pool: Pool) -> None:
        """Drop what is heard from a server, and give its channels up."""
        source = self._sources.pop(pool)
        for channel in source.channels.values():
            self._places.pop(channel, None)
        self._received += source.messages
        task = asyncio.get_running_loop().create_task(source.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _count_gap(self) -> None:
        self._gaps += 1

    def _over(self, broken: Break, channel: Channel) -> None:
        """*channel* is heard again, or left; tell it when that was the last one of its break."""
        broken.channels.discard(channel)
        if not broken.channels and broken.healed:
            seconds = max(0.0, asyncio.get_running_loop().time() - broken.since)
            event = SubscriptionsHealed(self.instance, broken.reason, seconds, broken.node)
            self._bus.emit(event)

    def _refusal(self, channel: Channel, error: Exception) -> Exception:
        """Return what somebody is told who wants to enter."""
        if channel.key[0] is Kind.SHARDED and "unknown command" in str(error).lower():
            message = f"redis {self.instance!r} has no sharded channels: they need Redis 7.0"
            return RedisManagerError(message, instance=self.instance)
        seen = from_reply(error, self.instance)
        return type(error)(*error.args) if seen is error else seen

    def _late(self, listener: Listener) -> RedisManagerError:
        """Return the error for somebody whose channels were not confirmed in time."""
        opened = self._opened
        if opened is not None and not opened.is_serving:
            unavailable: RedisUnavailableError = opened.unavailable()
            return unavailable
        places = (self._places.get(channel) for channel in listener.missing)
        failure = next((each.error for each in places if each is not None and each.error), None)
        if failure is not None:
            error = type(failure)(str(failure), instance=self.instance)
            error.__cause__ = failure.__cause__
            return error
        limit = self._settings.timeout.command
        message = f"SUBSCRIBE on redis {self.instance!r} got no reply within {limit:g} s"
        return CommandTimeoutError(message, instance=self.instance)
