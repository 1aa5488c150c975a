"""What a node says of the Cluster: how it is read, and whose word counts most."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from redis_manager_fastapi.cluster.view import SlotRange, View, best_of, parse
from redis_manager_fastapi.settings import Address

ASKED = Address("10.0.0.1", 6379)
INFO = "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_current_epoch:7\r\n"
SLOTS: list[Any] = [
    [0, 8191, ["10.0.0.1", 6379, "id1", []], ["10.0.0.4", 6380, "id4", []]],
    [8192, 16383, ["10.0.0.2", 6379, "id2", []]],
]


def view(healthy: bool = True, epoch: int = 1, slots: int = 1) -> View:
    return View(healthy, epoch, (SlotRange(0, slots - 1, (ASKED,)),))


def test_slots_are_read_with_their_nodes_the_primary_first() -> None:
    assert parse([SLOTS, INFO], ASKED).ranges == (
        SlotRange(0, 8191, (Address("10.0.0.1", 6379), Address("10.0.0.4", 6380))),
        SlotRange(8192, 16383, (Address("10.0.0.2", 6379),)),
    )


@pytest.mark.parametrize("info", [INFO, INFO.encode()])
def test_health_and_epoch_are_read(info: Any) -> None:
    found = parse([SLOTS, info], ASKED)

    assert (found.healthy, found.epoch) == (True, 7)


@pytest.mark.parametrize("info", ["cluster_state:fail\r\ncluster_current_epoch:7\r\n", ""])
def test_only_a_node_that_says_ok_is_healthy(info: str) -> None:
    assert not parse([SLOTS, info], ASKED).healthy


@pytest.mark.parametrize("host", ["", None])
def test_a_node_that_does_not_know_its_address_is_the_one_that_was_asked(host: Any) -> None:
    found = parse([[[0, 16383, [host, 6390, "id1", []]]], INFO], ASKED)

    assert found.ranges[0].nodes == (Address(ASKED.host, 6390),)


@pytest.mark.parametrize(
    ("more", "host"), [([["ip", "10.0.0.3"]], "10.0.0.3"), ([[]], ASKED.host), ([], ASKED.host)]
)
def test_a_node_without_the_name_that_it_ought_to_have_is_found_by_its_ip(
    more: list[Any], host: str
) -> None:
    found = parse([[[0, 16383, ["?", 6390, "id1", *more]]], INFO], ASKED)

    assert found.ranges[0].nodes == (Address(host, 6390),)


@pytest.mark.parametrize(
    "entry", [[0, 16383], [0, 16384, *SLOTS[0][2:]], [9, 8, *SLOTS[0][2:]], [-1, 5, *SLOTS[0][2:]]]
)
def test_a_view_that_makes_no_sense_is_none(entry: list[Any]) -> None:
    """Another node's may make sense."""
    with pytest.raises(ValueError, match="slots"):
        parse([[entry], INFO], ASKED)


def test_a_user_who_may_not_ask_for_the_state_gets_by_with_the_slots() -> None:
    found = parse([SLOTS, NoPermissionError("no permissions")], ASKED)

    assert (found.healthy, found.epoch, len(found.ranges)) == (True, 0, 2)


@pytest.mark.parametrize(
    "replies",
    [
        [ResponseError("This instance has cluster support disabled"), INFO],
        [NoPermissionError("no permissions"), INFO],
        [SLOTS, ResponseError("unknown")],
    ],
)
def test_a_node_that_refuses_to_say_has_no_view(replies: list[Any]) -> None:
    with pytest.raises(ResponseError):
        parse(replies, ASKED)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (view(healthy=True, epoch=1), view(healthy=False, epoch=9, slots=9)),
        (view(epoch=2, slots=1), view(epoch=1, slots=9)),
        (view(slots=2), view(slots=1)),
    ],
    ids=["health", "epoch", "slots"],
)
def test_health_counts_before_the_epoch_and_that_before_the_slots(
    better: View, worse: View
) -> None:
    assert better.rank > worse.rank


async def test_the_best_view_is_taken_and_errors_are_kept() -> None:
    async def answer(what: Any) -> View | None:
        if isinstance(what, Exception):
            raise what
        found: View | None = what
        return found

    empty, refusal = View(True, 99, ()), ResponseError("no")
    questions = [answer(each) for each in (view(epoch=1), refusal, view(epoch=3), empty, None)]

    best, errors = await best_of(questions, patience=5)

    assert best == view(epoch=3)
    assert errors == [refusal]


async def test_nobody_s_view_is_none() -> None:
    assert await best_of([], patience=5) == (None, [])


async def test_one_who_does_not_answer_is_not_waited_for_beyond_patience() -> None:
    async def never() -> View:
        await asyncio.Event().wait()
        raise AssertionError

    async def now() -> View:
        return view()

    assert await best_of([never(), now()], patience=0.01) == (view(), [])
    assert len(asyncio.all_tasks()) == 1


NODES = (
    "id1 10.0.0.1:6379@16379,redis-1 myself,master - 0 0 1 connected 0-8191\n"
    "id2 10.0.0.2:6379@16379 master - 0 0 2 connected 8192-16383\n"
    "id4 10.0.0.4:6380@16380 slave id1 0 0 1 connected\n"
    "id5 10.0.0.5:6379@16379,,shard-id=x master - 0 0 3 connected\n"
    "id6 2001:db8::6:6379@16379 master - 0 0 3 connected\n"
    "id7 :6379@16379 master - 0 0 3 connected\n"
    "id8 10.0.0.8:6379@16379 handshake - 0 0 0 disconnected\n"
    "id9 :0@0 master,noaddr - 0 0 0 disconnected\n"
)


@pytest.mark.parametrize("nodes", [NODES, NODES.encode()])
def test_members_are_all_nodes_that_have_an_address_also_without_a_slot(nodes: Any) -> None:
    assert parse([SLOTS, INFO, nodes], ASKED).members == {
        Address("10.0.0.1", 6379),
        Address("redis-1", 6379),
        Address("10.0.0.2", 6379),
        Address("10.0.0.4", 6380),
        Address("10.0.0.5", 6379),
        Address("2001:db8::6", 6379),
    }


def test_without_the_list_of_nodes_the_members_are_those_of_the_slots() -> None:
    refused = NoPermissionError("no permissions")

    assert parse([SLOTS, INFO, refused], ASKED).members == {
        Address("10.0.0.1", 6379),
        Address("10.0.0.4", 6380),
        Address("10.0.0.2", 6379),
    }
