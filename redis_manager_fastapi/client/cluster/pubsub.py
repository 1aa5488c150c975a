"""Pub/sub over a Cluster, sharded and not, on dedicated connections of the nodes."""

from types import MethodType
from typing import TYPE_CHECKING, Any

import redis.asyncio.cluster
from redis.asyncio.cluster import ClusterNode

from redis_manager_fastapi.client.cluster.routing import covered
from redis_manager_fastapi.client.listeners import PubSub

if TYPE_CHECKING:
    from redis_manager_fastapi.client.cluster.redis_cluster import RedisCluster

_SHARDED = ("SSUBSCRIBE", "SUNSUBSCRIBE", "SPUBLISH")


class ClusterPubSub(redis.asyncio.cluster.ClusterPubSub, PubSub):
    """A `redis.asyncio.cluster.ClusterPubSub` whose connections are leased from the nodes' pools.

    Sharded subscriptions follow their slots; an ordinary one stays with its node.
    """

    cluster: "RedisCluster"
    node: Any  # a `ClusterNode`, or None

    def __init__(self, client: "RedisCluster", *args: Any, **kwargs: Any) -> None:
        super().__init__(client, *args, **kwargs)
        if self.node is not None:
            self.connection_pool = self._connections(self.node)

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a subscription command to the node that the channel belongs to."""
        await self.cluster.initialize()
        sharded = bool(args) and str(args[0]).upper() in _SHARDED
        with covered(self.cluster.binding.require()):
            if self.connection is None and self.connection_pool is None and not sharded:
                self.node = self._node_for(args)
                self.connection_pool = self._connections(self.node)
            return await super().execute_command(*args, **kwargs)

    async def ssubscribe(self, *args: Any, **kwargs: Any) -> None:
        """Subscribe to shard channels; arguments are redis-py's."""
        await self.cluster.initialize()
        with covered(self.cluster.binding.require()):
            await super().ssubscribe(*args, **kwargs)

    def _node_for(self, args: tuple[Any, ...]) -> ClusterNode:
        if len(args) < 2:
            return self.cluster.get_default_node()
        return self.cluster.nodes_manager.get_node_from_slot(self.cluster.keyslot(args[1]))

    def _get_node_pubsub(self, node: ClusterNode) -> redis.asyncio.client.PubSub:
        """Return the pub/sub of one node, for redis-py's own code."""
        if node.name not in self.node_pubsub_mapping:
            pubsub = PubSub(
                connection_pool=self._connections(node),
                encoder=self.cluster.encoder,
                push_handler_func=self.push_handler_func,
                event_dispatcher=self._event_dispatcher,
            )
            # redis-py 8.1: one SSUBSCRIBE per slot, because a node has many.
            theirs = redis.asyncio.cluster.ClusterPubSub._resubscribe_shard_channels  # noqa: SLF001
            pubsub._resubscribe_shard_channels = MethodType(theirs, pubsub)  # type: ignore[method-assign]  # noqa: SLF001
            self.node_pubsub_mapping[node.name] = pubsub
        return self.node_pubsub_mapping[node.name]

    def _connections(self, node: ClusterNode) -> Any:
        client = self.cluster.on(node)
        return client.connection_pool.bound(purpose="a pub/sub", scope=self.cluster.scope)  # type: ignore[attr-defined]
