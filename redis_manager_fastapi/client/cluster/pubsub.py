"""Pub/sub over a Cluster, sharded and not, on dedicated connections of the nodes."""

import asyncio
from typing import Any

import redis.asyncio.client
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import MovedError

from redis_manager_fastapi.client.cluster.router import (
    ClusterClient,
    uncovered_is_unavailable,
)
from redis_manager_fastapi.client.pubsub import PubSub
from redis_manager_fastapi.cluster.redis_py import OneAfterTheOther, ShardPubSub
from redis_manager_fastapi.delivery.connection_pool import LeasedConnections
from redis_manager_fastapi.errors import (
    ClientEndedError,
    PoolClosedError,
    RedisUnavailableError,
)
from redis_manager_fastapi.pool.pacing import paced
from redis_manager_fastapi.pool.state import FINAL

_SHARDED = ("SSUBSCRIBE", "SUNSUBSCRIBE", "SPUBLISH")
_ONLY_SHARDS = (
    "this pub/sub has no channel but those of shards, whose messages come by"
    " `get_sharded_message()`; subscribe() or psubscribe() first to read others"
)
_ENDED = (PoolClosedError, ClientEndedError)


# redis-py's own `sunsubscribe` of a Cluster takes no `target_node`, which its base has.
class ClusterPubSub(OneAfterTheOther, PubSub):  # pyright: ignore[reportIncompatibleMethodOverride]
    """A `redis.asyncio.cluster.ClusterPubSub` whose connections are leased from the nodes' pools.

    Sharded subscriptions follow their slots.  An ordinary one stays with its
    node in whatever role, and goes to another one when that leaves, or does not
    come back within grace: every node hears what is published.
    """

    cluster: ClusterClient  # type: ignore[assignment]
    node: Any  # a `ClusterNode`, or None
    connection: Any  # a `DedicatedConnection`, or None
    connection_pool: Any  # `LeasedConnections`, or None until the node is chosen

    def __init__(self, client: ClusterClient, *args: Any, **kwargs: Any) -> None:
        super().__init__(client, *args, **kwargs)  # type: ignore[arg-type]
        self._moving = asyncio.Lock()
        self._mover: asyncio.Task[Any] | None = None
        self._behind = False
        self._lost: Any = None  # the connection whose place the next one takes
        self.connection_pool = None  # redis-py's of a node that was given takes no lease

    @paced
    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a subscription command to the node that the channel belongs to."""
        await self.cluster.initialize()
        sharded = bool(args) and str(args[0]).upper() in _SHARDED
        with uncovered_is_unavailable(self.cluster.session.opened):
            if self.connection is None and self.connection_pool is None and not sharded:
                self.node = self.node or self._node_for(args)
                self.connection_pool = self._connections(self.node)
            await self._keep_up()
            return await super().execute_command(*args, **kwargs)

    async def parse_response(self, block: bool = True, timeout: float = 0) -> Any:
        """Read one message, from another node when this one has left or stays away."""
        while True:
            await self._keep_up()
            connection = self.connection
            if self.connection_pool is None:
                raise RuntimeError(_ONLY_SHARDS)
            try:
                return await super().parse_response(block, timeout)
            except _ENDED:
                if self.connection is connection and not self._left_behind():
                    raise
            except RedisUnavailableError:
                if self.connection is connection:
                    await self._leave_for(self._another())
                if self.connection is connection:
                    raise

    @paced
    async def ssubscribe(self, *args: Any, **kwargs: Any) -> None:
        """Subscribe to shard channels; arguments are redis-py's."""
        await self.cluster.initialize()
        with uncovered_is_unavailable(self.cluster.session.opened):
            await super().ssubscribe(*args, **kwargs)

    def _left_behind(self) -> bool:
        """Whether the pool has ended and the Cluster, and the client, have not."""
        if self.connection_pool is None or not self.connection_pool.has_ended:
            return False
        session = self.cluster.session
        return session.opened.state not in FINAL and not session.ended

    def _another(self) -> ClusterNode | None:
        """Return a node that serves, if there is one besides that of the ordinary channels."""
        nodes = self.cluster.session.opened.map.nodes
        return next((node for node in nodes if node.serving and node is not self.node), None)

    async def _leave_for(self, node: ClusterNode | None) -> None:
        """Take the ordinary channels to another node, if there is one."""
        if node is None:
            return
        async with self._moving:
            self._mover = asyncio.current_task()
            try:
                await self._leave(node)
                await self._move()
            finally:
                self._mover = None

    async def _keep_up(self) -> None:
        """Subscribe anew where the node is by now, or at another one, when its pool has ended."""
        if self._mover is asyncio.current_task() or not (self._behind or self._left_behind()):
            return
        async with self._moving:
            self._mover = asyncio.current_task()
            try:
                await self._move()
            finally:
                self._mover = None

    async def _move(self) -> None:
        if self._left_behind():
            cluster = self.cluster
            await self._leave(
                cluster.nodes_manager.current(self.node) or cluster.get_default_node()
            )
        if self._behind:
            await self.connect()
            if self._lost is not None:
                self.connection.continue_from(self._lost)
            await self.on_connect(self.connection)
            self._behind, self._lost = False, None

    async def _leave(self, node: ClusterNode) -> None:
        old, pool, self.connection = self.connection, self.connection_pool, None
        self.node, self.connection_pool = node, self._connections(node)
        self._behind = self.subscribed
        if old is not None:
            old.note_loss()
            self._lost = old
            old.deregister_connect_callback(self.on_connect)
            await pool.release(old)

    def _node_for(self, args: tuple[Any, ...]) -> ClusterNode:
        if len(args) < 2:
            return self.cluster.get_default_node()
        return self.cluster.nodes_manager.get_node_from_slot(self.cluster.keyslot(args[1]))

    def _get_node_pubsub(self, node: ClusterNode) -> redis.asyncio.client.PubSub:
        """Return the pub/sub of one node, for redis-py's own code."""
        known: Any = self.node_pubsub_mapping.get(node.name)
        if known is None or known.connection_pool.has_ended:
            pubsub = _NodePubSub(
                self.cluster,
                connection_pool=self._connections(node),
                encoder=self.cluster.encoder,
                push_handler_func=self.push_handler_func,
                event_dispatcher=self._event_dispatcher,
            )
            self.node_pubsub_mapping[node.name] = pubsub
        return self.node_pubsub_mapping[node.name]

    def _connections(self, node: ClusterNode) -> Any:
        return LeasedConnections(self.cluster.client_of(node).session, "a pub/sub")


class _NodePubSub(ShardPubSub, PubSub):
    """The shard channels of one node; redis-py moves them when their slots move."""

    def __init__(self, cluster: ClusterClient, **options: Any) -> None:
        super().__init__(**options)
        self._cluster = cluster

    async def parse_response(self, block: bool = True, timeout: float = 0) -> Any:
        """Read one message; one that says that slots have moved has the map looked at."""
        cluster = self._cluster.session.opened
        if self.connection is None:  # redis-py is moving its channels: nothing can come meanwhile
            await asyncio.sleep(timeout or 0.0)
            return None
        try:
            message = await super().parse_response(block, timeout)
        except MovedError:  # the answer to redis-py's own SUNSUBSCRIBE
            cluster.doubt()
            return None
        except PoolClosedError:
            if cluster.state in FINAL:
                raise
            # The node serves no slots any more, and redis-py moves its channels by that news.
            await self.aclose()
            return None
        if isinstance(message, list) and message[0] in (b"sunsubscribe", "sunsubscribe"):
            cluster.doubt()
        return message
