"""A manager under test, with callers who write down what they were told."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis_manager_fastapi import RedisManager, RedisManagerError
from redis_manager_fastapi.client.redis import Redis
from tests.kit.lag import TICK, LagMeter
from tests.kit.managers import block

SLACK = 0.05


@dataclass(frozen=True, slots=True)
class Call:
    """One command, as its caller saw it.

    Attributes:
        kind: What was called.
        start: When, on the loop's clock.
        end: When it returned or raised.
        error: What it raised.
    """

    kind: str
    start: float
    end: float
    error: RedisManagerError | None


@dataclass(slots=True)
class Ledger:
    """How often a counter was raised, as far as callers were told.

    Attributes:
        begun: Calls so far.
        ran: Replies that were received.
        maybe: Errors that say "it may have run".
        refused: Errors that promise that it did not.
        replies: The values received; a counter hands out each only once.
    """

    begun: int = 0
    ran: int = 0
    maybe: int = 0
    refused: int = 0
    replies: Counter[int] = field(default_factory=Counter)

    def assert_tells_the_truth(self, counter: int) -> None:
        """No write ran twice, none that was confirmed is missing (I6)."""
        assert self.ran <= counter <= self.ran + self.maybe
        assert max(self.replies.values(), default=1) == 1


class Trial:
    """What a test does with the manager, and what came of it.

    Attributes:
        manager: The manager under test.
        redis: Its client.
        calls: Every recorded call.
        ledgers: What callers were told of each counter.
        strangers: Errors that are neither the library's nor expected.
        own_mistakes: The server's own errors that a test provokes; they mean
            that nothing was executed.
    """

    def __init__(self, manager: RedisManager, lag: LagMeter) -> None:
        self.manager = manager
        self.redis: Redis = manager.redis
        self.lag = lag
        self.calls: list[Call] = []
        self.ledgers = {"counter": Ledger(), "pair": Ledger()}
        self.strangers: list[BaseException] = []
        self.own_mistakes: tuple[type[Exception], ...] = ()
        self._loop = asyncio.get_running_loop()
        self._tags = itertools.count()
        self._random = random.Random(0)

    @property
    def now(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    @property
    def recovery(self) -> float:
        """R of the fault list: seconds from the end of a fault to service."""
        settings = self.manager.settings
        return settings.health.backoff_cap + settings.timeout.connect

    # One call each.

    async def read(self) -> RedisManagerError | None:
        """Ask for a reply that nobody else asks for."""
        tag = f"tag {next(self._tags)}"

        async def ask() -> None:
            assert await self.redis.echo(tag) == tag, "a reply reached another caller (I2)"

        return await self._record("read", ask)

    async def write(self) -> RedisManagerError | None:
        """Raise the counter by one."""

        async def ask() -> None:
            reply = await self.redis.incr("counter")
            self.ledgers["counter"].replies[reply] += 1

        return await self._record("write", ask, self.ledgers["counter"])

    async def transact(self) -> RedisManagerError | None:
        """Raise two counters in one transaction, between two reads."""
        tag = f"tag {next(self._tags)}"

        async def ask() -> None:
            pipeline = self.redis.pipeline(transaction=True)
            for command in (("ECHO", tag), ("INCR", "pair"), ("INCR", "twin"), ("ECHO", tag)):
                pipeline.execute_command(*command)
            first, pair, twin, last = await pipeline.execute()
            assert first == last == tag, "a reply reached another caller (I2)"
            assert pair == twin, "a transaction was applied by halves"
            self.ledgers["pair"].replies[pair] += 1

        return await self._record("transact", ask, self.ledgers["pair"])

    async def read_batch(self) -> RedisManagerError | None:
        """Read several replies at once, without a transaction."""
        tags = [f"tag {next(self._tags)}" for _ in range(5)]

        async def ask() -> None:
            pipeline = self.redis.pipeline(transaction=False)
            for tag in tags:
                pipeline.echo(tag)
            assert await pipeline.execute() == tags, "replies reached another caller (I2)"

        return await self._record("read_batch", ask)

    async def gather(self) -> RedisManagerError | None:
        """Read several replies side by side."""
        tags = [f"tag {next(self._tags)}" for _ in range(5)]

        async def ask() -> None:
            replies = await asyncio.gather(*map(self.redis.echo, tags))
            assert replies == tags, "replies reached another caller (I2)"

        return await self._record("gather", ask)

    async def block(self) -> RedisManagerError | None:
        """Wait a moment for an element that never comes."""

        async def ask() -> None:
            await block(self.redis, 0.01)

        return await self._record("block", ask)

    async def warm(self, connections: int = 10) -> None:
        """Have as many dedicated connections open as the test uses at once."""
        pool = self.manager.connection_pool
        held = [await pool.get_connection() for _ in range(connections)]
        for connection in held:
            await pool.release(connection)

    async def readers(self, count: int) -> list[RedisManagerError]:
        """Read *count* times at once; return the errors."""
        return [e for e in await asyncio.gather(*(self.read() for _ in range(count))) if e]

    async def writers(self, count: int) -> list[RedisManagerError]:
        """Write *count* times at once; return the errors."""
        return [e for e in await asyncio.gather(*(self.write() for _ in range(count))) if e]

    @asynccontextmanager
    async def traffic(self, rate: float = 100.0, *kinds: str) -> AsyncIterator[None]:
        """Have calls made at a steady rate, whether or not earlier ones have ended."""
        makers: list[Callable[[], Awaitable[Any]]] = [
            getattr(self, kind) for kind in kinds or ("read", "read", "write", "transact")
        ]
        running: set[asyncio.Future[Any]] = set()

        async def feed() -> None:
            while True:
                task = asyncio.ensure_future(self._random.choice(makers)())
                running.add(task)
                task.add_done_callback(self._note_stranger)
                task.add_done_callback(running.discard)
                await asyncio.sleep(1 / rate)

        feeder = asyncio.create_task(feed())
        try:
            yield
        finally:
            feeder.cancel()
            await asyncio.wait({feeder, *running})

    # What came of it.

    def errors(self, *kinds: str, since: float = 0.0) -> Counter[str]:
        """Count the errors of calls begun after *since* by class."""
        return Counter(
            type(call.error).__name__
            for call in self.calls
            if call.error and call.start >= since and call.kind in (kinds or (call.kind,))
        )

    async def net(self, start: float, end: float | None = None) -> float:
        """Return the time between two instants, without the loop's own lag."""
        end = self.now if end is None else end
        await asyncio.sleep(3 * TICK)
        return end - start - self.lag.within(start, end)

    async def slowest(self, calls: Iterable[Call]) -> float:
        """Return how long the longest of *calls* took, without the loop's own lag."""
        await asyncio.sleep(3 * TICK)
        spans = [(call.start, call.end) for call in calls]
        return max(end - start - self.lag.within(start, end) for start, end in spans)

    async def healed(self, since: float | None = None) -> float:
        """Wait until the manager serves; fail if that takes longer than R (I8)."""
        bound = self.recovery
        since = self.now if since is None else since
        while not self.manager.is_ready:
            assert self.now - since < 10 * bound + 1, f"not healed: {self.manager.stats()}"
            await asyncio.sleep(TICK / 2)
        net = await self.net(since)
        assert net <= bound + SLACK, f"healed after {net:.3f} s, the bound is {bound:g} s"
        return net

    async def detected(self, since: float) -> float:
        """Wait until readiness is off; fail if that takes longer than the bound (I10)."""
        health = self.manager.settings.health
        bound = health.interval + health.timeout
        while self.manager.is_ready:
            assert self.now - since < 10 * bound + 1, "never detected"
            await asyncio.sleep(TICK / 2)
        net = await self.net(since)
        assert net <= bound + SLACK, f"detected after {net:.3f} s, the bound is {bound:g} s"
        return net

    async def _record(
        self, kind: str, ask: Callable[[], Awaitable[None]], ledger: Ledger | None = None
    ) -> RedisManagerError | None:
        start, failure, ledger = self.now, None, ledger or Ledger()
        ledger.begun += 1
        try:
            await ask()
        except RedisManagerError as error:
            failure = error
            ledger.maybe += error.maybe_executed
            ledger.refused += not error.maybe_executed
        except self.own_mistakes:
            ledger.refused += 1
        except BaseException:
            ledger.maybe += 1
            raise
        else:
            ledger.ran += 1
        self.calls.append(Call(kind, start, self.now, failure))
        return failure

    def _note_stranger(self, task: "asyncio.Future[Any]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.strangers.append(error)
