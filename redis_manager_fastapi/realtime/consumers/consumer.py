"""One member of a consumer group: what it hands out, and what becomes of it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from redis.exceptions import RedisError

from redis_manager_fastapi.errors import PoolClosedError, RedisManagerError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.words import counted, one_line
from redis_manager_fastapi.pool.pacing import turnstile
from redis_manager_fastapi.realtime.consumers.group import Abilities, Group
from redis_manager_fastapi.realtime.consumers.healing import Healing
from redis_manager_fastapi.realtime.consumers.lane import Lane
from redis_manager_fastapi.realtime.consumers.ledger import Ledger
from redis_manager_fastapi.realtime.consumers.options import ConsumerOptions
from redis_manager_fastapi.realtime.consumers.teller import Teller
from redis_manager_fastapi.realtime.items import StreamEntry
from redis_manager_fastapi.supervision.deployment import Deployment
from redis_manager_fastapi.tasks import end

logger = logging.getLogger("redis_manager_fastapi")

_LONGEST_LEG = 0.5  # seconds that a read blocks; an end waits for one

Slots = Callable[[tuple[str, ...]], dict[int | None, list[str]]]
"""Sorts streams by their slots; all are under None without a Cluster."""


class Consumer:
    """Reads its streams in batches while somebody asks, and hands the entries out.

    Args:
        client: The manager's.
        deployment: The manager's.
        bus: Takes the events.
        options: What it does.
        slots: Sorts its streams by their slots.
        can: What the servers can do.

    Attributes:
        ledgers: What it has of each stream.
        group: The group.
        stopping: Whether nothing is handed out any more.
        closed: Set when it is closed.
    """

    def __init__(
        self,
        client: Any,
        deployment: Deployment[Any],
        bus: Bus,
        options: ConsumerOptions,
        slots: Slots,
        can: Abilities,
    ) -> None:
        health = deployment.settings.health
        leg = min(health.interval, _LONGEST_LEG)
        self.options, self.bus, self.instance = options, bus, deployment.instance
        self.ledgers = {stream: Ledger(stream, options.group) for stream in options.streams}
        self.group = Group(client, can, options, leg, health.timeout)
        self.stopping = False
        self.closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._deployment = deployment
        self._queue: deque[StreamEntry] = deque()
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._takers = 0
        self._leg_ends = leg + 2 * health.timeout
        self._slots = slots
        self._lanes = [self._lane(slot, each) for slot, each in slots(options.streams).items()]
        self._tellers = {ledger: lane.teller for lane in self._lanes for ledger in lane.ledgers}
        self._reads: list[asyncio.Task[None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def _lane(self, slot: int | None, streams: list[str]) -> Lane:
        ledgers = [self.ledgers[stream] for stream in streams]
        letter = self.options.dead_letter
        grave = next(iter(self._slots((letter,)))) if letter is not None else slot
        teller = Teller(
            ledgers,
            self.group,
            self.options,
            Healing(self._deployment, slot),
            Healing(self._deployment, grave),
            self.bus,
            instance=self.instance,
            fail=self.fail,
        )
        return Lane(self, ledgers, teller, Healing(self._deployment, slot))

    def start(self) -> None:
        """Begin; nothing is sent before somebody takes."""
        self._reads = [self._begin(lane.run) for lane in self._lanes]
        self._tasks = [*self._reads, *(self._begin(lane.teller.run) for lane in self._lanes)]
        if self.options.max_deliveries is not None:
            self._tasks += [self._begin(lane.teller.run_burials) for lane in self._lanes]

    def _begin(self, loop: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return self._loop.create_task(self._run(loop))

    async def _run(self, loop: Callable[[], Awaitable[None]]) -> None:
        try:
            await loop()
        except Exception as error:  # not one of Redis: somebody must hear of it
            self.fail(error)

    # What those who consume call.

    async def take(self) -> StreamEntry:
        """Return an entry, which is in hand until it is `done` or `raised`.

        Raises:
            StopAsyncIteration: The consumer was stopped.
            redis.RedisError: The server will never have it: NOPERM, WRONGTYPE.
        """
        while True:
            if self._queue and not self.stopping:
                return self._queue.popleft()
            ended = StopAsyncIteration() if self.stopping else self._error
            if ended is not None:
                await turnstile().refused()
                raise ended
            self._news.clear()
            self._takers += 1
            for lane in self._lanes:
                lane.wanted.set()
            try:
                await self._news.wait()
            finally:
                self._takers -= 1

    def done(self, entry: StreamEntry) -> None:
        """The entry's body is through: the server is told soon."""
        ledger = self.ledgers[entry.stream]
        ledger.done(entry)
        self._tellers[ledger].wake()

    def raised(self, entry: StreamEntry, error: BaseException | None) -> None:
        """The entry's body raised *error*, or was left: it stays pending, or is dead-lettered."""
        reason = _reason(error) if error is not None else "left by its consumer"
        ledger = self.ledgers[entry.stream]
        ledger.raised(entry, reason)
        limit = self.options.max_deliveries
        if limit is not None and entry.delivered >= limit and isinstance(error, Exception):
            ledger.poison(entry, reason)
            self._tellers[ledger].wake_for_poison()

    def stop(self) -> None:
        """Hand out nothing more and read nothing more."""
        self.stopping = True
        self._news.set()

    async def close(self, timeout: float) -> None:
        """Tell the server what is through, and hand back what nobody has looked at."""
        self.stop()
        try:
            async with asyncio.timeout(timeout):
                await self._end_reads()
                left = [lane.teller.leave(self._queue, self.options.name) for lane in self._lanes]
                await asyncio.gather(*left)
        except (TimeoutError, RedisError, RedisManagerError) as error:
            self._tell_unfinished(error)
        finally:
            try:
                await end(self._tasks)
            finally:
                self.closed.set()

    async def _end_reads(self) -> None:
        """Let reads end that are out: what they bring is handed back."""
        busy = [task for task, lane in zip(self._reads, self._lanes, strict=True) if lane.busy]
        if busy:
            await asyncio.wait(busy, timeout=self._leg_ends)
        await end(self._tasks)

    def _tell_unfinished(self, error: Exception) -> None:
        ids = sum(len(ledger.through) for ledger in self.ledgers.values())
        if ids:
            logger.warning(
                "redis %r: %s of group %r could not be acknowledged before the consumer ended,"
                " to come again: %s",
                self.instance,
                counted(ids, "handled entry", "handled entries"),
                self.options.group,
                one_line(str(error)) or "no time was left",
                extra={
                    "event": "redis_entries_unacknowledged",
                    "instance": self.instance,
                    "group": self.options.group,
                    "entries": ids,
                },
            )

    # What its lanes call.

    @property
    def hungry(self) -> bool:
        """Whether somebody waits and nothing is at hand."""
        return bool(self._takers) and not self._queue

    def offer(self, entries: Iterable[StreamEntry]) -> None:
        """Have entries handed out, but for those that were delivered too often."""
        limit = self.options.max_deliveries
        for entry in entries:
            if limit is not None and entry.delivered > limit:
                ledger = self.ledgers[entry.stream]
                ledger.poison(entry, ledger.last_reason(entry.id))
                self._tellers[ledger].wake_for_poison()
            else:
                self._queue.append(entry)
        if self._queue:
            self._news.set()

    def fail(self, error: Exception) -> None:
        """End the iteration with *error*; quietly when the manager was closed."""
        if isinstance(error, PoolClosedError):
            self.stop()
        elif self._error is None:
            self._error = error
            self._news.set()


def _reason(error: BaseException) -> str:
    """Return what *error* says, as text that has bytes: half a surrogate pair is spelled out."""
    try:
        told = str(error)
    except Exception:  # the app's class cannot say it
        told = "?"
    return f"{type(error).__name__}: {told}".encode("utf-8", "backslashreplace").decode()
