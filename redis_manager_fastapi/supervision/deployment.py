"""A deployment: what a manager owns for its whole life, open or not."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from redis_manager_fastapi.caching.cache import ClientCache
from redis_manager_fastapi.errors import RedisManagerError, RedisUnavailableError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import StartDelayed, StartFailed
from redis_manager_fastapi.observe.spans import Tracer, Where
from redis_manager_fastapi.pool.counters import Counters, Observer
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.pool.errors import not_started
from redis_manager_fastapi.pool.loop import LoopAffinity
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import PoolState, PoolStats
from redis_manager_fastapi.pool.written import Writes
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.settings.place import place_of
from redis_manager_fastapi.supervision.lane import Lane
from redis_manager_fastapi.supervision.supervisor import Supervisor
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.topology.fixes import fix_of
from redis_manager_fastapi.topology.interface import Topology
from redis_manager_fastapi.topology.sentinel import Sentinel
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

# Seconds until the log first tells that the start is delayed, and between two later lines.
_FIRST_REMINDER, _LONGEST_REMINDER = 2.0, 30.0


class Opened(Protocol):
    """What a pool and a Cluster have in common for those who use either.

    Attributes:
        affinity: The event loop that it may be used on.
        clients: Scoped clients in use.
        refusing: Whether every new command fails, at once or soon.
    """

    affinity: LoopAffinity
    clients: int
    refusing: bool

    @property
    def state(self) -> PoolState:
        """Where it stands."""
        ...

    @property
    def is_serving(self) -> bool:
        """Whether any command would go out now."""
        ...

    def check_usable(self) -> None:
        """Raise unless it is open, or opening, on this event loop."""
        ...

    def revoke(self, connections: Iterable[DedicatedConnection]) -> list[str]:
        """Release leases that were never returned; return their purposes."""
        ...

    def stats(self) -> PoolStats:
        """Return the counters of this instant."""
        ...

    def unavailable(self) -> RedisUnavailableError:
        """Return the error for a command that could not go out."""
        ...

    async def wait_ready(self, timeout: float) -> None:
        """Wait until it serves, whatever grace says."""
        ...

    async def wait_settled(self) -> None:
        """Wait until the first attempt to open has ended, well or not."""
        ...


P = TypeVar("P", bound=Opened)


class Deployment(Generic[P]):
    """One Redis deployment, which may be opened again after it was closed.

    A client may be made before it opens, and outlive its closing: clients look
    here at each command.

    Attributes:
        instance: The manager's name.
        settings: The manager's.
        counters: What its pools count, one after the other; of a Cluster, what no node counts.
        opened: The pool, or the Cluster, that was opened last; None before.
        refusal: What its commands are told, if it never opens.
        reads_replicas: Whether reads may go to a replica's pool.
        tracer: What makes a span of each command, if anything does.
        observed: Whether it has a tracer, or any of its clients was instrumented alone.
        cache: The replies that are kept in this process; None until a client asks for it.
        writes: What all its connections write, for whoever wants to know.
    """

    reads_replicas = False

    def __init__(self, settings: RedisSettings, bus: Bus, *, instance: str) -> None:
        self.instance = instance
        self.settings = settings
        self.counters = Counters()
        self.opened: P | None = None
        self.refusal: RedisManagerError | None = None
        self.tracer: Tracer | None = None
        self.observed = self._has_observers = False
        self.cache: ClientCache | None = None
        self.writes = Writes()
        self._bus = bus

    def require(self) -> P:
        """Return what is open.

        Raises:
            RedisNotStartedError: It has never been opened.
        """
        if self.opened is None:
            refusal = self.refusal or not_started(self.instance)
            raise refusal.with_traceback(None)
        return self.opened

    @property
    def is_ready(self) -> bool:
        """Whether a command would go out now, from the known state; asks nobody."""
        return self.opened is not None and self.opened.is_serving

    @property
    def serves_in_part(self) -> bool:
        """Whether there is a command that would go out now, from the known state; asks nobody."""
        return self.is_ready

    def stats(self) -> PoolStats:
        """Return the counters of this instant.

        Raises:
            RedisNotStartedError: It has never been opened.
        """
        return self.require().stats()

    def trace(self, tracer: Tracer | None) -> None:
        """Have *tracer* make a span of each command; None ends that."""
        self.tracer = tracer
        self.observed = tracer is not None or self._has_observers

    def note_observers(self) -> None:
        """Take note that a client was instrumented alone, and has copies."""
        self.observed = self._has_observers = True

    def where(self, slot: int | None = None) -> Where:
        """Return the server that takes commands, those of *slot* with a Cluster; empty if unknown.

        It is a host and a port, or the path of a unix socket alone.
        """
        raise NotImplementedError

    def caching(self) -> ClientCache:
        """Return the cache, which hears of every write from now on."""
        known = self.writes.listener
        if isinstance(known, ClientCache):
            return known
        self.cache = ClientCache(self.settings, self._bus, instance=self.instance)
        self.writes.listen(self.cache)
        return self.cache

    async def open(self) -> None:
        """Open by the start-up policy, and stay healed until `aclose()`.

        Raises:
            RedisUnavailableError: Policy "fail": the first attempt failed; policy
                "wait": none succeeded within `startup.timeout`.
            RedisManagerError: It is open already.
        """
        old = self.opened
        if old and not old.affinity.loop.is_closed() and old.state is not PoolState.CLOSED:
            message = f"redis {self.instance!r} is already open; make one manager for each app"
            raise RedisManagerError(message, instance=self.instance)
        try:
            await self._wait_started(self.start())
        except BaseException:
            await self.aclose(self.settings.shutdown.drain)
            raise

    def on_answers(self, observe: Observer) -> None:
        """Have *observe* called with what goes into the latency histogram, of every server."""
        self.counters.observe_also(observe, self.instance)

    def start(self) -> P:
        """Begin to open, on the running event loop; return what is opening."""
        raise NotImplementedError

    async def aclose(self, drain: float) -> None:
        """Refuse new work, let what is in flight finish for *drain* seconds, and close."""
        raise NotImplementedError

    def has_started(self, opened: P) -> bool:
        """Whether what the start-up policy asks for is there."""
        return opened.is_serving

    async def wait_started(self, opened: P, timeout: float) -> None:
        """Wait until it is there.

        Raises:
            RedisUnavailableError: It still is not after *timeout* seconds.
        """
        await opened.wait_ready(timeout)

    async def _wait_started(self, opened: P) -> None:
        startup = self.settings.startup
        if startup.policy == "fail":
            await opened.wait_settled()
            if not self.has_started(opened):
                error = opened.unavailable()
                raise self._failed(error, str(error)) from error.__cause__
        elif startup.policy == "wait":
            reminder = asyncio.create_task(self._remind(opened))
            try:
                await self.wait_started(opened, startup.timeout)
            except RedisUnavailableError as error:
                reason = f"{error} (waited {startup.timeout:g} s, policy 'wait')"
                raise self._failed(error, reason) from error.__cause__
            finally:
                await end({reminder})

    async def _remind(self, opened: P) -> None:
        """Tell why the app does not start yet, now and then for as long as it waits."""
        waited, pause, timeout = 0.0, _FIRST_REMINDER, self.settings.startup.timeout
        while True:
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, _LONGEST_REMINDER)
            reason, place = str(opened.unavailable()), place_of(self.settings)
            self._bus.emit(StartDelayed(self.instance, reason, waited, timeout, place))

    def _failed(self, error: RedisUnavailableError, reason: str) -> RedisUnavailableError:
        """Tell where Redis was looked for; return the error that says what to do."""
        place, fix = place_of(self.settings), fix_of(self.settings, error)
        self._bus.emit(StartFailed(self.instance, reason, fix, place))
        message = f"{reason}; it was looked for {place.words()}: {fix}"
        return type(error)(message, instance=self.instance)


class Single(Deployment[Pool]):
    """One server, or the primary of several: a pool, its supervisor and the watch on its address.

    Args:
        make_topology: Says where the server is; a new one for each opening.
        settings: The manager's.
        bus: Takes the events.
        instance: The manager's name.
        tls: The TLS context that it shares with others of the manager's connections.
        writes: What is told of its writes; its own if left out.

    Attributes:
        lane: The tracked connection, for cached reads; None until there is one.
    """

    def __init__(
        self,
        make_topology: Callable[[], Topology],
        settings: RedisSettings,
        bus: Bus,
        *,
        instance: str,
        tls: SharedTLSContext | None = None,
        writes: Writes | None = None,
    ) -> None:
        super().__init__(settings, bus, instance=instance)
        self.lane: Lane | None = None
        self.writes = writes or self.writes
        self._make_topology = make_topology
        self._tls = tls
        self._running: tuple[Topology, Supervisor, Pool] | None = None

    def where(self, slot: int | None = None) -> Where:
        """Return the server that was connected to last; before, the one of the settings."""
        settings = self.settings
        address = self.opened.address if self.opened is not None else ()
        if address:
            host, port, path = address
            return (str(path),) if host is None else (str(host), int(str(port)))
        if settings.topology != "standalone":
            return ()
        return (settings.unix_socket,) if settings.unix_socket else (settings.host, settings.port)

    def stats(self) -> PoolStats:
        """Return the counters of this instant, with the Sentinels that are listened to.

        Raises:
            RedisNotStartedError: It has never been opened.
        """
        stats = super().stats()
        topology = self._running[0] if self._running else None
        if not isinstance(topology, Sentinel):
            return stats
        return replace(stats, sentinels=len(topology.heard))

    def start(self) -> Pool:
        """Begin to open, on the running event loop; return the pool."""
        return self._start(self._make_topology(), self._bus)

    async def aclose(self, drain: float) -> None:
        """Refuse new work, let what is in flight finish for *drain* seconds, and close."""
        running, self._running = self._running, None
        if running is None:
            return
        topology, supervisor, pool = running
        lane, self.lane = self.lane, None
        try:
            if lane is not None:
                await lane.aclose()
            if self.cache is not None:
                self.cache.close()
            await topology.aclose()
            await supervisor.stop()
            await pool.drain(drain)
        finally:
            pool.close()
        await pool.wait_notified()

    def tracked(self, cache: ClientCache, place: object = None) -> Lane | None:
        """Return the tracked connection for *cache*; the first time, it begins to connect.

        None while nothing is open. A server that does not track is asked again when the pool
        has connected anew: it may be another one by then.
        """
        lane, pool = self.lane, self.opened
        if lane is not None and (lane.refused_by is None or lane.refused_by == pool.generation):  # type: ignore[union-attr]
            return lane
        if self._running is None or pool is None or not pool.is_serving:
            return lane
        if lane is not None:
            lane.leave()
        self.lane = Lane(pool, self._running[0], cache, self._tls, place)
        self.lane.start()
        return self.lane

    def _start(self, topology: Topology, bus: Bus) -> Pool:
        settings = self.settings
        dialer = Dialer(
            topology,
            settings,
            instance=self.instance,
            tls=self._tls,
            counters=self.counters,
            writes=self.writes,
        )
        self.opened = pool = Pool(dialer, settings, bus, instance=self.instance, writes=self.writes)
        supervisor = Supervisor(pool, bus)
        self._running = topology, supervisor, pool
        pool.start()
        topology.start(pool.moved)
        supervisor.start()
        return pool
