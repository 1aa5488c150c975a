"""A deployment: what a manager owns for its whole life, open or not."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from redis_manager_fastapi.errors import (
    RedisManagerError,
    RedisUnavailableError,
)
from redis_manager_fastapi.observe.events import Bus
from redis_manager_fastapi.pool.counters import Counters
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.pool.errors import not_started
from redis_manager_fastapi.pool.loop import LoopAffinity
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import PoolState, PoolStats
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.supervision.supervisor import Supervisor
from redis_manager_fastapi.topology.interface import Topology
from redis_manager_fastapi.topology.sentinel import Sentinel
from redis_manager_fastapi.topology.tls_context import SharedTLSContext


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
        reads_replicas: Whether reads may go to a replica's pool.
    """

    reads_replicas = False

    def __init__(self, settings: RedisSettings, bus: Bus, *, instance: str) -> None:
        self.instance = instance
        self.settings = settings
        self.counters = Counters()
        self.opened: P | None = None
        self._bus = bus

    def require(self) -> P:
        """Return what is open.

        Raises:
            RedisNotStartedError: It has never been opened.
        """
        if self.opened is None:
            raise not_started(self.instance)
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
                raise opened.unavailable()
        elif startup.policy == "wait":
            try:
                await self.wait_started(opened, startup.timeout)
            except RedisUnavailableError as error:
                message = f"{error} (waited {startup.timeout:g} s, policy 'wait')"
                raise type(error)(message, instance=self.instance) from error


class Single(Deployment[Pool]):
    """One server, or the primary of several: a pool, its supervisor and the watch on its address.

    Args:
        make_topology: Says where the server is; a new one for each opening.
        settings: The manager's.
        bus: Takes the events.
        instance: The manager's name.
        tls: The TLS context that it shares with others of the manager's connections.
    """

    def __init__(
        self,
        make_topology: Callable[[], Topology],
        settings: RedisSettings,
        bus: Bus,
        *,
        instance: str,
        tls: SharedTLSContext | None = None,
    ) -> None:
        super().__init__(settings, bus, instance=instance)
        self._make_topology = make_topology
        self._tls = tls
        self._running: tuple[Topology, Supervisor, Pool] | None = None

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
        try:
            await topology.aclose()
            await supervisor.stop()
            await pool.drain(drain)
        finally:
            pool.close()
        await pool.wait_notified()

    def _start(self, topology: Topology, bus: Bus) -> Pool:
        settings = self.settings
        timeout = settings.timeout.connect
        dialer = Dialer(
            topology,
            timeout=timeout,
            instance=self.instance,
            tls=self._tls,
            counters=self.counters,
        )
        self.opened = pool = Pool(dialer, settings, bus, instance=self.instance)
        supervisor = Supervisor(pool, bus)
        self._running = topology, supervisor, pool
        pool.start()
        topology.start(pool.moved)
        supervisor.start()
        return pool
