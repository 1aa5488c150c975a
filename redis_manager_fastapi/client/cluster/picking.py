"""Which node takes a command that has no key."""

import random
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import DataError

from redis_manager_fastapi.client.cluster.router import (
    AutoTarget,
    node_left,
    uncovered_is_unavailable,
)
from redis_manager_fastapi.cluster.cluster import Cluster
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.redis_py import RequestPolicy
from redis_manager_fastapi.delivery.session import Session

# redis-py's rules by which one node takes a command that every node could take.
_ANY_NODE = (RequestPolicy.DEFAULT_NODE, RequestPolicy.DEFAULT_KEYLESS)


class PickingNodes(redis.asyncio.RedisCluster):
    """The part of a cluster client that picks nodes, among those that serve if any does."""

    session: Session[Cluster]
    _default_node: Node | None = None

    @property
    def _policies_callback_mapping(self) -> dict[Any, Callable[..., Any]]:
        """What picks nodes; a copy's own where redis-py's constructor bound the first client."""
        return self._pickers | {
            RequestPolicy.DEFAULT_NODE: lambda: [self.get_default_node()],
            RequestPolicy.SPECIAL: self.get_special_nodes,
        }

    @_policies_callback_mapping.setter
    def _policies_callback_mapping(self, pickers: dict[Any, Callable[..., Any]]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._pickers = pickers

    def set_default_node(self, node: ClusterNode) -> None:
        """Have *node* take commands without a key, on this client and on those made of it.

        Raises:
            redis.DataError: It is not part of the cluster.
        """
        known = self.session.opened.map.current(node) if node else None
        if known is None:
            raise DataError("The requested node does not exist in the cluster.")
        self._default_node = known

    def replace_default_node(self, target_node: Any = None) -> None:
        """Have another node take commands without a key, a primary if there is one.

        Args:
            target_node: Which one; a random one if left out.

        Raises:
            redis.DataError: It is not part of the cluster.
        """
        if target_node is None:
            present = self.get_default_node()
            nodes = self.session.opened.map
            others = [node for node in nodes.primaries if node is not present]
            others = others or [node for node in nodes.nodes if node is not present]
            if not others:
                return
            target_node = random.choice(others)  # noqa: S311
        self.set_default_node(target_node)

    def get_default_node(self) -> Node:
        """Return the node for commands without a key.

        It is the one that was set, as long as it keeps its role and serves; otherwise
        a primary, one that serves, if any does.
        """
        chosen = self._default_node
        if chosen is not None:
            node = self.session.opened.map.current(chosen)
            same = node is not None and node.server_type == chosen.server_type
            if node is not None and same and (node.pool is None or node.serving):
                return node
        owners = self.session.opened.map.owners
        default = next((node for node in owners if node.serving), owners[0] if owners else None)
        if default is None:
            raise self.session.opened.unavailable()
        return default

    def get_random_primary_node(self) -> Node:
        """Return a random primary among those that serve."""
        return self._any_of(self.session.opened.map.owners)

    def get_random_node(self) -> Node:
        """Return a random node among those that serve."""
        return self._any_of(self.session.opened.map.nodes)

    def get_node_from_key(self, key: Any, replica: bool = False) -> Any:
        """Return the node of *key*; arguments are redis-py's."""
        with uncovered_is_unavailable(self.session.opened):
            return super().get_node_from_key(key, replica)

    def _any_of(self, nodes: list[Node]) -> Node:
        if not nodes:
            raise self.session.opened.unavailable()
        return random.choice([node for node in nodes if node.serving] or nodes)  # noqa: S311

    async def _determine_nodes(
        self,
        command: str,
        *args: Any,
        request_policy: RequestPolicy,
        node_flag: str | None = None,
    ) -> list[Any]:
        """Pick nodes by redis-py's rules; those the caller did not name are `AutoTarget`."""
        nodes: list[Any] = await super()._determine_nodes(
            command, *args, request_policy=request_policy, node_flag=node_flag
        )
        if node_flag:
            return nodes
        flag: Any = self.command_flags.get(command)
        replaceable = self._command_flags_mapping.get(flag, request_policy) in _ANY_NODE
        names = frozenset(node.name for node in nodes)
        return [AutoTarget(node.name, replaceable, node.is_primary, names) for node in nodes]

    def _stand_in(self, target: Any) -> Node:
        """Return another node for a command whose node has left, if any other would do."""
        if isinstance(target, AutoTarget) and target.replaceable:
            return self.get_default_node()
        raise node_left(self.session.instance)
