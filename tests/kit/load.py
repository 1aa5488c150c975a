"""A steady load of reads and counted writes, and what became of each command."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis_manager_fastapi import RedisManagerError

RATE = 150.0


@dataclass
class Outcomes:
    """What callers were told.

    Attributes:
        failed: When each failure was told, on the loop's clock, with its error.
        latencies: Seconds that each command took.
        acknowledged: Increments that were answered, by key.
        maybe: Increments that may have run without an answer, by key.
    """

    failed: list[tuple[float, Exception]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    acknowledged: Counter[str] = field(default_factory=Counter)
    maybe: Counter[str] = field(default_factory=Counter)


async def read(client: Any, outcomes: Outcomes, key: str) -> None:
    """Read a key that holds its own name; another's value is a reply gone astray (I2)."""
    value = await client.get(key)
    assert value == key, f"{key!r} was answered with {value!r}"


def counter(key: str) -> str:
    """The counter of *key*, in the same slot of a Cluster."""
    return f"count:{{{key}}}"


async def count(client: Any, outcomes: Outcomes, key: str) -> None:
    """Increment a counter and note what was told."""
    try:
        await client.incr(counter(key))
    except RedisManagerError as error:
        outcomes.maybe[key] += error.maybe_executed
        raise
    outcomes.acknowledged[key] += 1


Step = Callable[[Any, Outcomes, str], Awaitable[None]]


@asynccontextmanager
async def steady_load(
    client: Any, keys: list[str], *steps: Step, rate: float = RATE
) -> AsyncIterator[Outcomes]:
    """Start *rate* commands a second, in turn over *keys* and *steps*, until the block ends.

    At its end every command has been answered, well or not.
    """
    outcomes = Outcomes()
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()

    async def one(step: Step, key: str) -> None:
        started = loop.time()
        try:
            await step(client, outcomes, key)
        except Exception as error:  # judged by the test
            outcomes.failed.append((loop.time(), error))
        outcomes.latencies.append(loop.time() - started)

    async def drive() -> None:
        begun = loop.time()
        for number in itertools.count():
            step = steps[number % len(steps)]
            task = loop.create_task(one(step, keys[number // len(steps) % len(keys)]))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(begun + (number + 1) / rate - loop.time())

    driver = loop.create_task(drive())
    try:
        yield outcomes
    finally:
        driver.cancel()
        await asyncio.wait({driver})
        if running:
            await asyncio.wait(running)


async def assert_counted_at_most_once(client: Any, outcomes: Outcomes) -> None:
    """No counter is above what callers were told may have run (I6)."""
    for key in outcomes.acknowledged.keys() | outcomes.maybe.keys():
        value = int(await client.get(counter(key)) or 0)
        assert value <= outcomes.acknowledged[key] + outcomes.maybe[key], key
