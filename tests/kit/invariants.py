"""What must hold after every fault, asserted in one place.

`upheld` opens a manager, hands it to the test in a `Trial`, and afterwards
checks I1 to I8 and I10 to I12 of the fault list.  I9, which needs a count of
wake-ups, has a test of its own in `test_limits.py`.
"""

import asyncio
import gc
import os
import socket
import stat
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from redis.asyncio import Redis

from redis_manager_fastapi import PoolState, RedisManager
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.lag import TICK, LagMeter
from tests.kit.managers import assert_at_rest, open_descriptors, pool_of
from tests.kit.trial import SLACK, Trial
from tests.kit.waiting import until

# Limits short enough to see every bound passed in a second or two.
QUICK: Mapping[str, Any] = {
    "health": {"interval": 0.1, "timeout": 0.15, "backoff_base": 0.02, "backoff_cap": 0.1},
    "outage": {"grace": 0.6},
    "timeout": {"command": 0.8, "connect": 0.3},
    "pool": {"acquire_timeout": 0.5},
    "shutdown": {"drain": 0.5},
}

_SAMPLE = 0.02
_BYSTANDER_LIMIT = 0.5


class Watch:
    """Samples the manager while a fault is on.

    Attributes:
        connecting: The most connects that were in flight at once; only known
            where the manager goes through a proxy.
        connects: When connections were made, on the loop's clock.
    """

    def __init__(self, manager: RedisManager, proxy: FaultProxy | None) -> None:
        self.connecting = 0
        self.connects: list[float] = []
        self._manager = manager
        self._port = proxy.port if proxy else None
        self._loop = asyncio.get_running_loop()
        self._seen = manager.stats().connects
        self._excess = 0
        self._timer = self._loop.call_soon(self._sample)

    def stop(self) -> None:
        """Sample no more."""
        self._timer.cancel()

    def most_connects(self, window: float = 1.0) -> int:
        """Return the largest number of connects within any *window* seconds."""
        times = self.connects
        return max((sum(0 <= b - a < window for b in times) for a in times), default=0)

    def _sample(self) -> None:
        stats = self._manager.stats()
        assert stats.opening <= 1
        self.connects += [self._loop.time()] * (stats.connects - self._seen)
        self._seen = stats.connects
        if self._port is not None:
            pool = pool_of(self._manager)
            known = len(pool.link_set.current) + stats.idle + stats.leased
            excess = _connections_to(self._port) - known
            self.connecting = max(self.connecting, min(excess, self._excess))
            self._excess = excess
        self._timer = self._loop.call_later(_SAMPLE, self._sample)


def _connections_to(port: int) -> int:
    """How many sockets of this process are connected to *port*; a look at itself is cheap."""
    return sum(_peer_port(int(each.name)) == port for each in Path("/proc/self/fd").iterdir())


def _peer_port(descriptor: int) -> int | None:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            return int(twin.getpeername()[1])
    except (OSError, ValueError, IndexError):  # closed meanwhile, not connected, a unix socket
        return None


class Served(Protocol):
    """What a trial needs of a server."""

    @property
    def url(self) -> str:
        """Where it is."""
        ...

    def client(self) -> Redis:
        """Make a client of redis-py's own."""
        ...


@asynccontextmanager
async def upheld(
    server: Served,
    bystander: RedisServer,
    proxy: FaultProxy | None = None,
    *,
    extra_connects: int = 0,
    **settings: Any,
) -> AsyncIterator[Trial]:
    """An open manager on *server*, by way of *proxy*; the invariants are checked at the end.

    The test ends its fault before the block ends.  *extra_connects* says how
    many connects within a second the fault itself explains.
    """
    loop = asyncio.get_running_loop()
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    before = _Belongings()
    lag = LagMeter()
    settings = {"url": proxy.url if proxy else server.url, **QUICK, **settings}
    manager = RedisManager(**settings)
    try:
        async with RedisManager(url=bystander.url, name="bystander") as other, manager:
            trial = Trial(manager, lag)
            watch = Watch(manager, proxy)
            async with _untouched(other, lag):
                yield trial
                await trial.healed()
                await _rest(trial)
            watch.stop()
            await _check(trial, server, watch, extra_connects)
    finally:
        lag.stop()
    await before.assert_all_that_is_left()
    assert reports == [], "something was left to the loop's exception handler (I11)"


async def _rest(trial: Trial) -> None:
    """Wait for the last lease, and for a suspicion to be resolved."""
    await until(
        lambda: trial.manager.stats().state is PoolState.READY and trial.manager.stats().leased == 0
    )


async def _check(trial: Trial, server: Served, watch: Watch, extra_connects: int) -> None:
    assert trial.strangers == [], "an error that callers do not know escaped"
    assert_at_rest(trial.manager)  # I1, I3
    assert await trial.readers(20) == []  # I2
    await _leases(trial)
    await _in_time(trial)  # I4
    _no_herd(trial, watch, extra_connects)  # I5
    await _counted(trial, server)  # I6
    stats = trial.manager.stats()
    assert (stats.state, stats.serving, stats.reason) == (PoolState.READY, True, "")  # I10


async def _leases(trial: Trial) -> None:
    """Dedicated connections can be had within R of the heal, for a refusal is remembered (I8)."""
    start, failure = trial.now, await trial.block()
    while failure is not None and trial.now - start < 5:
        await asyncio.sleep(TICK)
        failure = await trial.block()
    assert failure is None, f"no dedicated connection: {failure}"
    net = await trial.net(start)
    assert net <= trial.recovery + SLACK, f"dedicated connections came after {net:.3f} s"


async def _in_time(trial: Trial) -> None:
    limit = trial.manager.settings.timeout.command + SLACK
    for call in trial.calls:
        if call.end - call.start > limit:
            net = await trial.net(call.start, call.end)
            assert net <= limit, f"{call} took {net:.3f} s, the bound is {limit:g} s (I4)"


def _no_herd(trial: Trial, watch: Watch, extra: int) -> None:
    """Connects in one second: as full jitter makes them, as a refusal is remembered, as leased."""
    settings = trial.manager.settings
    rate = 3 / settings.health.backoff_cap + 10 + extra
    if not settings.pipelining.enabled:
        rate += settings.pool.max_connections
    assert watch.most_connects() <= rate, f"{watch.most_connects()} connects in a second (I5)"
    assert watch.connecting <= 2, f"{watch.connecting} connects in flight (I5)"


async def _counted(trial: Trial, server: Served) -> None:
    async with server.client() as admin:
        counter, pair, twin = (int(n or 0) for n in await admin.mget("counter", "pair", "twin"))
    trial.ledgers["counter"].assert_tells_the_truth(counter)
    trial.ledgers["pair"].assert_tells_the_truth(pair)
    assert pair == twin


@asynccontextmanager
async def _untouched(other: RedisManager, lag: LagMeter) -> AsyncIterator[None]:
    """Another deployment answers all the while (I12)."""
    loop = asyncio.get_running_loop()
    slow: list[tuple[float, float]] = []

    async def ask() -> None:
        while True:
            start = loop.time()
            await other.redis.ping()
            if loop.time() - start > _BYSTANDER_LIMIT:
                slow.append((start, loop.time()))
            await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        await end({asking})
    if not asking.cancelled():
        asking.result()
    assert [end - start for start, end in slow if _net(lag, start, end) > _BYSTANDER_LIMIT] == []
    assert other.stats().generation == 1


def _net(lag: LagMeter, start: float, end: float) -> float:
    return end - start - lag.within(start, end)


class _Belongings:
    """What this process has of its own: descriptors, tasks, timers, threads (I7)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptors = open_descriptors()
        self._tasks = asyncio.all_tasks()
        self._timers = self._due()
        self._threads = threading.active_count()

    async def assert_all_that_is_left(self) -> None:
        await until(lambda: asyncio.all_tasks() <= self._tasks)
        await until(lambda: open_descriptors() <= self._descriptors)
        gc.collect()  # an exception that nobody retrieved is reported when it is collected
        assert threading.active_count() <= self._threads
        assert self._due() - self._timers == Counter()

    def _due(self) -> Counter[str]:
        # asyncio 3.11 to 3.13 keeps its timers there; uvloop does not show them.
        timers = getattr(self._loop, "_scheduled", ())
        return Counter(
            repr(timer) for timer in timers if not timer.cancelled() and "redis" in repr(timer)
        )
