"""All tails of one manager: which streams are followed, over which connections."""

import asyncio
from typing import Any

from redis_manager_fastapi.errors import PoolClosedError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import StreamGap
from redis_manager_fastapi.observe.realtime import TailStats
from redis_manager_fastapi.realtime.buffer import Overflow
from redis_manager_fastapi.realtime.items import Gap, check_sendable
from redis_manager_fastapi.realtime.tails.cursor import ID, Cursor, shown
from redis_manager_fastapi.realtime.tails.feed import Feed
from redis_manager_fastapi.realtime.tails.life import found_in, parse_entries, parse_life
from redis_manager_fastapi.realtime.tails.places import OneServer, Place, Slot
from redis_manager_fastapi.realtime.tails.reader import Reader, look_up
from redis_manager_fastapi.realtime.tails.tail import Answer, Tail
from redis_manager_fastapi.realtime.until import Connected
from redis_manager_fastapi.settings import RedisSettings

# For how long (seconds) what is in memory may still be taken when the process ends.
_LAST_WORDS = 0.5


class Tails:
    """Follows each stream once, however many listen to it.

    Args:
        client: The manager's.
        settings: The manager's.
        bus: Is told of gaps.

    Attributes:
        patience: For how many seconds a tail may wait when it is entered.
    """

    def __init__(self, client: Any, settings: RedisSettings, bus: Bus) -> None:
        self.patience = settings.timeout.command + settings.outage.grace
        self._client = client
        self._settings = settings
        self._bus = bus
        self._open: dict[Tail, Feed] = {}
        self._feeds: dict[str, Feed] = {}
        self._readers: dict[int | None, Reader] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._entries = self._gaps = self._dropped = 0

    def tail(
        self,
        stream: str,
        after: str | None,
        buffer: int,
        overflow: Overflow,
        until: Connected | None,
    ) -> Tail:
        """Return a tail to enter.

        Raises:
            TypeError, ValueError: An argument is wrong.
        """
        if not isinstance(stream, str):
            raise TypeError(f"a stream's key is a str, not {stream!r}; tail one stream at a time")
        check_sendable("a stream's key", stream)
        if after is not None and not isinstance(after, str):
            raise TypeError(f'after is the cursor of an entry, "start" or None, not {after!r}')
        if isinstance(buffer, bool) or not isinstance(buffer, int):
            raise TypeError(f"buffer is a number of entries, not {buffer!r}")
        if buffer < 1:
            raise ValueError(f"buffer is a number of entries, 1 or more, not {buffer}")
        if overflow not in ("drop", "end"):
            raise ValueError(f'overflow is "drop" or "end", not {overflow!r}')
        instance = self._client.session.instance
        return Tail(self, stream, after, buffer, overflow, until, instance=instance)

    def stats(self) -> TailStats:
        """Return the counters of this instant."""
        return TailStats(
            tails=len(self._open),
            streams=len(self._feeds),
            entries=self._entries + sum(feed.entries for feed in self._feeds.values()),
            gaps=self._gaps,
            dropped=self._dropped,
        )

    # What a tail asks for.

    def join(self, tail: Tail) -> Feed:
        """Have the tail's stream followed.

        Raises:
            PoolClosedError: The manager is closing.
            RedisNotStartedError: It was never opened, or on another event loop.
        """
        deployment = self._client.session.deployment
        deployment.require().check_usable()
        if self._stopped:
            instance = deployment.instance
            raise PoolClosedError(f"redis {instance!r} is closing", instance=instance)
        feed = self._feeds.get(tail.stream)
        if feed is None or feed.error is not None:
            now = asyncio.get_running_loop().time()
            feed = Feed(tail.stream, now, self._feed_broke)
            self._feeds[tail.stream] = feed
            self._reader_of(feed).add(feed)
        feed.size = max(feed.size, tail.buffer)
        self._open[tail] = feed
        return feed

    async def leave(self, tail: Tail) -> None:
        """Have its stream followed no longer, if nobody else does."""
        feed = self._open.pop(tail, None)
        if feed is None or feed in self._open.values():
            return
        if self._feeds.get(feed.stream) is feed:
            del self._feeds[feed.stream]
        self._entries += feed.entries
        for key, reader in list(self._readers.items()):
            reader.remove(feed)
            if not reader.feeds:
                del self._readers[key]
                await self._stop(reader)

    async def ask(self, feed: Feed, cursor: Cursor, known: Cursor, count: int) -> Answer:
        """Ask what comes after *cursor*, and what became of the entries of both cursors."""
        marks = (mark.id for mark in cursor.marks)
        looked_up = look_up(feed.raw, dict.fromkeys((cursor.id, known.id, *marks)))
        page = ("XRANGE", feed.raw, shown(_next(cursor.id)), "+", "COUNT", count)
        # A transaction is of one moment, and goes to the primary whatever reads do else.
        pipeline = self._client.with_options(decode_responses=False).pipeline(transaction=True)
        for command in (*looked_up, page):
            pipeline.execute_command(*command)
        *entries, told, following = await pipeline.execute(raise_on_error=False)
        found: dict[ID, str] = {}
        for reply in (*entries, following):
            if isinstance(reply, Exception):
                raise reply
        for reply in entries:
            found |= found_in(feed.raw, parse_entries(reply))
        missing = isinstance(told, Exception) and "no such key" in str(told)
        if isinstance(told, Exception) and not missing:
            raise told
        life = None if missing else parse_life(feed.raw, told)
        return Answer(life, found, parse_entries(following))

    def recheck(self, feed: Feed) -> None:
        """Have the stream looked at before it is read on."""
        feed.due = True
        for reader in self._readers.values():
            if feed.raw in reader.feeds:
                reader.wake()

    def tell(self, feed: Feed, gap: Gap) -> None:
        """Tell of a gap that one listener alone has."""
        self._count(feed, gap, 1)

    # How it ends.

    def stop(self) -> None:
        """End every iteration; what is in memory may be taken for a moment."""
        self._stopped = True
        for tail in self._open:
            tail.end(asyncio.get_running_loop().time() + _LAST_WORDS)

    async def aclose(self, timeout: float) -> None:
        """Close the connections; nobody waits for a listener."""
        try:
            for tail in self._open:
                tail.end(0.0)
            readers, self._readers = list(self._readers.values()), {}
            for reader in readers:
                await self._stop(reader)
            while self._stopping:
                await asyncio.wait(self._stopping)
        finally:
            self._open, self._feeds, self._stopped = {}, {}, False

    # Inside.

    def _reader_of(self, feed: Feed) -> Reader:
        key: int | None = None
        place: Place
        if self._settings.topology == "cluster":
            slot: int = self._client.keyslot(feed.raw)
            key, place = slot, Slot(self._client, slot)
        else:
            place = OneServer(self._client.session.deployment)
        if key not in self._readers:
            instance = self._client.session.instance
            self._readers[key] = Reader(place, self._settings, instance)
        return self._readers[key]

    async def _stop(self, reader: Reader) -> None:
        """Stop it for certain, also when who waits for it is cancelled."""
        task = asyncio.get_running_loop().create_task(reader.stop(), name="redis-tails-stop")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
        await asyncio.shield(task)

    def _feed_broke(self, feed: Feed, gap: Gap) -> None:
        self._count(feed, gap, sum(each is feed for each in self._open.values()))

    def _count(self, feed: Feed, gap: Gap, listeners: int) -> None:
        self._gaps += listeners
        self._dropped += gap.dropped * listeners
        instance = self._client.session.instance
        self._bus.emit(StreamGap(instance, feed.stream, gap.reason, gap.seconds, listeners))


def _next(id_: ID) -> ID:
    """Return the lowest ID after *id_*: Redis 5.0 knows no ranges that exclude their ends."""
    milliseconds, number = id_
    return (milliseconds, number + 1) if number + 1 < 1 << 64 else (milliseconds + 1, 0)
