"""One `manager.tail` block: what one listener has had of a stream, and what comes next.

It takes from the stream's log in memory by number, or catches up by pages.
"""

import asyncio
import random
from collections import deque
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from redis_manager_fastapi.errors import (
    CommandTimeoutError,
    ListenerTooSlowError,
    PoolClosedError,
    RedisManagerError,
    RedisPermissionError,
)
from redis_manager_fastapi.observe.words import counted
from redis_manager_fastapi.pool.pacing import paced, turnstile
from redis_manager_fastapi.realtime.buffer import Overflow
from redis_manager_fastapi.realtime.items import Gap, StreamEntry
from redis_manager_fastapi.realtime.tails.cursor import ID, ZERO, Cursor, parse_cursor
from redis_manager_fastapi.realtime.tails.feed import Feed
from redis_manager_fastapi.realtime.tails.life import Found, Life, Raw, resume
from redis_manager_fastapi.realtime.until import Connected, Until

NOT_A_CURSOR = "what was given as `after` is no cursor, so this goes on from now"

START = "start"

# How many entries one who catches up reads at a time.
_PAGE = 500

# The longest pause (seconds) before a page that could not be had is asked for again.
_PAUSE = 0.3


class Answer(NamedTuple):
    """What a server says, at one moment, to one who catches up.

    Attributes:
        life: The stream; None if there is none.
        found: Which of the entries that were asked for are there.
        entries: The entries after the cursor, as many as were asked for.
    """

    life: Life | None
    found: Found
    entries: list[Raw]


class Source(Protocol):
    """What a tail needs of the part that it belongs to.

    Attributes:
        patience: For how many seconds a tail may wait when it is entered.
    """

    patience: float

    def join(self, tail: "Tail") -> Feed:
        """Have the tail's stream followed."""
        ...

    async def leave(self, tail: "Tail") -> None:
        """Have it followed no longer, if nobody else does."""
        ...

    async def ask(self, feed: Feed, cursor: Cursor, known: Cursor, count: int) -> Answer:
        """Ask what comes after *cursor*, and what became of the entries of both cursors."""
        ...

    def recheck(self, feed: Feed) -> None:
        """Have the stream looked at before it is read on."""
        ...

    def tell(self, feed: Feed, gap: Gap) -> None:
        """Tell of a gap that this listener alone has."""
        ...


class Tail:
    """The entries of a stream: `async with` enters it, `async for` takes what comes.

    Attributes:
        stream: The stream's key.
        buffer: How many entries it may be behind.
    """

    def __init__(
        self,
        source: Source,
        stream: str,
        after: str | None,
        buffer: int,
        overflow: Overflow,
        until: Connected | None,
        *,
        instance: str,
    ) -> None:
        self.stream = stream
        self.buffer = buffer
        self._source = source
        self._after = after
        self._overflow: Overflow = overflow
        self._until = Until(until)
        self._instance = instance
        self._loop: asyncio.AbstractEventLoop
        self._feed: Feed | None = None
        self._last: StreamEntry | Gap | None = None  # what was taken last
        self._cursor = Cursor(ZERO)  # where it is, unless something was taken since
        self._number: int | None = None  # of the log's item that comes next; None: catching up
        self._seen: ID = ZERO  # entries of the log up to here were read in a page
        self._limit = buffer
        self._epoch: int | None = None  # in which the cursor is known to be of the stream
        self._page: deque[Raw] = deque()
        self._count = min(buffer, _PAGE)
        self._doubted = False
        self._gap: Gap | None = None
        self._ended_at: float | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Tail {self.stream!r}>"

    @paced
    async def __aenter__(self) -> Self:
        if self._feed is not None:
            raise RuntimeError("a tail is entered once; call `manager.tail` for each block")
        self._loop = asyncio.get_running_loop()
        self._feed = feed = self._source.join(self)
        try:
            await self._wait_known(feed)
        except BaseException:
            await self._source.leave(self)
            raise
        self._find_place(feed)
        self._until.begin(self.end)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
        try:
            await self._until.aclose()
        finally:
            await self._source.leave(self)

    def end(self, by: float = 0.0) -> None:
        """End the iteration; what is in memory may be taken until *by*, on the loop's clock."""
        if self._ended_at is None or by < self._ended_at:
            self._ended_at = by
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEntry | Gap:
        if self._feed is None:
            await turnstile().refused()
            raise RuntimeError("enter it first: `async with manager.tail(...) as entries:`")
        feed = self._feed
        while self._ended_at is None or self._loop.time() < self._ended_at:
            try:
                item = self._take(feed)
            except ListenerTooSlowError:
                await turnstile().refused()
                raise
            if item is not None:
                return item
            if feed.error is not None:
                await turnstile().refused()
                raise feed.error
            if self._ended_at is not None:
                break
            if self._number is None:
                await self._catch_up(feed)
            else:
                await self._wait(feed)
        await turnstile().refused()
        raise StopAsyncIteration

    # Entering.

    async def _wait_known(self, feed: Feed) -> None:
        limit = self._loop.time() + self._source.patience
        while feed.last is None:
            if feed.error is not None:
                raise feed.error
            if self._ended_at is not None:
                message = f"redis {self._instance!r} is closing"
                raise PoolClosedError(message, instance=self._instance)
            if self._loop.time() >= limit:
                message = (
                    f"redis {self._instance!r} did not say within {self._source.patience:g} s"
                    " what is in the stream"
                )
                raise CommandTimeoutError(message, instance=self._instance)
            await self._wait(feed, limit)

    def _find_place(self, feed: Feed) -> None:
        """Find where in the log it begins, if it is there."""
        cursor = Cursor(ZERO) if self._after == START else parse_cursor(self._after or "")
        if cursor is not None:
            self._cursor = cursor
            return
        self._cursor, self._number = feed.cursor, feed.end
        if self._after:
            self._gap = Gap(NOT_A_CURSOR, cursor=str(feed.cursor))
            self._source.tell(feed, self._gap)

    # What is in memory.

    def _take(self, feed: Feed) -> StreamEntry | Gap | None:
        """Return what comes next, if it is here."""
        item: StreamEntry | Gap | None
        if self._gap is not None:
            item, self._gap = self._gap, None
            return item
        if self._number is not None:
            item = self._take_of_log(feed, self._number)
        else:
            item = feed.made(self._page.popleft()) if self._page else None
        if item is not None:
            self._last = item
        return item

    def _take_of_log(self, feed: Feed, number: int) -> StreamEntry | Gap | None:
        if self._overflow == "end" and feed.end - number > self._limit:
            message = (
                f"a listener to a stream of redis {self._instance!r} is more than"
                f" {counted(self.buffer, 'entry', 'entries')} behind"
            )
            raise ListenerTooSlowError(message, instance=self._instance)
        if number < feed.base:  # what comes next is not in memory any more
            self._number = self._epoch = None
            self._cursor = self._here
            return None
        while number < feed.end:
            id_, item = feed.item(number)
            number += 1
            self._number = number
            if id_ is None:
                self._seen = ZERO
            if id_ is None or id_ > self._seen:
                return item
        return None

    @property
    def _here(self) -> Cursor:
        """Where it is in the stream: after what was taken last."""
        cursor = parse_cursor(self._last.cursor) if self._last is not None else None
        self._last = None
        if cursor is not None:
            self._cursor = cursor
        return self._cursor

    # Catching up.

    async def _catch_up(self, feed: Feed) -> None:
        """Find the place in the log, or get the next page."""
        cursor = self._here
        same = self._epoch == feed.epoch
        number = feed.number_after(cursor.id) if same else feed.number_after_same(cursor)
        if number is not None:
            self._number, self._seen = number, cursor.id
            self._limit = max(self.buffer, feed.end - number)
        elif feed.broken or feed.last is None:
            await self._wait(feed)
        else:
            await self._read_page(feed, cursor)

    async def _read_page(self, feed: Feed, cursor: Cursor) -> None:
        epoch, checks, known, entries = feed.epoch, feed.checks, feed.cursor, feed.entries
        try:
            answer = await self._source.ask(feed, cursor, known, self._count)
        except RedisPermissionError:
            raise
        except RedisManagerError as error:
            if isinstance(error, CommandTimeoutError):
                self._count = max(1, self._count // 4)  # entries may be too large to come in time
            pause = random.uniform(0.0, _PAUSE)  # noqa: S311 (spreads load)
            await self._wait(feed, self._loop.time() + pause)
            return
        if feed.epoch != epoch:
            return
        if not self._doubted and feed.doubts(known, entries, answer.life, answer.found):
            # The feed has not heard of it yet: it decides first, so that both tell of it once.
            self._doubted = True
            self._source.recheck(feed)
            while feed.checks == checks and self._ended_at is None and feed.error is None:
                await self._wait(feed)
            return
        self._doubted = False
        self._use(feed, cursor, answer)

    def _use(self, feed: Feed, cursor: Cursor, answer: Answer) -> None:
        verdict = resume(cursor, answer.life, answer.found)
        self._epoch = feed.epoch
        if verdict.gap:
            self._gap = Gap(verdict.gap, cursor=str(verdict.cursor(answer.life)))
            self._source.tell(feed, self._gap)
        if verdict.position != cursor.id:
            self._cursor = verdict.cursor(answer.life)
        elif answer.entries:
            self._page.extend(answer.entries)
        elif answer.life is not None:
            self._cursor = Cursor(max(answer.life.last, cursor.id), "", cursor.marks)

    async def _wait(self, feed: Feed, until: float | None = None) -> None:
        """Wait for news of the stream, or until *until*, on the loop's clock."""
        self._waiter = waiter = self._loop.create_future()
        feed.waiting.add(waiter)
        timer = None if until is None else self._loop.call_at(until, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            feed.waiting.discard(waiter)
            if timer is not None:
                timer.cancel()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
