"""A steady load of a library's jobs through a restart or an outage, and what became of them."""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis_manager_fastapi import RedisOutageError
from tests.interop.sides import PATIENCE, Job, Side

RATE = 20.0
_BEFORE, _AFTER = 0.4, 1.0
_TICK = 0.02


@dataclass
class Outcome:
    """What became of the jobs.

    Attributes:
        done: When the jobs began that succeeded, on the loop's clock.
        failed: The errors of the others.
        back: Seconds from the server's start to the end of a job that began after it.
        busy: The share of the outage for which this process was at work.
    """

    done: list[float] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)
    back: float | None = None
    busy: float = 0.0

    @property
    def dishonest(self) -> list[Exception]:
        """The failures that do not say that Redis is away, in their own words or a worker's."""
        ours = RedisOutageError.__module__
        return [each for each in self.failed if not (_is_told(each) or ours in str(each))]


async def through(side: Side, job: Job, down: float) -> Outcome:
    """Do *job* steadily while the server is stopped, and started again *down* seconds later.

    No job is under way at the moment of its end: a write that was would be told as lost.
    """
    loop = asyncio.get_running_loop()
    async with _load(job) as load:
        outcome = load.outcome
        await asyncio.sleep(_BEFORE)
        await load.rest()
        await side.server.stop()
        begun, worked = loop.time(), _at_work()
        await asyncio.sleep(_TICK)  # everybody hears of it
        load.go_on()
        await asyncio.sleep(down)
        outcome.busy = (_at_work() - worked) / (loop.time() - begun)
        await side.server.start()
        started = loop.time()
        while (now := loop.time()) < started + PATIENCE:
            if outcome.back is None and outcome.done and max(outcome.done) > started:
                outcome.back = now - started
            if outcome.back is not None and now > started + _AFTER:
                break
            await asyncio.sleep(_TICK)
    return outcome


class _Load:
    """Begins `RATE` jobs a second, until it is stopped."""

    def __init__(self, job: Job) -> None:
        self.outcome = Outcome()
        self._job = job
        self._running: set[asyncio.Task[None]] = set()
        self._goes_on = asyncio.Event()
        self._goes_on.set()

    async def drive(self) -> None:
        number = 0
        while True:
            await self._goes_on.wait()
            task = asyncio.create_task(self._one(number))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            number += 1
            await asyncio.sleep(1 / RATE)

    async def rest(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._goes_on.clear()
        while self._running:
            await asyncio.wait(self._running)

    def go_on(self) -> None:
        self._goes_on.set()

    async def _one(self, number: int) -> None:
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._job(number)
        except Exception as error:  # judged by the test
            self.outcome.failed.append(error)
        else:
            self.outcome.done.append(begun)


@asynccontextmanager
async def _load(job: Job) -> AsyncIterator[_Load]:
    """Do *job* steadily until the block ends; at its end all jobs have ended."""
    load = _Load(job)
    driver = asyncio.create_task(load.drive())
    try:
        yield load
    finally:
        driver.cancel()
        await asyncio.wait({driver})
        await load.rest()


def _at_work() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _is_told(error: Exception) -> bool:
    """Whether *error* is one of ours, or comes from one."""
    return any(isinstance(each, RedisOutageError) for each in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
