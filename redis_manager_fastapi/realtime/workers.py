"""What runs beside an app: handlers of stream entries, and loops of the app's own."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from redis_manager_fastapi.errors import PoolClosedError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import WorkerFailed
from redis_manager_fastapi.observe.realtime import WorkerStats
from redis_manager_fastapi.realtime.consumers.consumer import Consumer
from redis_manager_fastapi.realtime.consumers.healing import wait_serving
from redis_manager_fastapi.realtime.consumers.options import ConsumerOptions
from redis_manager_fastapi.realtime.consumers.part import Consumers
from redis_manager_fastapi.realtime.items import StreamEntry
from redis_manager_fastapi.supervision.deployment import Deployment
from redis_manager_fastapi.supervision.supervisor import FullJitter

Handle = Callable[[StreamEntry], Awaitable[Any]]
Loop = Callable[[], Awaitable[Any]]

# The pauses before a worker is begun again, in seconds.  One that ran for longer than the
# longest of them begins with a short one.
_BASE, _CAP = 0.1, 10.0

# Of the time to drain, what is kept to tell the server of what was cut: a part, at most so long.
_KEPT_PART, _KEPT = 0.2, 0.5

_STUBBORN = 0.1  # seconds between two cancellations of what goes on after one


class Worker:
    """A function that runs until the manager closes, and is begun again when it raises.

    Attributes:
        name: The function's qualified name.
    """

    def __init__(self, function: Any, deployment: Callable[[], Deployment[Any]], bus: Bus) -> None:
        self.name: str = getattr(function, "__qualname__", type(function).__qualname__)
        self.function = function
        self.bus = bus
        self.stopping = False
        self._deployment = deployment
        self._running = False
        self._restarts, self._error = 0, ""
        self._backoff = FullJitter(_BASE, _CAP)

    async def body(self) -> None:
        """Run once; a return ends the worker."""
        raise NotImplementedError

    def stop(self) -> None:
        """Begin nothing new."""
        self.stopping = True

    def cut(self) -> None:
        """Cancel what is in hand."""

    async def run(self) -> None:
        """Run, and begin again after a pause when it raises."""
        deployment, loop = self._deployment(), asyncio.get_running_loop()
        with suppress(PoolClosedError):
            while not self.stopping:
                await wait_serving(deployment)
                began = loop.time()
                if await self._once():
                    return
                if loop.time() - began > _CAP:
                    self._backoff.reset()
                await asyncio.sleep(self._backoff.pause())
                self._restarts += 1

    async def _once(self) -> bool:
        """Run once; return whether that was all."""
        self._running = True
        try:
            await self.body()
        except Exception as error:
            if not self.stopping:
                self.failed(error)
            return self.stopping
        finally:
            self._running = False
        return True

    def failed(self, error: Exception, entry: StreamEntry | None = None) -> None:
        """Tell of an error, and count it."""
        self._error = type(error).__name__
        where = (entry.stream, entry.id) if entry is not None else ("", "")
        self.bus.emit(WorkerFailed(self._deployment().instance, self.name, error, *where))

    def stats(self) -> WorkerStats:
        """Return the counters of this instant."""
        return WorkerStats(self.name, self._running, self._restarts, self._error)


class BackgroundLoop(Worker):
    """A loop of `@manager.background`."""

    async def body(self) -> None:
        """Run the loop."""
        await _contained(self.function())


class EntryHandler(Worker):
    """A handler of `@manager.consumer`: so many entries at a time.

    Args:
        consumers: Where its entries come from.
        options: What it consumes.
        concurrency: How many entries it handles at a time.
    """

    def __init__(
        self,
        function: Handle,
        deployment: Callable[[], Deployment[Any]],
        bus: Bus,
        *,
        consumers: Consumers,
        options: Callable[[], ConsumerOptions],
        concurrency: int,
    ) -> None:
        super().__init__(function, deployment, bus)
        self._consumers, self._options, self._concurrency = consumers, options, concurrency
        self._consumer: Consumer | None = None
        self._handling: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Read nothing more; what is in hand goes on."""
        super().stop()
        if self._consumer is not None:
            self._consumer.stop()

    def cut(self) -> None:
        """Cancel the handling of entries, which stay pending."""
        for task in self._handling:
            task.cancel()

    async def body(self) -> None:
        """Handle entries until the consumer is stopped."""
        consumer = self._consumer = self._consumers.start(self._options())
        try:
            await self._dispatch(consumer)
        finally:
            try:
                await self._settle()
            finally:
                self._consumer = None
                await self._consumers.close(consumer, self._consumers.drain)

    async def _dispatch(self, consumer: Consumer) -> None:
        room = asyncio.Semaphore(self._concurrency)

        def handled(task: asyncio.Task[None]) -> None:
            self._handling.discard(task)
            room.release()

        loop = asyncio.get_running_loop()
        while True:
            await room.acquire()
            try:
                entry = await consumer.take()
            except StopAsyncIteration:
                return
            task = loop.create_task(self._handle(consumer, entry), name=f"{self.name} {entry.id}")
            self._handling.add(task)
            task.add_done_callback(handled)

    async def _handle(self, consumer: Consumer, entry: StreamEntry) -> None:
        try:
            await _contained(self.function(entry))
        except Exception as error:
            consumer.raised(entry, error)
            self.failed(error, entry)
        except BaseException as error:
            consumer.raised(entry, error)
            raise
        else:
            consumer.done(entry)

    async def _settle(self) -> None:
        """Wait for what is in hand; when this is cancelled, cancel that, too."""
        try:
            while self._handling:
                await asyncio.wait(self._handling)
        except BaseException:
            await _end(self._handling, _KEPT)
            raise


class Workers:
    """The handlers and loops that are registered with one manager.

    Args:
        consumers: The manager's.
        client: The manager's.
        bus: Takes the events.
    """

    def __init__(self, consumers: Consumers, client: Any, bus: Bus) -> None:
        self._consumers, self._client, self._bus = consumers, client, bus
        self._workers: list[Worker] = []
        self._tasks: dict[asyncio.Task[None], Worker] = {}
        self._started = False

    def _deployment(self) -> Deployment[Any]:
        deployment: Deployment[Any] = self._client.session.deployment
        return deployment

    def add_handler(
        self, function: Handle, options: Callable[[], ConsumerOptions], concurrency: int
    ) -> None:
        """Register a handler of entries.

        Raises:
            TypeError: It is no async function of one entry.
        """
        _check("consumer", function, "async def handle(entry: StreamEntry)", None)
        self._add(
            EntryHandler(
                function,
                self._deployment,
                self._bus,
                consumers=self._consumers,
                options=options,
                concurrency=concurrency,
            )
        )

    def add_loop(self, function: Loop) -> None:
        """Register a loop.

        Raises:
            TypeError: It is no async function without arguments.
        """
        _check("background", function, "async def loop()")
        self._add(BackgroundLoop(function, self._deployment, self._bus))

    def _add(self, worker: Worker) -> None:
        if self._started:
            self._deployment().require().check_usable()
            self._begin(worker)
        self._workers.append(worker)

    def _begin(self, worker: Worker) -> None:
        worker.stopping = False
        task = asyncio.get_running_loop().create_task(worker.run(), name=worker.name)
        self._tasks[task] = worker
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    def start(self) -> None:
        """Begin them all."""
        self._started = True
        for worker in self._workers:
            self._begin(worker)

    def stop(self) -> None:
        """Take no further entry; what is in hand, and the loops, go on."""
        self._started = False
        for worker in self._workers:
            worker.stop()

    async def aclose(self, timeout: float) -> None:
        """Give what is in hand *timeout* seconds, and end; the loops are cancelled at once."""
        self.stop()
        running = dict(self._tasks)
        loops = [task for task, worker in running.items() if isinstance(worker, BackgroundLoop)]
        for task in loops:
            task.cancel()
        if running:
            kept = min(_KEPT, timeout * _KEPT_PART)
            _, late = await asyncio.wait(running, timeout=timeout - kept)
            for task in late:
                running[task].cut()
            await _end(late, kept, at_once=False)

    def stats(self) -> tuple[WorkerStats, ...]:
        """Return the counters of this instant."""
        return tuple(worker.stats() for worker in self._workers)


async def _contained(work: Awaitable[Any]) -> None:
    """Await *work*; a cancellation that comes out of it alone is an error like any other.

    Raises:
        RuntimeError: *work* let one out that nobody asked of this task.
    """
    try:
        await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("something that it awaited was cancelled") from error


async def _end(tasks: Iterable[asyncio.Task[Any]], timeout: float, *, at_once: bool = True) -> None:
    """Wait for *tasks*, cancelled at once or when time is up; not for one that will not end."""
    running = set(tasks)
    if running and not at_once:
        _, running = await asyncio.wait(running, timeout=timeout)
    ends = asyncio.get_running_loop().time() + timeout
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_STUBBORN)
        if asyncio.get_running_loop().time() >= ends:
            return


def _check(decorator: str, function: Any, wanted: str, *arguments: Any) -> None:
    """Raise unless *function* is async and takes *arguments*."""
    call = getattr(function, "__call__", None)  # noqa: B004 (an object with an async `__call__`)
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)):
        raise TypeError(
            f"@manager.{decorator} takes an async function, `{wanted}`, not {function!r}"
        )
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        raise TypeError(
            f"@manager.{decorator} takes `{wanted}`, not {function!r}: {error}"
        ) from None
