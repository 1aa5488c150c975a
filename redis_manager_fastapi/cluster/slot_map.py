"""Which node has which slot."""

import time
from collections.abc import Callable
from typing import Any

from redis.asyncio.cluster import ClusterNode, NodesManager
from redis.cluster import PRIMARY, REPLICA, get_node_name
from redis.event import AsyncAfterSlotsCacheRefreshEvent
from redis.exceptions import SlotNotCoveredError

from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.view import View
from redis_manager_fastapi.settings import Address

SLOTS = 16_384

# How long (seconds) a node without slots is kept after it took part in a migration.
_STAY = 30.0


class SlotMap(NodesManager):
    """redis-py's `NodesManager`, filled by what the Cluster's survey found.

    It does no I/O.  Nodes that lose their place or their role are handed to
    *retire*, which closes them.

    Args:
        make_node: Makes a node for an address and a role.
        retire: Takes the nodes that are not part of the map any more.
        reads: Where read-only commands go.
    """

    nodes_cache: dict[str, Node]  # type: ignore[assignment]
    slots_cache: dict[int, list[Node]]  # type: ignore[assignment]
    default_node: Node | None  # type: ignore[assignment]

    def __init__(
        self,
        make_node: Callable[[Address, str], Node],
        retire: Callable[[Node], None],
        *,
        reads: str,
    ) -> None:
        super().__init__([], require_full_coverage=False, connection_kwargs={})
        self.slots: list[list[Node] | None] = [None] * SLOTS
        self._make_node = make_node
        self._retire = retire
        self._reads = reads
        self._turn = 0
        self._owners: list[Node] | None = None
        self._guests: dict[str, float] = {}

    @property
    def nodes(self) -> list[Node]:
        """Every node of the map."""
        return list(self.nodes_cache.values())

    @property
    def primaries(self) -> list[Node]:
        """The nodes that take writes."""
        return [node for node in self.nodes if node.is_primary]

    @property
    def owners(self) -> list[Node]:
        """The primaries of the slots, each once."""
        if self._owners is None:
            shards = {id(nodes): nodes for nodes in self.slots if nodes is not None}
            self._owners = list({id(nodes[0]): nodes[0] for nodes in shards.values()}.values())
        return self._owners

    @property
    def covered(self) -> bool:
        """Whether each slot has a node."""
        return len(self.slots_cache) == SLOTS

    def choose(self, slot: int, *, read_only: bool = False) -> Node | None:
        """Return the node for a command on *slot*; None when no node has it."""
        nodes = self.slots[slot]
        if nodes is None:
            return None
        if not read_only or self._reads == "primary" or len(nodes) == 1:
            return nodes[0]
        self._turn += 1
        candidates = nodes[1:] if self._reads == "replica" else nodes
        for step in range(len(candidates)):
            node = candidates[(self._turn + step) % len(candidates)]
            if node.serving:
                return node
        return nodes[0]

    def get_node_from_slot(
        self,
        slot: int,
        read_from_replicas: bool = False,
        load_balancing_strategy: Any = None,
    ) -> Node:
        """Return the node of *slot*, for redis-py's own code.

        Raises:
            redis.SlotNotCoveredError: No node has it.
        """
        node = self.choose(slot, read_only=bool(read_from_replicas or load_balancing_strategy))
        if node is None:
            raise SlotNotCoveredError(f"no node serves slot {slot}")
        return node

    def apply(self, view: View) -> None:
        """Take a new view: nodes that stay in their role keep their connections."""
        old = dict(self.nodes_cache)
        nodes = self._staying_guests()
        slots: list[list[Node] | None] = [None] * SLOTS
        for each in view.ranges:
            listed = [
                self._place(nodes, address, REPLICA if index else PRIMARY)
                for index, address in enumerate(each.nodes)
            ]
            slots[each.start : each.end + 1] = [listed] * (each.end - each.start + 1)
        self.nodes_cache = nodes
        self._settle(slots)
        for node in old.values():
            if self.nodes_cache.get(node.name) is not node:
                self._retire(node)

    def move(self, slot: int, address: Address) -> Node:
        """Enter that *slot* has moved to the node at *address*; return that node."""
        node = self.find(address)
        if node is not None and not node.is_primary:
            promoted = self._make_node(address, PRIMARY)
            self._replace(node, promoted)
            node = promoted
        node = node or self.adopt(address)
        nodes = self.slots[slot]
        if nodes is None or nodes[0] is not node:
            self.slots[slot] = self.slots_cache[slot] = [node]
            self._owners = None
        return node

    def adopt(self, address: Address) -> Node:
        """Return the node at *address*; one that has no slot yet stays for a while."""
        node = self.find(address)
        if node is None:
            node = self._make_node(address, PRIMARY)
            self.nodes_cache[node.name] = node
        self._guests[node.name] = time.monotonic()
        return node

    def find(self, address: Address) -> Node | None:
        """Return the node at *address*, if the map has it."""
        return self.nodes_cache.get(get_node_name(*address))

    def current(self, node: ClusterNode) -> Node | None:
        """Return the node that stands now where *node* stood; None when it has left."""
        return self.nodes_cache.get(node.name)

    async def tell_listeners(self) -> None:
        """Have redis-py's sharded pub/sub follow the slots."""
        await self._event_dispatcher.dispatch_async(AsyncAfterSlotsCacheRefreshEvent())

    def _staying_guests(self) -> dict[str, Node]:
        """The nodes that took part in a migration lately; they need not have a slot yet."""
        since = time.monotonic() - _STAY
        self._guests = {name: at for name, at in self._guests.items() if at > since}
        known = self.nodes_cache
        return {name: known[name] for name in self._guests if name in known}

    def _place(self, nodes: dict[str, Node], address: Address, role: str) -> Node:
        name = get_node_name(*address)
        if name not in nodes or nodes[name].server_type != role:
            known = self.find(address)
            same = known is not None and known.server_type == role
            nodes[name] = known if known and same else self._make_node(address, role)
        return nodes[name]

    def _replace(self, old: Node, new: Node) -> None:
        """Put a promoted replica where its shard was."""
        self.nodes_cache[new.name] = new
        shards = {id(nodes): nodes for nodes in self.slots if nodes is not None and old in nodes}
        for nodes in shards.values():
            nodes[:] = [new]
        self._owners = None
        self._retire(old)

    def _settle(self, slots: list[list[Node] | None]) -> None:
        self.slots, self._owners = slots, None
        self.slots_cache = {slot: nodes for slot, nodes in enumerate(slots) if nodes is not None}
        primaries = self.primaries
        self.default_node = primaries[0] if primaries else None
