"""One fault, once, under load: what its callers saw."""

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis.asyncio

from benchmarks.faults.rows import PASSWORD, Row, Stage
from benchmarks.faults.subjects import Subject
from redis_manager_fastapi.testing import FaultProxy, RedisServer

WARM = 0.5
QUIET = 1.0  # without an error, and the fault is called over
PATIENCE = 12.0


@dataclass(slots=True)
class Outcome:
    """What one run showed.

    Attributes:
        recovery: Seconds from the end of the fault until everything succeeds.
        slowest: The longest call, in seconds.
        calls: How many calls there were.
        errors: How many failed, by class.
        connects: Connections made from the fault on.
        descriptors: How many more there were afterwards.
        mixed_up: Replies that belonged to another caller.
        repeated: Writes that ran more often than anybody asked for them.
    """

    recovery: float = 0.0
    slowest: float = 0.0
    calls: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    connects: int = 0
    descriptors: int = 0
    mixed_up: int = 0
    repeated: int = 0


class Callers:
    """Reads and writes by turns, at a steady rate."""

    def __init__(self, client: redis.asyncio.Redis, outcome: Outcome) -> None:
        self.last_error = 0.0
        self.successes: list[float] = []
        self.begun = 0
        self._client = client
        self._outcome = outcome
        self._tags = itertools.count()

    @asynccontextmanager
    async def calling(self, rate: float) -> AsyncIterator[None]:
        """Call until the block ends, and wait for the last answer."""
        running: set[asyncio.Future[None]] = set()

        async def feed() -> None:
            for number in itertools.count():
                task = asyncio.ensure_future(self._call(write=number % 2 == 1))
                running.add(task)
                task.add_done_callback(running.discard)
                await asyncio.sleep(1 / rate)

        feeder = asyncio.create_task(feed())
        try:
            yield
        finally:
            feeder.cancel()
            await asyncio.wait({feeder, *running}, timeout=PATIENCE)
            for task in running:
                self._outcome.errors["(no answer)"] += 1
                task.cancel()
            if running:
                await asyncio.wait(running)

    async def _call(self, *, write: bool) -> None:
        start, tag = time.monotonic(), f"tag {next(self._tags)}"
        self._outcome.calls += 1
        self.begun += write
        try:
            if write:
                await self._client.incr("counter")
            else:
                reply: Any = await self._client.echo(tag)
                self._outcome.mixed_up += reply not in (tag, tag.encode())
        except Exception as error:
            self._outcome.errors[type(error).__name__] += 1
            self.last_error = time.monotonic()
        else:
            self.successes.append(start)
        self._outcome.slowest = max(self._outcome.slowest, time.monotonic() - start)


async def run(subject: Subject, row: Row) -> Outcome:
    """Make the fault of *row* once."""
    outcome = Outcome()
    logging.getLogger("redis_manager_fastapi").setLevel(logging.CRITICAL)
    async with (
        RedisServer(row.directives, password=PASSWORD) as server,
        FaultProxy(server.host, server.port) as proxy,
    ):
        url = proxy.url.replace("://", f"://:{PASSWORD}@")
        async with subject.open(url) as client:
            callers = Callers(client, outcome)
            async with callers.calling(row.rate):
                await asyncio.sleep(WARM)
                descriptors, accepted = _descriptors(), (await proxy.stats()).accepted
                outcome.slowest, began = 0.0, time.monotonic()
                await row.make(Stage(server, proxy, client))
                ended = time.monotonic()
                await _calm(callers, ended, 1 / row.rate)
            outcome.connects = (await proxy.stats()).accepted - accepted
            outcome.descriptors = _descriptors() - descriptors
            outcome.recovery = _recovery(callers, began, ended)
        executed = int(await server.command("GET", "counter") or 0)
        outcome.repeated = max(0, executed - callers.begun)
    return outcome


async def _calm(callers: Callers, ended: float, pause: float) -> None:
    """Wait until nothing has failed for a while."""
    while (now := time.monotonic()) < ended + PATIENCE:
        served = any(start > ended for start in callers.successes[-20:])
        if served and now - max(callers.last_error, ended) > QUIET + pause:
            return
        await asyncio.sleep(0.05)


def _recovery(callers: Callers, began: float, ended: float) -> float:
    """Seconds from *ended* to the first call from which on all succeed; PATIENCE for never."""
    well = (start for start in callers.successes if start >= max(ended, callers.last_error))
    first = next(well, ended + PATIENCE)
    return 0.0 if callers.last_error < began else max(0.0, first - ended)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return *outcome* as what `json` can write."""
    return {name: getattr(outcome, name) for name in Outcome.__slots__}
