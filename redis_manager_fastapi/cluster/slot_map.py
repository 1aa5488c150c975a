"""Which node has which slot."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from redis.asyncio.cluster import ClusterNode, NodesManager
from redis.cluster import PRIMARY, REPLICA, get_node_name
from redis.event import AsyncAfterSlotsCacheRefreshEvent, EventDispatcher
from redis.exceptions import SlotNotCoveredError

from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.view import SlotRange, View
from redis_manager_fastapi.settings import Address

SLOTS = 16_384

# How long (seconds) a node without slots is kept after it took part in a migration.
_STAY = 30.0


class UncoveredSlotError(SlotNotCoveredError):
    """No node serves a slot.

    Attributes:
        slot: Which one.
    """

    def __init__(self, slot: int) -> None:
        super().__init__(f"no node serves slot {slot}")
        self.slot = slot


class SlotMap(NodesManager):
    """redis-py's `NodesManager`, filled by what a refresh of the map found.

    It does no I/O.  Nodes that lose their place or their role are handed to
    *retire*, which closes them.

    Args:
        make_node: Makes a node for an address and a role.
        retire: Takes the nodes that are not part of the map any more.
        reads: Where read-only commands go.
    """

    nodes_cache: dict[str, Node]  # type: ignore[assignment]
    startup_nodes: dict[str, Node]  # type: ignore[assignment]
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
        self._shards: dict[str, list[Node]] = {}  # by the primary's name, the primary first
        self._slot_counts: Counter[str] = Counter()  # how many slots each of them has
        self._last_ranges: tuple[SlotRange, ...] | None = None
        self._importing_nodes: dict[str, float] = {}
        self._heirs: dict[str, str] = {}  # who has the slots of a node that lost them

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
        return [nodes[0] for name, nodes in self._shards.items() if self._slot_counts[name]]

    @property
    def covered(self) -> bool:
        """Whether each slot has a node."""
        return self._slot_counts.total() == SLOTS

    @property  # type: ignore[override]
    def slots_cache(self) -> dict[int, list[Node]]:
        """The slots as redis-py's own code reads them; made anew at each look."""
        return {slot: nodes for slot, nodes in enumerate(self.slots) if nodes is not None}

    # In redis-py an attribute; its code that reads it is given the same.
    @slots_cache.setter
    def slots_cache(self, slots: dict[int, list[Node]]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Ignore what redis-py's constructor sets; `apply` and `move` fill the map."""

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
            UncoveredSlotError: No node has it.
        """
        node = self.choose(slot, read_only=bool(read_from_replicas or load_balancing_strategy))
        if node is None:
            raise UncoveredSlotError(slot)
        return node

    def apply(self, view: View) -> None:
        """Take a new view: nodes that stay in their role keep their connections."""
        if view.ranges == self._last_ranges and not self._importing_nodes:
            return
        old = self.nodes_cache
        nodes = self._staying_importers(view)
        self._note_heirs(view)
        self._last_ranges, self._shards, self._slot_counts = view.ranges, {}, Counter()
        self.slots = [None] * SLOTS
        for each in view.ranges:
            listed = [
                self._place(nodes, address, REPLICA if index else PRIMARY)
                for index, address in enumerate(each.nodes)
            ]
            self._give(range(each.start, each.end + 1), listed)
        # A `Node` is redis-py's node, and a map may have no primary yet.
        self.nodes_cache = nodes  # pyright: ignore[reportIncompatibleVariableOverride]
        # As in redis-py, where every known node is one to start from.
        self.startup_nodes = nodes  # pyright: ignore[reportIncompatibleVariableOverride]
        primaries = self.primaries
        self.default_node = primaries[0] if primaries else None  # pyright: ignore[reportIncompatibleVariableOverride]
        for node in old.values():
            if nodes.get(node.name) is not node:
                self._retire(node)

    def move(self, slot: int, address: Address) -> Node:
        """Enter that *slot* has moved to the node at *address*; return that node."""
        node = self.find(address)
        if node is not None and node.server_type != PRIMARY:
            promoted = self._make_node(address, PRIMARY)
            self._replace(node, promoted)
            node = promoted
        node = node or self.add_importing(address)
        nodes = self.slots[slot]
        if nodes is None or nodes[0] is not node:
            self._last_ranges = None
            if nodes is not None:
                self._slot_counts[nodes[0].name] -= 1
            self._give(range(slot, slot + 1), [node])
        return node

    def add_importing(self, address: Address) -> Node:
        """Return the node at *address*; one that has no slot yet stays for a while."""
        node = self.find(address)
        if node is None:
            node = self._make_node(address, PRIMARY)
            self.nodes_cache[node.name] = node
        self._importing_nodes[node.name] = time.monotonic()
        return node

    def find(self, address: Address) -> Node | None:
        """Return the node at *address*, if the map has it."""
        return self.nodes_cache.get(get_node_name(*address))

    def current(self, node: ClusterNode) -> Node | None:
        """Return the node that stands now where *node* stood; None when it has left."""
        return self.nodes_cache.get(node.name)

    def heir(self, node: Any) -> Node | None:
        """Return the primary that took the slots over from *node*, if one did."""
        name = node.name
        for _ in self._heirs:
            name = self._heirs.get(name, name)
            if self._slot_counts[name]:
                return self.nodes_cache[name]
        return None

    def tell(self, listeners: EventDispatcher) -> None:
        """Have these told when slots have moved."""
        self._event_dispatcher = listeners

    async def tell_listeners(self) -> None:
        """Have redis-py's sharded pub/sub follow the slots."""
        await self._event_dispatcher.dispatch_async(AsyncAfterSlotsCacheRefreshEvent())

    def _staying_importers(self, view: View) -> dict[str, Node]:
        """The nodes that took part in a migration lately; they need not have a slot yet.

        One that has left the Cluster since does not stay, as far as the view knows that.
        """
        since, known, names = time.monotonic() - _STAY, self.nodes_cache, self._importing_nodes
        nodes = {name: known[name] for name, at in names.items() if at > since and name in known}
        stay = {
            name: node
            for name, node in nodes.items()
            if not view.members or node.address in view.members
        }
        self._importing_nodes = {name: names[name] for name in stay}
        return stay

    def _note_heirs(self, view: View) -> None:
        for each in view.ranges:
            owner = get_node_name(*each.nodes[0])
            self._heirs.pop(owner, None)
            for slot in (each.start, each.end):
                nodes = self.slots[slot]
                if nodes is not None and nodes[0].name != owner:
                    self._heirs[nodes[0].name] = owner

    def _place(self, nodes: dict[str, Node], address: Address, role: str) -> Node:
        name = get_node_name(*address)
        if name not in nodes or nodes[name].server_type != role:
            known = self.find(address)
            same = known is not None and known.server_type == role
            nodes[name] = known if known and same else self._make_node(address, role)
        return nodes[name]

    def _replace(self, old: Node, new: Node) -> None:
        """Put a promoted replica where its shard was."""
        self._last_ranges = None
        self.nodes_cache[new.name] = new
        for name, nodes in list(self._shards.items()):
            if old in nodes:
                nodes[:] = [new]
                del self._shards[name]
                self._shards[new.name] = nodes
                self._slot_counts[new.name] += self._slot_counts.pop(name)
        self._retire(old)

    def _give(self, slots: range, nodes: list[Node]) -> None:
        """Enter that *nodes*, or what else is known to be that primary's shard, have *slots*."""
        name = nodes[0].name
        nodes = self._shards.setdefault(name, nodes)
        self._slot_counts[name] += len(slots)
        self.slots[slots.start : slots.stop] = [nodes] * len(slots)


class ClientsMap:
    """The `SlotMap` as redis-py's code finds it at one client, with its protocol and decoding.

    Args:
        find: Returns the map; only asked for what is not known without one.
        connection_kwargs: What redis-py's parsers look up.
        listeners: Where redis-py's pub/sub hears that slots have moved.
    """

    def __init__(
        self,
        find: Callable[[], SlotMap],
        connection_kwargs: dict[str, Any],
        listeners: EventDispatcher,
    ) -> None:
        self._find = find
        self.connection_kwargs = connection_kwargs
        self._event_dispatcher = listeners

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)
