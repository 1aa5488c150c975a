"""A cluster client's place: which Cluster it belongs to, which nodes that has, and its options."""

import random
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import redis.asyncio
from redis.asyncio.client import ResponseCallbackT
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Encoder
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from redis_manager_fastapi.client.binding import Binding, CallOptions, ClusterBinding
from redis_manager_fastapi.client.cluster.keys import KeyFinder
from redis_manager_fastapi.client.cluster.routing import covered, departed
from redis_manager_fastapi.client.redis import Redis
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.slot_map import SlotMap

if TYPE_CHECKING:
    from redis_manager_fastapi.client.scope import ClientScope

# redis-py 8.1: some of the client's attributes are slots, which `__dict__` does not show.
_SLOTS = tuple(
    name for name in redis.asyncio.RedisCluster.__slots__ if name not in ("nodes_manager", "_lock")
)


class BoundCluster(redis.asyncio.RedisCluster):
    """A `redis.asyncio.RedisCluster` whose map and nodes are the manager's.

    It opens nothing and closes nothing of its own.
    """

    def __init__(
        self,
        binding: ClusterBinding,
        options: CallOptions,
        connection_kwargs: dict[str, Any],
        *,
        replicas: bool = False,
    ) -> None:
        self.binding = binding
        # redis-py wants a node to start from; the map comes from the binding instead.
        super().__init__(
            startup_nodes=[ClusterNode("0.0.0.0", 0)],  # noqa: S104 (never connected to)
            retry=Retry(NoBackoff(), 0),
            decode_responses=options.decode,
            protocol=connection_kwargs["protocol"],
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self.call_options = options
        self.scope: ClientScope | None = None
        self.commands_parser = KeyFinder(self)
        self.read_from_replicas = replicas
        self._kwargs = connection_kwargs
        self._initialize = False

    def __repr__(self) -> str:
        return f"<RedisCluster {self.binding.instance!r} {self.call_options}>"

    def __del__(self, *_: Any) -> None:
        """Nothing is left open: the manager owns the connections."""

    @property  # type: ignore[override]
    def nodes_manager(self) -> SlotMap:
        """The map of slots."""
        return self.binding.require().map

    @nodes_manager.setter
    def nodes_manager(self, unused: Any) -> None:
        """Leave the one that redis-py's constructor makes."""

    async def initialize(self, *args: Any, **kwargs: Any) -> Self:
        """Wait until the map of slots is known; arguments are redis-py's, unused."""
        cluster = self.binding.require()
        await cluster.known(cluster.loop.time() + self.call_options.timeout)
        return self

    async def aclose(self) -> None:
        """Do nothing; the manager closes the connections."""

    def with_options(
        self,
        *,
        decode_responses: bool | None = None,
        timeout: float | None = None,
        dedicated: bool | None = None,
    ) -> Self:
        """Return a client on the same Cluster that differs in the given options.

        Args:
            decode_responses: `False` returns `bytes`, `True` returns `str`.
            timeout: Each command's deadline, in seconds.
            dedicated: `True` takes a dedicated connection for every command.
        """
        options = self.call_options.changed(decode_responses, timeout, dedicated)
        client = self._copy()
        client.call_options = options
        client.encoder = Encoder("utf-8", "strict", options.decode)
        return client

    def scoped(self, scope: "ClientScope") -> Self:
        """Return a client that ends with *scope*."""
        client = self._copy()
        client.scope = scope
        return client

    def on(self, node: ClusterNode, *, timeout: float | None = None) -> Redis:
        """Return a client of one node alone, which follows no redirect.

        Args:
            node: One of `get_nodes()`.
            timeout: Each command's deadline, in seconds; the client's if left out.

        Raises:
            PoolClosedError: The manager is draining or closed.
            RedisUnavailableError: The node is not part of the cluster any more.
        """
        cluster = self.binding.require()
        cluster.check_usable()
        target = cluster.map.current(node)
        if target is None:
            raise departed(cluster.instance)
        options = self.call_options
        if timeout is not None:
            options = replace(options, timeout=max(timeout, 0.001))
        if target.client is None:
            binding = Binding(self.binding.instance, target.open())
            target.client = Redis(binding, options, self._kwargs)
        client: Redis = target.client.scoped(self.scope)
        client.response_callbacks = self.response_callbacks
        return client.with_call_options(options)

    def set_response_callback(self, command: str, callback: ResponseCallbackT) -> None:
        """Have *callback* parse the replies to *command*, on this client alone."""
        self.response_callbacks = copy(self.response_callbacks)
        super().set_response_callback(command, callback)

    def get_default_node(self) -> Node:
        """Return a primary for commands without a key; one that serves, if any does."""
        owners = self.binding.require().map.owners
        default = next((node for node in owners if node.serving), owners[0] if owners else None)
        if default is None:
            raise self.binding.require().unavailable()
        return default

    def get_random_primary_node(self) -> Node:
        """Return a random primary among those that serve."""
        return self._any_of(self.binding.require().map.owners)

    def get_random_node(self) -> Node:
        """Return a random node among those that serve."""
        return self._any_of(self.binding.require().map.nodes)

    def get_node_from_key(self, key: Any, replica: bool = False) -> Any:
        """Return the node of *key*; arguments are redis-py's."""
        with covered(self.binding.require()):
            return super().get_node_from_key(key, replica)

    def _any_of(self, nodes: list[Node]) -> Node:
        if not nodes:
            raise self.binding.require().unavailable()
        return random.choice([node for node in nodes if node.serving] or nodes)  # noqa: S311

    def _copy(self) -> Self:
        """Return a client that shares everything; redis-py's constructor would build it anew."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        for name in _SLOTS:
            setattr(copy, name, getattr(self, name))
        copy.commands_parser = self.commands_parser
        return copy
