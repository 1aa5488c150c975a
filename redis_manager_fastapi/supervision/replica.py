"""A replica that reads go to, next to the primary.

The primary alone decides whether the deployment serves.  When the replica is in
trouble, the reads that wait for it learn that at once: they go to the primary.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import hiredis

from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import Event, StateChanged
from redis_manager_fastapi.pool.counters import Observer
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import new_request
from redis_manager_fastapi.pool.state import PoolState, PoolStats, Suspicion
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.supervision.deployment import Single
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.topology.interface import Topology
from redis_manager_fastapi.topology.sentinel_replica import (
    SentinelReplica,
    disconnected,
    not_a_replica,
)
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

_ROLE = hiredis.pack_command(("ROLE",))

# The shortest limit (seconds) of the pauses between two probes: a deployment may be
# without a replica for ever, and the primary answers meanwhile.
_PATIENCE = 2.0


class Replica(Single):
    """The one replica that this process reads from.

    In addition to the supervisor's heartbeat, the replica is asked for its role.
    One that has become a primary, or lost its own while that serves, is left
    for another.  While the primary is away, a replica without it still serves.

    Args:
        primary: The primary's deployment.
        make_topology: Finds a replica.
        settings: The deployment's.
        bus: Takes the events, with the replica's address as the node.
        instance: The manager's name.
    """

    def __init__(
        self,
        primary: Single,
        make_topology: Callable[[], SentinelReplica],
        settings: RedisSettings,
        bus: Bus,
        *,
        instance: str,
        tls: SharedTLSContext | None = None,
    ) -> None:
        super().__init__(make_topology, _patient(settings), bus, instance=instance, tls=tls)
        self._primary = primary
        self._make_replica = make_topology
        self._replica: SentinelReplica
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> Pool:
        """Begin to open the pool, keep it healed, and watch the replica's role."""
        self._replica = replica = self._make_replica()
        pool = self._start(replica, _ReplicaBus(self._bus, replica, self._changed))
        name = f"redis-replica-{self.instance}"
        self._watch = pool.affinity.loop.create_task(self._watch_role(pool), name=name)
        return pool

    async def aclose(self, drain: float) -> None:
        """Refuse new work, let what is in flight finish for *drain* seconds, and close."""
        watch, self._watch = self._watch, None
        if watch is not None:
            await end({watch})
        await super().aclose(drain)

    def _changed(self, event: Event) -> None:
        """Choose another one after trouble; take from a silent replica what waits for it."""
        pool = self.require()
        if isinstance(event, StateChanged) and event.state == PoolState.READY.value:
            return
        self._replica.leave()
        if pool.suspicion is Suspicion.SILENT:
            for link in pool.link_set.suspended:
                link.abort("the replica does not answer")

    async def _watch_role(self, pool: Pool) -> None:
        health = self.settings.health
        while True:
            await asyncio.sleep(health.interval + health.timeout)
            link = next((each for each in pool.links if not each.full), None)
            if link is None or pool.state is not PoolState.READY:
                continue
            reason = await self._unfitness(link)
            if reason and link in pool.links:
                pool.moved(reason)

    async def _unfitness(self, link: MultiplexedConnection) -> str:
        """Return why the replica should not be read from any more; empty if nothing is wrong."""
        deadline = link.loop.time() + self.settings.timeout.command
        reply_to = link.loop.create_future()
        request = new_request(_ROLE, reply_to, deadline, decode=True, read_only=True)
        link.submit(request)
        role = await request.future
        if not isinstance(role, list):
            return ""  # forbidden, late or lost: others report that
        if self._primary.is_ready:
            return not_a_replica(role) or disconnected(role)
        return not_a_replica(role)


class WithReplica(Single):
    """A primary, and a replica that reads may go to, by `REDIS_SENTINEL__READS`.

    Attributes:
        replica: The replica's own deployment.
    """

    reads_replicas = True

    def __init__(
        self,
        make_topology: Callable[[], Topology],
        make_replica: Callable[[], SentinelReplica],
        settings: RedisSettings,
        bus: Bus,
        *,
        instance: str,
        tls: SharedTLSContext | None = None,
    ) -> None:
        super().__init__(make_topology, settings, bus, instance=instance, tls=tls)
        self.replica = Replica(self, make_replica, settings, bus, instance=instance, tls=tls)
        alternate = settings.sentinel.reads == "any"
        self._replica_is_next: Iterator[bool] = itertools.cycle((True, not alternate))

    def start(self) -> Pool:
        """Begin to open both pools; return the primary's."""
        pool, replica = super().start(), self.replica.start()
        # What has a large reply is large on either server, and takes a connection to the primary.
        replica.link_set.room.alone = pool.link_set.room.alone
        return pool

    async def aclose(self, drain: float) -> None:
        """Close both, side by side."""
        await asyncio.gather(super().aclose(drain), self.replica.aclose(drain))

    @property
    def serves_in_part(self) -> bool:
        """Whether one of the two serves."""
        return self.is_ready or self.replica.is_ready

    def stats(self) -> PoolStats:
        """Return the primary's counters, and the replica's among them."""
        return replace(super().stats(), replica=self.replica.stats())

    def on_answers(self, observe: Observer) -> None:
        """Have *observe* called with what goes into the latency histograms of both."""
        super().on_answers(observe)
        self.replica.on_answers(observe)

    def next_link(self) -> MultiplexedConnection | None:
        """Return the replica's connection if the next read is for it.

        While a replica is suspected, or it is the primary's turn, that is only
        when the primary does not serve.
        """
        replica = self.replica.opened
        if replica is None or not replica.links:
            return None
        wanted = next(self._replica_is_next) and replica.suspicion is None
        if not wanted and self.is_ready:
            return None
        return replica.link_set.with_room()


class _ReplicaBus(Bus):
    """Passes events on with the replica's address, and tells the owner first."""

    def __init__(
        self, bus: Bus, topology: SentinelReplica, changed: Callable[[Event], None]
    ) -> None:
        super().__init__(())
        self._bus = bus
        self._topology = topology
        self._changed = changed

    def emit(self, event: Event) -> None:
        """Hand *event* on."""
        node = str(self._topology.address or "replica")
        self._changed(event)
        self._bus.emit(replace(event, node=node))


def _patient(settings: RedisSettings) -> RedisSettings:
    """Return *settings* with longer pauses between the probes of a replica that is away."""
    cap = max(_PATIENCE, settings.health.backoff_cap)
    health = settings.health.model_copy(update={"backoff_cap": cap})
    return settings.model_copy(update={"health": health})
