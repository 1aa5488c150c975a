"""One node of a Cluster, with a pool and a supervisor of its own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import redis.asyncio.cluster
from redis.cluster import PRIMARY, get_node_name

from redis_manager_fastapi.errors import RedisManagerError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import Event
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.supervision.deployment import Deployment, Single
from redis_manager_fastapi.topology.interface import Topology


class Node(redis.asyncio.cluster.ClusterNode):
    """A node in one role: one whose role changes is replaced by another object.

    It is redis-py's `ClusterNode` in name, address and role, so that it may be
    given as `target_nodes`; its connections are a supervised pool, opened when
    somebody first needs it.

    Attributes:
        address: Where it is.
        deployment: Its pool, opened or not.
        client: What sends commands to this node alone; the client layer's to set.
        is_up: Whether it thinks that the Cluster is up, as far as it was asked; one that
            has just come back does not, and refuses commands, before it has heard of the others.
    """

    def __init__(
        self, address: Address, role: str, make_deployment: Callable[["Node"], Single]
    ) -> None:
        super().__init__(address.host, address.port, role)
        # redis-py resolves "localhost" here; the Cluster's own name for the node is kept.
        self.host, self.name = address.host, get_node_name(address.host, address.port)
        self.address = address
        self.client: Any = None
        self.is_up = True
        self.deployment = make_deployment(self)

    @property
    def is_primary(self) -> bool:
        """Whether it takes writes."""
        return bool(self.server_type == PRIMARY)

    @property
    def link(self) -> MultiplexedConnection | None:
        """A shared connection that commands may go out on now."""
        pool = self.deployment.opened
        return pool.link_set.least_busy() if pool is not None else None

    @property
    def serving(self) -> bool:
        """Whether a command would go out now; a closed pool's does not."""
        return self.deployment.is_ready

    def hear(self, is_up: bool) -> None:
        """Take what the node says of its Cluster."""
        self.is_up = is_up

    def open(self) -> Pool:
        """Return the pool, which begins to open if nobody has needed it yet."""
        return self.deployment.opened or self.deployment.start()

    async def aclose(self, drain: float) -> None:
        """Close the pool, if there is one."""
        await self.deployment.aclose(drain)

    def acquire_connection(self) -> Any:
        """Refuse: redis-py's own connections know neither the manager's TLS nor its credentials.

        Whatever redis-py's node can send, `execute_command` among it, begins here.
        """
        raise TypeError(
            "a node of the map has no connections of its own; use a client of it:"
            " `manager.cluster.on(node)`"
        )

    @property
    def pool(self) -> Pool | None:
        """The pool, if anybody has needed it yet."""
        return self.deployment.opened


class NodeBus(Bus):
    """Tells the Cluster what happens to a node, and its listeners, with the node's address."""

    def __init__(self, bus: Bus, address: Address, changed: Any) -> None:
        super().__init__(())
        self._bus = bus
        self._node = str(address)
        self._changed = changed

    def emit(self, event: Event) -> None:
        """Pass the event on, with the node in it."""
        self._bus.emit(replace(event, node=self._node))
        self._changed()


def refusing(cluster: Deployment[Any], refusal: RedisManagerError) -> Single:
    """Return what stands for the deployment of a node that takes no commands, and never opens."""

    def make_topology() -> Topology:
        raise refusal

    single = Single(make_topology, cluster.settings, Bus(()), instance=cluster.instance)
    single.refusal, single.counters = refusal, cluster.counters
    return single
