"""Which node has which slot, after a view, a redirect, a promotion and a migration."""

import pytest
from redis.cluster import PRIMARY, REPLICA

from redis_manager_fastapi import RedisSettings
from redis_manager_fastapi.cluster.node import Node
from redis_manager_fastapi.cluster.slot_map import SLOTS, SlotMap, UncoveredSlotError
from redis_manager_fastapi.cluster.view import SlotRange, View
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.settings import Address
from redis_manager_fastapi.supervision.deployment import Single
from redis_manager_fastapi.topology.standalone import Standalone

FIRST, SECOND, NEW = (Address("10.0.0.1", port) for port in (7001, 7002, 7003))
REPLICA_OF_FIRST = Address("10.0.0.1", 7004)
HALF = SLOTS // 2
WHOLE = (
    SlotRange(0, HALF - 1, (FIRST, REPLICA_OF_FIRST)),
    SlotRange(HALF, SLOTS - 1, (SECOND,)),
)


def unopened(node: Node) -> Single:
    """A deployment that nobody opens: the map does no I/O."""
    settings = RedisSettings(host=node.address.host)
    return Single(lambda: Standalone(settings), settings, Bus(()), instance="default")


class Map:
    """A map of two shards, and the nodes that it gave up."""

    def __init__(self, *ranges: SlotRange, reads: str = "primary") -> None:
        self.retired: list[Node] = []
        self.map = SlotMap(self.make, self.retired.append, reads=reads)
        self.apply(*(ranges or WHOLE))

    @staticmethod
    def make(address: Address, role: str) -> Node:
        return Node(address, role, unopened)

    def apply(self, *ranges: SlotRange) -> None:
        self.map.apply(View(True, 1, ranges))

    def address(self, slot: int, *, read_only: bool = False) -> Address | None:
        node = self.map.choose(slot, read_only=read_only)
        return None if node is None else node.address

    def node(self, address: Address) -> Node:
        node = self.map.find(address)
        assert node is not None
        return node


def test_each_slot_has_the_primary_of_its_range() -> None:
    slots = Map()

    found = [slots.address(slot) for slot in (0, HALF - 1, HALF, SLOTS - 1)]
    assert found == [FIRST, FIRST, SECOND, SECOND]
    assert [node.address for node in slots.map.owners] == [FIRST, SECOND]
    assert slots.map.covered


def test_nodes_have_the_role_of_their_place() -> None:
    roles = {node.address: node.server_type for node in Map().map.nodes}

    assert roles == {FIRST: PRIMARY, SECOND: PRIMARY, REPLICA_OF_FIRST: REPLICA}


def test_a_slot_that_nobody_has_is_named() -> None:
    slots = Map(SlotRange(0, 99, (FIRST,)))

    assert slots.address(100) is None
    assert not slots.map.covered
    with pytest.raises(UncoveredSlotError, match="no node serves slot 100"):
        slots.map.get_node_from_slot(100)


@pytest.mark.parametrize("reads", ["primary", "replica", "any"])
def test_a_read_goes_to_the_primary_while_no_other_serves(reads: str) -> None:
    slots = Map(reads=reads)

    assert {slots.address(0, read_only=True) for _ in range(4)} == {FIRST}


def test_a_node_that_stays_in_its_role_stays_the_same_object() -> None:
    slots = Map()
    before = slots.node(SECOND)

    slots.apply(SlotRange(0, 99, (FIRST,)), SlotRange(100, SLOTS - 1, (SECOND,)))

    assert slots.node(SECOND) is before
    assert slots.address(100) == SECOND
    assert [node.address for node in slots.retired] == [REPLICA_OF_FIRST]


def test_the_same_view_changes_nothing() -> None:
    slots = Map()
    before = slots.map.slots

    slots.apply(*WHOLE)

    assert slots.map.slots is before


def test_a_node_whose_role_changes_is_another_object() -> None:
    slots = Map()
    primary, replica = slots.node(FIRST), slots.node(REPLICA_OF_FIRST)

    slots.apply(SlotRange(0, HALF - 1, (REPLICA_OF_FIRST, FIRST)), WHOLE[1])

    assert slots.address(0) == REPLICA_OF_FIRST
    assert slots.node(FIRST).server_type == REPLICA
    assert set(slots.retired) == {primary, replica}
    assert slots.map.current(primary) is slots.node(FIRST)


def test_a_moved_slot_is_the_other_shard_s_and_no_other_is() -> None:
    slots = Map()

    slots.map.move(5, SECOND)

    assert [slots.address(slot) for slot in (4, 5, 6)] == [FIRST, SECOND, FIRST]
    assert slots.map.covered
    assert slots.retired == []


def test_a_slot_that_had_nobody_is_covered_once_it_has_moved() -> None:
    slots = Map(SlotRange(0, SLOTS - 2, (FIRST,)))

    slots.map.move(SLOTS - 1, FIRST)

    assert slots.map.covered


def test_a_view_after_a_move_is_taken_though_it_was_the_last_one() -> None:
    slots = Map()
    slots.map.move(5, SECOND)

    slots.apply(*WHOLE)

    assert slots.address(5) == FIRST


def test_a_primary_whose_last_slot_moves_owns_none() -> None:
    slots = Map(SlotRange(0, 0, (FIRST,)), SlotRange(1, SLOTS - 1, (SECOND,)))

    slots.map.move(0, SECOND)

    assert [node.address for node in slots.map.owners] == [SECOND]


def test_a_replica_that_a_slot_moved_to_has_its_shard() -> None:
    """MOVED to a replica is a fail-over that no view has told yet."""
    slots = Map()
    demoted, old = slots.node(FIRST), slots.node(REPLICA_OF_FIRST)

    promoted = slots.map.move(5, REPLICA_OF_FIRST)

    assert promoted.is_primary
    assert {slots.address(slot) for slot in (0, 5, HALF - 1)} == {REPLICA_OF_FIRST}
    assert slots.retired == [old]
    assert demoted in slots.map.nodes
    assert slots.map.covered


def test_a_node_without_slots_stays_while_it_takes_part_in_a_migration() -> None:
    slots = Map()
    importing = slots.map.add_importing(NEW)

    slots.apply(*WHOLE)

    assert slots.node(NEW) is importing
    assert importing.is_primary
    assert importing not in slots.map.owners
    assert slots.retired == []


def test_a_node_that_has_left_the_cluster_does_not_stay_for_its_migration() -> None:
    """Commands for every primary would go there for a while."""
    slots = Map()
    importing = slots.map.add_importing(NEW)

    slots.map.apply(View(True, 1, WHOLE, frozenset({FIRST, NEW})))
    assert slots.node(NEW) is importing

    slots.map.apply(View(True, 1, WHOLE, frozenset({FIRST})))
    assert slots.retired == [importing]


def test_a_slot_that_moves_to_an_unknown_node_brings_it_in() -> None:
    slots = Map()

    assert slots.map.move(5, NEW).address == NEW
    assert slots.address(5) == NEW


def test_redis_py_sees_the_same_slots() -> None:
    slots = Map(SlotRange(0, 99, (FIRST,)))

    assert slots.map.slots_cache.keys() == set(range(100))
    assert slots.map.get_node_from_slot(0) is slots.node(FIRST)
    assert slots.map.default_node is slots.node(FIRST)


def test_redis_py_finds_every_node_where_it_starts_from() -> None:
    """Whoever looks for another primary by redis-py's `startup_nodes` finds one."""
    slots = Map()
    assert [node.port for node in slots.map.startup_nodes.values()] == [7001, 7004, 7002]

    slots.map.move(0, NEW)
    assert slots.map.startup_nodes == slots.map.nodes_cache

    slots.apply(SlotRange(0, SLOTS - 1, (SECOND,)))
    assert slots.map.startup_nodes == slots.map.nodes_cache
