"""One server, and the channels that are heard from it over all its outages.

A single task connects when there is a channel to hear and the pool serves, or is about to;
it asks for a sign of life as often as the pool's supervisor does, and every few seconds
has the server count its subscriptions.
"""

import asyncio
from typing import Protocol

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.observe.log import InternalErrors
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import FINAL, PoolState
from redis_manager_fastapi.realtime.subscriptions.channel import Break, Channel, Key, MessageBuffer
from redis_manager_fastapi.realtime.subscriptions.connection import SubscriptionConnection
from redis_manager_fastapi.supervision.probing import Pulse
from redis_manager_fastapi.supervision.supervisor import FullJitter
from redis_manager_fastapi.tasks import end

# Seconds between two counts of the subscriptions, and between two attempts to subscribe what
# the server refuses to somebody who heard it before.
_COMPARE = 3.0

# How long (seconds) a connection is kept that nobody needs.
_LINGER = 5.0

# So much (seconds) may a timer fire early.
_STEP = 0.002


class SourceEvents(Protocol):
    """Who shares the channels out among the sources."""

    def confirmed(self, channel: Channel) -> None:
        """*channel* is heard."""
        ...

    def refused(self, source: "Source", channel: Channel, error: Exception) -> None:
        """The server does not subscribe *channel*."""
        ...

    def broken(self, broken: Break, channels: list[Channel]) -> None:
        """Channels that were heard are not any more."""
        ...

    def pool_ended(self, source: "Source") -> None:
        """The source's pool takes no more work."""
        ...


class Source:
    """What is heard from one server.

    Attributes:
        pool: The server's.
        node: The address of the Cluster's node; empty without a Cluster.
        channels: What is to be heard from it.
        error: Why the last attempt to connect failed; None after a success.
        received: Messages that came over connections of the past.
    """

    def __init__(self, pool: Pool, events: SourceEvents, *, node: str = "") -> None:
        self.pool = pool
        self.node = node
        self.channels: dict[Key, Channel] = {}
        self.error: RedisUnavailableError | None = None
        self.received = 0
        self._events = events
        self._health = pool.settings.health
        self._flow: SubscriptionConnection | None = None
        self._unheard: set[Channel] = set()
        self._retry: set[Channel] = set()
        self._retry_at = float("inf")
        self._revoked: list[Key] = []
        self._idle_since = float("inf")
        self._moves = pool.moves
        self._peer: object = None
        self._next_peer: object = None
        self._called = False
        self._wake = asyncio.Event()
        self._all_heard = asyncio.Event()
        self._backoff = FullJitter(self._health.backoff_base, self._health.backoff_cap)
        self._begun_at = self._connected_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._errors = InternalErrors(pool.instance, "subscriptions")
        pool.followers = (*pool.followers, self)

    def __repr__(self) -> str:
        return f"<Source {self.node or 'server'} channels={len(self.channels)} {self._flow}>"

    @property
    def connected(self) -> bool:
        """Whether there is a connection to hear over."""
        return self._flow is not None

    @property
    def messages(self) -> int:
        """How many messages have come."""
        return self.received + (self._flow.messages if self._flow is not None else 0)

    def add(self, channel: Channel) -> None:
        """Hear *channel* from this server."""
        self.channels[channel.key] = channel
        self.ask(channel)
        if self._task is None:
            name = f"redis-subscriptions-{self.pool.instance}"
            self._task = self.pool.loop.create_task(self._run(), name=name)
        self._wake.set()

    def remove(self, channel: Channel) -> None:
        """Hear *channel* no more."""
        if self.channels.pop(channel.key, None) is None:
            return
        self._retry.discard(channel)
        self._found(channel)
        if self._flow is not None:
            self._flow.unsubscribe(channel)
        if not self.channels:
            self._idle_since = self.pool.loop.time()
            self._wake.set()

    def ask(self, channel: Channel) -> None:
        """Ask at once for a channel that is not heard, if its answer is not on its way."""
        if channel in self._unheard:
            return
        self._await(channel)
        if self._flow is not None:
            self._flow.subscribe([channel])

    def retry(self, channel: Channel, *, soon: bool) -> None:
        """Ask for *channel* again after a while."""
        pause = self._health.backoff_cap / 2 if soon else _COMPARE
        self._retry.add(channel)
        self._retry_at = min(self._retry_at, self.pool.loop.time() + pause)
        self._wake.set()

    async def aclose(self) -> None:
        """Drop the connection and end the task."""
        followers = self.pool.followers
        self.pool.followers = tuple(each for each in followers if each is not self)
        task, self._task = self._task, None
        if task is not None:
            await end({task})
        self._drop()

    # What the pool reports.

    def pool_changed(self) -> None:
        """Go where the pool goes."""
        if self.pool.state in FINAL:
            self._events.pool_ended(self)
        elif self._flow is not None and self.pool.moves != self._moves:
            self._flow.lose("another server is the primary")
        elif self._flow is not None and self._pool_is_elsewhere():
            self._flow.lose("the server is reached at another address")
        self._wake.set()

    async def before_serving(self, peer: object) -> None:
        """Return once everything is heard from the server at *peer*."""
        if not any(
            listener.entered for each in self.channels.values() for listener in each.listeners
        ):
            return
        self._called, self._next_peer = True, peer
        try:
            flow = self._flow
            if flow is not None and (peer, self.pool.moves) != (self._peer, self._moves):
                flow.lose("the server is reached at another address")
            elif flow is not None:
                await asyncio.wait({flow.compare(self._health.timeout).future})
            self._wake.set()
            await self._all_heard.wait()
        finally:
            self._called = False

    # What the connection reports.

    def receivers(self, key: Key) -> tuple[MessageBuffer, ...]:
        """Return what takes the messages of *key*."""
        channel = self.channels.get(key)
        return channel.buffers if channel is not None else ()

    def confirmed(self, channel: Channel) -> None:
        """*channel* is subscribed; it may have been left, and be another one's by now."""
        if self.channels.get(channel.key) is channel:
            self._retry.discard(channel)
            if not channel.heard:
                self._events.confirmed(channel)
            self._found(channel)

    def refused(self, channel: Channel, error: Exception) -> None:
        """*channel* is not subscribed; nobody waits for it here until it is asked for again."""
        if self.channels.get(channel.key) is channel:
            if channel.heard:
                self._events.broken(self._new_break("the server ended the subscription"), [channel])
            self._found(channel)
            self._events.refused(self, channel, error)

    def revoked(self, key: Key) -> None:
        """The server has ended a subscription: it is asked for again."""
        if not self._revoked:  # with a slot go all of its channels, and that is one break
            self.pool.loop.call_soon(self._tell_revoked)
        self._revoked.append(key)

    def _tell_revoked(self) -> None:
        revoked, self._revoked = self._revoked, []
        found = (self.channels.get(key) for key in dict.fromkeys(revoked))
        channels = [channel for channel in found if channel is not None and channel.heard]
        if channels:
            self._events.broken(self._new_break("the server ended the subscription"), channels)
        for channel in channels:
            self.ask(channel)

    def flow_lost(self, flow: SubscriptionConnection) -> None:
        """The connection is gone."""
        if flow is not self._flow:
            return
        self._drop()
        self._retry.clear()
        heard = [channel for channel in self.channels.values() if channel.heard]
        for channel in self.channels.values():
            self._await(channel)
        if heard:
            self._events.broken(self._new_break(flow.reason, flow.lost_since), heard)
        self._wake.set()

    # Inside.

    def _new_break(self, reason: str, since: float | None = None) -> Break:
        return Break(reason, self.pool.loop.time() if since is None else since, self.node)

    def _pool_is_elsewhere(self) -> bool:
        return self.pool.state is PoolState.READY and self.pool.peer != self._peer

    def _await(self, channel: Channel) -> None:
        self._unheard.add(channel)
        self._all_heard.clear()

    def _found(self, channel: Channel) -> None:
        self._unheard.discard(channel)
        if self._flow is not None and not self._unheard:
            self._all_heard.set()

    def _drop(self) -> None:
        flow, self._flow = self._flow, None
        self._all_heard.clear()
        if flow is not None:
            self.received += flow.messages
            flow.abort()

    async def _run(self) -> None:
        while True:
            try:
                await self._keep_heard()
            except Exception as error:
                self._errors.tell(error)
                await asyncio.sleep(self._health.backoff_cap)

    async def _keep_heard(self) -> None:
        """Connect once it makes sense, and look after the connection until it is lost."""
        while not self._may_connect():
            await self._sleep(None)
        await self._pause()
        if self._may_connect() and await self._connect():
            await self._tend()

    def _may_connect(self) -> bool:
        """Whether there is something to hear, and a server that serves or is about to."""
        pool = self.pool
        if not self.channels or pool.state in FINAL:
            return False
        return pool.is_serving or self._called

    async def _pause(self) -> None:
        """Keep attempts apart, after a failure and after a connection that did not last."""
        clock = self.pool.loop.time
        if self.error is None and clock() - self._connected_at >= self._health.backoff_cap:
            self._backoff.reset()
            return
        ends = self._begun_at + self._backoff.pause()
        while clock() < ends and not self._called:
            await self._sleep(ends)

    async def _connect(self) -> bool:
        pool, dialer = self.pool, self.pool.dialer
        self._begun_at, moves = pool.loop.time(), pool.moves
        try:
            async with dialer.second_connect:
                connection = await dialer.dial_known()
        except RedisUnavailableError as error:
            self.error = error
            return False
        if pool.moves != moves or pool.state in FINAL:
            connection.abort()
            return False
        self.error, self._connected_at = None, pool.loop.time()
        self._moves, self._peer = moves, self._next_peer if self._called else pool.peer
        self._flow = SubscriptionConnection(self, connection)
        self._flow.subscribe(self.channels.values())
        return True

    async def _tend(self) -> None:
        """Ask for signs of life, and compare what is subscribed, until the connection is lost."""
        clock, flow, timeout = self.pool.loop.time, self._flow, self._health.timeout
        now = clock()
        next_pulse, compare_at = now + self._health.interval, now + _COMPARE
        pulse: Pulse | None = None
        while flow is not None and flow is self._flow:
            if pulse is not None and pulse.is_silent(now):
                silence = self._health.interval + timeout
                flow.lose(f"no reply for {silence:g} s", flow.last_heard)
                return
            if now >= next_pulse and (pulse is None or pulse.answered):
                pulse, next_pulse = Pulse(flow, timeout), now + self._health.interval
            if now >= compare_at:
                flow.compare(timeout)
                compare_at = now + _COMPARE
            self._ask_again(flow, now)
            if not self.channels and now >= self._idle_since + _LINGER:
                self._drop()
                return
            waiting = pulse is not None and not pulse.answered
            due = min(pulse.due if pulse and waiting else next_pulse, compare_at, self._retry_at)
            await self._sleep(due if self.channels else min(due, self._idle_since + _LINGER))
            # A timer may fire a step of the clock early.
            now = max(clock(), due) if clock() >= due - _STEP else clock()

    def _ask_again(self, flow: SubscriptionConnection, now: float) -> None:
        """Ask for what was refused, once its pause is over."""
        if now < self._retry_at:
            return
        asked, self._retry, self._retry_at = self._retry, set(), float("inf")
        flow.subscribe(channel for channel in asked if channel.key in self.channels)

    async def _sleep(self, until: float | None) -> None:
        """Sleep until something has happened, or until that time on the loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
