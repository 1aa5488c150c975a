"""A pool that reads from a replica, beside the primary's.

The primary alone decides whether the deployment serves.  What befalls the
replica is told at once to the reads that wait for it: they go to the primary.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import hiredis

from redis_manager_fastapi.observe.events import Bus, Event, ProbeFailed
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import new_request
from redis_manager_fastapi.pool.state import PoolState, Suspicion
from redis_manager_fastapi.settings import RedisSettings
from redis_manager_fastapi.supervision.supervised import SupervisedPool
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.topology.protocol import Topology
from redis_manager_fastapi.topology.sentinel_replica import (
    SentinelReplica,
    disconnected,
    not_a_replica,
)

_ROLE = hiredis.pack_command(("ROLE",))

# The shortest limit (seconds) of the pauses between two probes: a deployment may be
# without a replica for ever, and the primary answers meanwhile.
_PATIENCE = 2.0


class ReplicaPool(SupervisedPool):
    """The pool of the one replica that this process reads from.

    Beside the supervisor's heartbeat the replica is asked for its role.  One
    that has become a primary, or lost its own while that serves, is left for
    another.  While the primary is away, a replica without it still serves.

    Args:
        primary: The primary's pool.
        topology: Finds a replica.
        settings: The deployment's.
        bus: Is told what happens, with the replica's address as the node.
        instance: The manager's name.
    """

    def __init__(
        self,
        primary: Pool,
        topology: SentinelReplica,
        settings: RedisSettings,
        bus: Bus,
        *,
        instance: str,
    ) -> None:
        bus = _ReplicaBus(bus, topology, self._changed)
        super().__init__(topology, _patient(settings), bus, instance=instance)
        self._primary = primary
        self._replica = topology
        self._links: tuple[MultiplexedConnection, ...] = ()
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to open the pool, keep it healed, and watch the replica's role."""
        super().start()
        name = f"redis-replica-{self.pool.instance}"
        self._watch = self.pool.loop.create_task(self._watch_role(), name=name)

    async def aclose(self, drain: float) -> None:
        """Refuse new work, let what is in flight finish for *drain* seconds, and close."""
        watch, self._watch = self._watch, None
        if watch is not None:
            await end({watch})
        await super().aclose(drain)

    def _changed(self, event: Event) -> None:
        """Choose anew after trouble; take from a silent replica what waits for it."""
        if not isinstance(event, ProbeFailed) and event.state == PoolState.READY.value:
            self._links = self.pool.links
            return
        self._replica.leave()
        if self.pool.suspicion is Suspicion.SILENT:
            for link in self._links:
                link.abort("the replica does not answer")

    async def _watch_role(self) -> None:
        health = self.pool.settings.health
        while True:
            await asyncio.sleep(health.interval + health.timeout)
            link = next((each for each in self.pool.links if not each.full), None)
            if link is None or self.pool.state is not PoolState.READY:
                continue
            reason = await self._unfitness(link)
            if reason and link in self.pool.links:
                self.pool.moved(reason)

    async def _unfitness(self, link: MultiplexedConnection) -> str:
        """Return why the replica should not be read from any more; empty if nothing is wrong."""
        loop = self.pool.loop
        deadline = loop.time() + self.pool.settings.timeout.command
        request = new_request(_ROLE, loop.create_future(), deadline, decode=True, read_only=True)
        link.submit(request)
        role = await request.future
        if not isinstance(role, list):
            return ""  # forbidden, late or lost: others tell
        if self._primary.is_serving:
            return not_a_replica(role) or disconnected(role)
        return not_a_replica(role)


class ReplicatedPool(SupervisedPool):
    """A primary's pool, and beside it the one that reads from a replica.

    Attributes:
        pool: The primary's.
        replica: The replica's, with what keeps it alive.
    """

    def __init__(
        self,
        topology: Topology,
        replica: SentinelReplica,
        settings: RedisSettings,
        bus: Bus,
        *,
        instance: str,
    ) -> None:
        super().__init__(topology, settings, bus, instance=instance)
        self.replica = ReplicaPool(self.pool, replica, settings, bus, instance=instance)

    def start(self) -> None:
        """Begin to open both pools, and keep them healed from here on."""
        super().start()
        self.replica.start()

    async def aclose(self, drain: float) -> None:
        """Close both, side by side."""
        await asyncio.gather(super().aclose(drain), self.replica.aclose(drain))


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
