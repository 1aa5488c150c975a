"""The one connection over which streams are read: a blocking read of all of them at once.

Each read blocks for a short time only, so that a connection which died silently is noticed.
Between two reads, and first of all on a new connection, the server is asked whether the
streams are still what they were.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import hiredis
import redis.exceptions as redis_errors

from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.observe.log import InternalErrors
from redis_manager_fastapi.pool.deadline import Deadline
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.leases import Lease
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import new_request
from redis_manager_fastapi.realtime.tails.cursor import ID, ZERO, shown
from redis_manager_fastapi.realtime.tails.feed import Feed
from redis_manager_fastapi.realtime.tails.life import Life, found_in, parse_entries, parse_life
from redis_manager_fastapi.realtime.tails.places import Place
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.supervision.supervisor import FullJitter
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.topology.failures import from_reply

# How many entries of each stream one read returns at most.
_PAGE = 1000

# Seconds between two questions about a stream that is being read.
CHECK = 1.0

# Seconds between two attempts to unblock a read that had not reached the server yet.
_AGAIN = 0.005

_FAILURES = (RedisManagerError, redis_errors.RedisError, OSError)

# What a server says of one stream, and not of all.
_OF_THE_STREAM = "WRONGTYPE"


class Reader:
    """Follows streams that can be read with one command.

    Args:
        place: Where they are.
        settings: The manager's.
        instance: Its name.

    Attributes:
        feeds: The streams, by key.
        connected: Whether they are being read.
    """

    def __init__(self, place: Place, settings: RedisSettings, instance: str) -> None:
        self.feeds: dict[bytes, Feed] = {}
        self.connected = False
        self._place = place
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._waker: asyncio.Task[None] | None = None
        self._pool: Pool | None = None
        self._number: int | None = None  # what the server knows the connection by
        self._leg = 0
        self._page = _PAGE
        self._blocking = False
        self._checked = float("-inf")
        self._backoff = FullJitter(settings.health.backoff_base, settings.health.backoff_cap)
        self._errors = InternalErrors(instance, "tails")

    def add(self, feed: Feed) -> None:
        """Follow one more stream."""
        self.feeds[feed.raw] = feed
        if self._task is None:
            self._task = self._loop.create_task(self._run(), name="redis-tails")
        self.wake()

    def remove(self, feed: Feed) -> None:
        """Follow it no longer; a stream that failed may be another feed's by now."""
        if self.feeds.get(feed.raw) is feed:
            del self.feeds[feed.raw]

    def wake(self) -> None:
        """End the read that is under way: there is something else to ask first."""
        if self._blocking and (self._waker is None or self._waker.done()):
            self._waker = self._loop.create_task(self._unblock(self._leg), name="redis-tails-wake")

    async def stop(self) -> None:
        """End the task and close the connection."""
        running = {task for task in (self._task, self._waker) if task is not None}
        self._task = self._waker = None
        if running:
            await end(running)

    async def _run(self) -> None:
        while True:
            try:
                await self._connect_and_read()
            except _FAILURES:
                self._place.doubt()
                await self._pause()
            except Exception as error:
                self._errors.tell(error)
                await self._pause()

    async def _connect_and_read(self) -> None:
        self._pool = None
        lease = await self._acquire()
        try:
            connection, pool = lease.connection, self._pool
            (number,) = await self._ask(connection, ("CLIENT", "ID"))
            self._number = number if isinstance(number, int) else None  # forbidden by an ACL
            self._checked = float("-inf")
            while True:
                await self._check(connection)
                self._backoff.reset()
                self.connected = True
                await self._read(connection)
                if pool is None or connection.left_behind or self._place.has_moved(pool):
                    return
        finally:
            self.connected = self._blocking = False
            lease.give_back(reusable=False)
            for feed in self.feeds.values():
                feed.broken = feed.due = True

    async def _acquire(self) -> Lease:
        """Take a connection; those who enter learn it when there is none within grace."""
        settings, now = self._settings, self._loop.time()
        try:
            patience = settings.health.interval if self._place.brief else settings.timeout.command
            self._pool = await self._place.find(now + settings.timeout.command)
            return await self._pool.leases.acquire(
                "manager.tail", now + patience, decode=False, unlimited=True, lasting=True
            )
        except RedisManagerError as error:
            limit = settings.outage.grace if self._place.brief else 0.0
            for feed in list(self.feeds.values()):
                if feed.last is None and now - feed.since >= limit:
                    feed.fail(error)
            raise

    def _followed(self) -> list[Feed]:
        """Those that have not failed: nothing more is asked about one that has."""
        return [feed for feed in self.feeds.values() if feed.error is None]

    async def _read(self, connection: DedicatedConnection) -> None:
        """Read once, for as long as a silent connection may go unnoticed."""
        followed = self._followed()
        if any(feed.due for feed in followed):
            return
        feeds = [feed for feed in followed if feed.last is not None]
        health = self._settings.health
        if not feeds:
            await asyncio.sleep(_AGAIN)
            return
        command = [
            "XREAD",
            "COUNT",
            self._page,
            "BLOCK",
            max(1, int(health.interval * 1000)),
            "STREAMS",
        ]
        ids = [shown(feed.last) for feed in feeds if feed.last is not None]
        self._leg += 1
        self._blocking = True
        try:
            (reply,) = await self._ask(
                connection, (*command, *(feed.raw for feed in feeds), *ids), block=health.interval
            )
        except redis_errors.TimeoutError:
            self._page = max(1, self._page // 4)  # entries may be too large to come in time
            raise
        finally:
            self._blocking = False
        self._page = min(_PAGE, self._page * 2)
        if isinstance(reply, Exception):
            await self._refused(connection, feeds, reply)
            return
        now = self._loop.time()
        for each in feeds:
            each.heard = now
        pairs = reply.items() if isinstance(reply, dict) else reply or ()
        for raw, entries in pairs:
            if (feed := self.feeds.get(raw)) is not None and feed in feeds:
                feed.take(parse_entries(entries), now)

    async def _refused(
        self, connection: DedicatedConnection, feeds: list[Feed], error: Exception
    ) -> None:
        """Find which of the streams the server does not read, and tell those who follow it."""
        if not _concerns_one(error):
            raise error
        reads = [
            ("XREAD", "COUNT", 1, "STREAMS", feed.raw, shown(feed.last or ZERO)) for feed in feeds
        ]
        for feed, reply in zip(feeds, await self._ask(connection, *reads), strict=True):
            feed.due = True
            if isinstance(reply, Exception):
                self._fail(feed, reply)
        await asyncio.sleep(_AGAIN)

    async def _check(self, connection: DedicatedConnection) -> None:
        """Ask about each stream, and look closer at those of which the answer is not enough."""
        now = self._loop.time()
        regular = now - self._checked >= CHECK
        feeds = [each for each in self._followed() if regular or each.due]
        if regular:
            self._checked = now
        if not feeds:
            return
        unsettled = []
        replies = await self._ask(connection, *(("XINFO STREAM", each.raw) for each in feeds))
        for feed, reply in zip(feeds, replies, strict=True):
            if (life := self._life(feed, reply)) is None and feed.error:
                continue
            if feed.settled(life):
                feed.check(life, {}, now)
            else:
                unsettled.append(feed)
        for feed in unsettled:
            await self._look_closer(connection, feed)

    async def _look_closer(self, connection: DedicatedConnection, feed: Feed) -> None:
        # The entries first: one that is added or removed in between is not taken for missing.
        *entries, told = await self._ask(connection, *look_up(feed.raw, feed.wanted()))
        found: dict[ID, str] = {}
        for reply in entries:
            if isinstance(reply, Exception):
                self._life(feed, reply)
                return
            found |= found_in(feed.raw, parse_entries(reply))
        life = self._life(feed, told)
        if not feed.error:
            feed.check(life, found, self._loop.time())

    def _life(self, feed: Feed, reply: Any) -> Life | None:
        """Return what the server says of a stream; None if there is none."""
        if not isinstance(reply, Exception):
            return parse_life(feed.raw, reply)
        if "no such key" in str(reply):
            return None
        self._fail(feed, reply)
        return None

    def _fail(self, feed: Feed, error: Exception) -> None:
        if not _concerns_one(error):
            raise error
        feed.fail(from_reply(error, self._pool.instance if self._pool else ""))

    async def _ask(
        self, connection: DedicatedConnection, *commands: Sequence[Any], block: float = 0.0
    ) -> list[Any]:
        """Return the replies to *commands*, errors included."""
        replies: list[Any] = []
        limit = block + self._settings.health.timeout
        try:
            async with Deadline(self._loop.time() + limit):
                packed = connection.pack_commands(commands)
                await connection.send_packed_command(packed, check_health=False)
                for _ in commands:
                    try:
                        replies.append(await connection.read_response())
                    except redis_errors.ResponseError as error:
                        replies.append(error)
        except TimeoutError as error:
            raise redis_errors.TimeoutError("no reply to a read of streams") from error
        return replies

    async def _pause(self) -> None:
        """Wait until there is hope: a moment, and as long as the pool does not serve."""
        await asyncio.sleep(self._backoff.pause())
        if self._pool is not None and not self._pool.is_serving:
            with suppress(RedisManagerError):
                await self._pool.wait_ready(self._settings.health.interval)

    async def _unblock(self, leg: int) -> None:
        """Have the server end the read; ask again if it has not begun yet."""
        while self._blocking and self._leg == leg and self._pool is not None and self._number:
            link = self._pool.link_set.least_busy()
            if link is None:
                return
            future = self._loop.create_future()
            command: Any = ("CLIENT", "UNBLOCK", str(self._number))
            packed = hiredis.pack_command(command)
            deadline = self._loop.time() + self._settings.timeout.command
            link.submit(new_request(packed, future, deadline, decode=True, read_only=True))
            if await future != 0:
                return
            await asyncio.sleep(_AGAIN)


def _concerns_one(error: Exception) -> bool:
    forbidden = isinstance(error, redis_errors.NoPermissionError)
    return forbidden or str(error).startswith(_OF_THE_STREAM)


def look_up(stream: bytes, ids: Iterable[ID]) -> list[tuple[Any, ...]]:
    """Return the commands that ask for entries by ID, and then for the stream."""
    entries = [("XRANGE", stream, shown(id_), shown(id_), "COUNT", 1) for id_ in ids]
    return [*entries, ("XINFO STREAM", stream)]
