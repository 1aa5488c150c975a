"""A Cluster as one deployment: its nodes, the map of their slots, and who waits for them."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from redis.credentials import CredentialProvider
from redis.event import EventDispatcher

from redis_manager_fastapi.cluster.node import Node, NodeBus
from redis_manager_fastapi.cluster.refresh import TopologyRefresh
from redis_manager_fastapi.cluster.slot_map import SlotMap
from redis_manager_fastapi.cluster.stats import ClusterStats, shards_of, summed
from redis_manager_fastapi.cluster.view import View
from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.spans import Where
from redis_manager_fastapi.pool import errors
from redis_manager_fastapi.pool.counters import Counters, Observer, added
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.loop import LoopAffinity
from redis_manager_fastapi.pool.state import FINAL, PoolState
from redis_manager_fastapi.pool.waiting import StateCondition
from redis_manager_fastapi.pool.written import Writes
from redis_manager_fastapi.settings import Address, RedisSettings
from redis_manager_fastapi.supervision.deployment import Deployment, Single
from redis_manager_fastapi.topology.cluster_node import ClusterNode
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

_FAILED = "the cluster is down (CLUSTERDOWN)"

# So many older views in a row, from healthy nodes, are of a Cluster that was set up anew.
_RESET = 3


class Cluster:
    """The nodes of a Cluster, each healed on its own, and the map that finds them.

    It is made on the event loop that it serves.

    Attributes:
        instance: The manager's name.
        affinity: The event loop that it may be used on.
        map: Which node has which slot.
        clients: Scoped clients in use.
        counters: What no node counts: the errors of commands that found none, and who waited
            for the map.
        learning: Held by the one who learns the server's commands.
    """

    refusing = False  # its nodes' pools say so

    def __init__(
        self,
        settings: RedisSettings,
        credentials: CredentialProvider | None,
        bus: Bus,
        *,
        instance: str,
        counters: Counters,
        departed: Counters,
        writes: Writes,
    ) -> None:
        self.instance = instance
        self.settings = settings
        self.counters = counters
        self._departed = departed
        self.affinity = LoopAffinity(instance)
        self.loop = self.affinity.loop
        self.clients = 0
        self.learning = asyncio.Lock()
        self.map = SlotMap(self._make_node, self._retire, reads=settings.cluster.reads)
        self._credentials = credentials
        self._bus, self._writes = bus, writes
        self._tls = SharedTLSContext()
        self._refresh = TopologyRefresh(
            settings,
            credentials,
            self.map,
            instance=instance,
            take=self._take,
            fail=self._fail,
            needed=self._troubled,
            epoch=lambda: self._epoch,
            tls=self._tls,
        )
        self._phase = PoolState.NEW
        self._known = self._healthy = False
        self._epoch = self._older = 0
        self._members: frozenset[Address] = frozenset()
        self._refreshes = self._waiting = 0
        self._failure = ""
        self._kind: type[RedisUnavailableError] = RedisUnavailableError
        self._opened = self.loop.time()
        self._refused: dict[int | None, float] = {}
        self._condition = StateCondition(self.loop)
        self._closing: dict[asyncio.Task[None], Node] = {}

    def __repr__(self) -> str:
        return f"<Cluster {self.instance!r} {self.state.value} nodes={len(self.map.nodes)}>"

    @property
    def state(self) -> PoolState:
        """Where the Cluster stands: ready when every slot is served."""
        if self._phase is not PoolState.STARTING:
            return self._phase
        if not self._known:
            return PoolState.DOWN if self._failure else PoolState.STARTING
        if self.is_serving:
            return PoolState.READY
        pools = [pool for node in self.map.owners if (pool := node.pool)]
        down = self._has_failed or any(pool.state is PoolState.DOWN for pool in pools)
        return PoolState.DOWN if down or self._refused else PoolState.SUSPECT

    @property
    def is_serving(self) -> bool:
        """Whether a command on any slot would go out now."""
        return self.is_connected and not self._has_failed and not self._refused

    @property
    def is_connected(self) -> bool:
        """Whether each node that has slots can be asked; it may refuse what it does not serve."""
        owners, opening = self.map.owners, self._phase is PoolState.STARTING
        return opening and bool(owners) and all(node.serving for node in owners)

    # What callers do.

    async def known(self, deadline: float, grace: float | None = None) -> None:
        """Wait until there is a map, no longer than grace after the opening.

        *grace*, in seconds, is the caller's own, in the place of `outage.grace`.

        Raises:
            RedisUnavailableError: No node answers, or *deadline*, on the loop's clock, came first.
            TooManyWaitersError: `pool.max_waiting` callers wait already.
            PoolClosedError: The Cluster is draining or closed.
        """
        if self._known and self._phase not in FINAL:
            return
        self.check_usable()
        await self._wait(lambda: self._known, deadline, self._opened + self._grace(grace))

    async def mended(
        self, slot: int | None, reason: str, deadline: float, grace: float | None = None
    ) -> None:
        """Wait for a refresh of the map after *slot* was refused.

        It takes no longer than grace after the first time.  *grace*, in seconds, is the
        caller's own, in the place of `outage.grace`.

        Raises:
            RedisUnavailableError: Grace is over, or *deadline*, on the loop's clock, came first.
            TooManyWaitersError: `pool.max_waiting` callers wait already.
            PoolClosedError: The Cluster is draining or closed.
        """
        self.check_usable()
        since = self._refused.setdefault(slot, self.loop.time())
        self._failure = reason
        self._refresh.wake()
        refreshes = self._refreshes
        ends = since + self._grace(grace)
        await self._wait(lambda: self._refreshes > refreshes, deadline, ends)

    async def wait_ready(self, timeout: float) -> None:
        """Wait until every slot is served, whatever grace says.

        Raises:
            RedisUnavailableError: One still is not after *timeout* seconds.
            PoolClosedError: The Cluster was closed meanwhile.
        """
        await self._wait_until(lambda: self.is_serving, timeout)

    async def wait_connected(self, timeout: float) -> None:
        """Wait until each node that has slots can be asked.

        Raises:
            RedisUnavailableError: One still cannot after *timeout* seconds.
            PoolClosedError: The Cluster was closed meanwhile.
        """
        await self._wait_until(lambda: self.is_connected, timeout)

    async def wait_slot(self, slot: int, timeout: float) -> None:
        """Wait until the node of one slot serves, whatever grace says.

        Raises:
            RedisUnavailableError: It still does not after *timeout* seconds.
            PoolClosedError: The Cluster was closed meanwhile.
        """

        def is_served() -> bool:
            node = self.map.choose(slot)
            return node is not None and node.serving

        await self._wait_until(is_served, timeout)

    async def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Wait until *predicate* holds over the map and the nodes' states."""
        await self._condition.wait_for(predicate, None)

    async def wait_settled(self) -> None:
        """Wait until the first refresh, and the first probe of each node, have ended."""
        await self._condition.wait_for(self._settled, None)

    def check_usable(self) -> None:
        """Raise unless the Cluster is open, or opening, on this event loop."""
        if self._phase in FINAL:
            raise errors.closed(self.instance, self._phase)
        self.affinity.check()

    def unavailable(self) -> RedisUnavailableError:
        """Return the error for a command that could not go out."""
        message = f"redis {self.instance!r} is {self.state.value}"
        if self._failure:
            message += f": {self._failure}"
        return self._kind(message, instance=self.instance)

    async def knows(self, address: Address, sender: Node | None, deadline: float) -> bool:
        """Whether a redirect may be followed to *address*: a script can name any.

        What is not known yet is asked for, of *sender* among others.

        Raises:
            RedisUnavailableError: No node answers, or *deadline*, on the loop's clock, came first.
        """
        grace, asked = self.loop.time() + self.settings.outage.grace, 0
        while not self.is_known(address) and asked < 2:  # the first one may have begun before
            await self.refreshed(sender, deadline, grace)
            asked += 1
        return self.is_known(address)

    def is_known(self, address: Address) -> bool:
        """Whether the last refresh, or the map, has a node at *address*."""
        return address in self._members or self.map.find(address) is not None

    async def refreshed(self, sender: Node | None, deadline: float, grace: float) -> None:
        """Wait until the map has been asked for, of *sender* among others."""
        refreshes = self._refreshes
        self._refresh.wake(sender)
        await self._wait(lambda: self._refreshes > refreshes, deadline, grace)

    def moved(self, slot: int, address: Address) -> Node:
        """Enter that *slot* has moved, and return its node; a refresh finds what else has."""
        node = self.map.move(slot, address)
        self._refresh.wake()
        return node

    def doubt(self, sender: Node | None = None) -> None:
        """Have the map looked at: something went wrong that it may explain; ask *sender* too."""
        self._refresh.wake(sender)

    def revoke(self, connections: Iterable[DedicatedConnection]) -> list[str]:
        """Take back what a holder forgot; return what it was taken for."""
        held = list(connections)
        pools = [pool for node in self.map.nodes if (pool := node.pool)]
        return [purpose for pool in pools for purpose in pool.revoke(held)]

    def stats(self) -> ClusterStats:
        """Return the counters of this instant, by shard and by node."""
        stats = summed(
            shards_of(self.map.slots),
            [pool.stats() for node in self.map.nodes if (pool := node.pool)],
            instance=self.instance,
            state=self.state,
            refreshes=self._refreshes,
            clients=self.clients,
            waiting=self._waiting,
            own=self.counters,
            counted=self.counted(),
        )
        told = stats.reason or not (self._known and self._has_failed)
        return stats if told else replace(stats, reason=_FAILED)

    def counted(self) -> Counters:
        """Return what its nodes have counted, those included that have left."""
        nodes = (*self.map.nodes, *self._closing.values())
        return added((self._departed, *(node.deployment.counters for node in nodes)))

    # Opening and closing.

    def start(self) -> None:
        """Begin to open."""
        self._opened, self._phase = self.loop.time(), PoolState.STARTING
        self._bus.note(self.state.value)
        self._refresh.start()

    async def aclose(self, drain: float) -> None:
        """Refuse new work, let what is in flight finish for *drain* seconds, and close."""
        if self._phase in FINAL:
            return
        self._phase = PoolState.DRAINING
        self._announce()
        try:
            await self._refresh.stop()
            await asyncio.gather(*(node.aclose(drain) for node in self.map.nodes))
            while self._closing:
                await asyncio.wait(self._closing)
        finally:
            self._phase = PoolState.CLOSED
        await self._condition.settle()

    # What the refresh and the nodes report.

    def _take(self, view: View) -> None:
        """Take a new view, unless it is older than the map and the map's nodes answer.

        A node that was cut off for a while has an older one.  When healthy nodes go on
        having it, the Cluster was set up anew.
        """
        self._refreshes += 1
        if self.settings.address_map is not None:
            view = view.reached(self.settings.reach)
        self._members = view.members
        older = view.epoch < self._epoch and any(node.serving for node in self.map.owners)
        self._older = self._older + 1 if older and view.healthy else 0
        if not older or self._older >= _RESET:
            self._older = 0
            self._epoch, self._known, self._healthy = view.epoch, True, view.healthy
            self._failure, self._kind = "", RedisUnavailableError
            self.map.apply(view)
            for node in self.map.nodes:
                if node.is_primary or self.settings.cluster.reads != "primary":
                    node.open()
            if view.healthy:
                self._refused = {
                    slot: since
                    for slot, since in self._refused.items()
                    if slot is not None and self.map.slots[slot] is None
                }
        self._announce()

    def _fail(self, error: RedisUnavailableError) -> None:
        self._refreshes += 1
        self._failure, self._kind = str(error), type(error)
        self._announce()

    def _troubled(self) -> bool:
        return self._phase is PoolState.STARTING and not self.is_serving

    def _node_changed(self) -> None:
        if self._troubled():
            self._refresh.wake()
        self._announce()

    def _announce(self) -> None:
        """Wake who waits for a state."""
        self._bus.note(self.state.value)
        self._condition.notify_all()

    def _make_node(self, address: Address, role: str) -> Node:
        return Node(address, role, self._make_deployment)

    def _make_deployment(self, node: Node) -> Single:
        def make_topology() -> ClusterNode:
            self.check_usable()
            replica = not node.is_primary
            return ClusterNode(
                self.settings,
                self._credentials,
                node.address,
                read_only=replica,
                on_state=node.hear,
            )

        bus = NodeBus(self._bus, node.address, self._node_changed)
        single = Single(
            make_topology,
            self.settings,
            bus,
            instance=self.instance,
            tls=self._tls,
            writes=self._writes,
        )
        single.counters.observe = self.counters.observe
        return single

    def _retire(self, node: Node) -> None:
        """Close a node that is not part of the map any more; what is in flight may finish."""
        task = self.loop.create_task(node.aclose(self.settings.timeout.command))
        self._closing[task] = node
        task.add_done_callback(self._depart)

    def _depart(self, task: asyncio.Task[None]) -> None:
        """Keep what a node has counted that is closed."""
        self._departed.add(self._closing.pop(task).deployment.counters)

    # Inside.

    def _grace(self, own: float | None) -> float:
        return self.settings.outage.grace if own is None else own

    async def _wait(self, predicate: Callable[[], bool], deadline: float, grace: float) -> None:
        limit, in_time = min(deadline, grace), False
        if limit > self.loop.time():
            if self._waiting >= self.settings.pool.max_waiting:
                raise errors.too_many_waiters(self.instance, self._waiting)
            self._waiting += 1
            self.counters.waited += 1
            try:
                in_time = await self._condition.wait_for(
                    lambda: predicate() or self._phase in FINAL, limit, paced=True
                )
            finally:
                self._waiting -= 1
        self.check_usable()
        if not in_time:
            self.counters.refused += 1
            raise self.unavailable()

    @property
    def _has_failed(self) -> bool:
        """Whether commands are refused, by what is known: by all nodes, or by one of them."""
        healthy = self._healthy and all(node.is_up for node in self.map.owners)
        return not (healthy and self.map.covered)

    async def _wait_until(self, predicate: Callable[[], bool], timeout: float) -> None:
        """Wait for it whatever grace says, and however many wait."""
        limit = self.loop.time() + timeout
        in_time = await self._condition.wait_for(lambda: predicate() or self._phase in FINAL, limit)
        self.check_usable()
        if not in_time:
            self._failure = self._failure or self.stats().reason
            raise self.unavailable()

    def _settled(self) -> bool:
        if self._phase in FINAL or (self._failure and not self._known):
            return True
        pools = [node.pool for node in self.map.owners]
        return self._known and all(pool and pool.state is not PoolState.STARTING for pool in pools)


class Clustered(Deployment[Cluster]):
    """A Cluster, which is found by the nodes of the settings.

    Args:
        settings: Of the manager.
        credentials: The manager's provider, if it has one.
        bus: Is told what happens.
        instance: The manager's name.

    Attributes:
        listeners: Tells redis-py's pub/sub, which may be older than the map, that slots have moved.
    """

    def __init__(
        self,
        settings: RedisSettings,
        credentials: CredentialProvider | None,
        bus: Bus,
        *,
        instance: str,
    ) -> None:
        super().__init__(settings, bus, instance=instance)
        self._credentials, self.listeners = credentials, EventDispatcher()

    def where(self, slot: int | None = None) -> Where:
        """Return the primary of *slot*; of no slot in particular, nothing."""
        nodes = self.opened.map.slots[slot] if self.opened is not None and slot is not None else ()
        return nodes[0].address if nodes else ()

    def start(self) -> Cluster:
        """Begin to open, on the running event loop; return the Cluster."""
        cluster = Cluster(
            *(self.settings, self._credentials, self._bus),
            instance=self.instance,
            counters=self.counters,
            departed=Counters() if self.opened is None else self.opened.counted(),
            writes=self.writes,
        )
        cluster.map.tell(self.listeners)
        self.opened = cluster
        cluster.start()
        return cluster

    def on_answers(self, observe: Observer) -> None:
        """Have *observe* called with what goes into the latency histogram, of every node."""
        super().on_answers(observe)
        for node in self.opened.map.nodes if self.opened is not None else ():
            node.deployment.on_answers(observe)

    @property
    def serves_in_part(self) -> bool:
        """Whether any node that has slots serves."""
        cluster = self.opened
        return cluster is not None and any(node.serving for node in cluster.map.owners)

    def has_started(self, opened: Cluster) -> bool:
        """Whether the nodes can be asked: a Cluster that has failed may be mended through them."""
        return opened.is_connected

    async def wait_started(self, opened: Cluster, timeout: float) -> None:
        """Wait until it has started."""
        await opened.wait_connected(timeout)

    async def aclose(self, drain: float) -> None:
        """Refuse new work, let what is in flight finish for *drain* seconds, and close."""
        if self.opened is not None:
            await self.opened.aclose(drain)
        if self.cache is not None:
            self.cache.close()
