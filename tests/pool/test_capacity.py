"""The places of dedicated connections: who gets one, who waits, and what is closed."""

import asyncio

from redis_manager_fastapi import PoolTimeoutError
from redis_manager_fastapi.pool.capacity import OPEN, Capacity, HandOver, Held, Waiter
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.dialer import DedicatedTCPConnection


def capacity(places: int = 2, max_idle: float = 0.0, max_lifetime: float = 0.0) -> Capacity:
    return Capacity(places, max_idle, max_lifetime)


def connection(generation: int = 1, opened_at: float = 0.0) -> DedicatedConnection:
    made = DedicatedTCPConnection()
    made.generation, made.opened_at = generation, opened_at
    return made


def queued(places: Capacity, purpose: str = "GET") -> "asyncio.Future[HandOver]":
    future: asyncio.Future[HandOver] = asyncio.get_running_loop().create_future()
    places.waiting[Waiter(future, purpose)] = None
    return future


def connection_of(grant: HandOver | None) -> DedicatedConnection:
    """The connection of a place that was granted."""
    assert isinstance(grant, Held)
    assert grant.connection is not None
    return grant.connection


def test_one_connection_is_opened_at_a_time() -> None:
    places = capacity(places=3)

    assert places.grant("GET") is OPEN
    assert places.grant("GET") is None
    assert (places.opening, places.free) == (1, 2)


def test_an_opened_connection_is_a_lease_with_its_purpose() -> None:
    places, opened = capacity(), connection()
    places.grant("BLPOP")
    places.opening -= 1
    places.lend(opened, "BLPOP")

    lease = places.find(opened)
    assert lease is not None
    assert (lease.connection, lease.purpose) == (opened, "BLPOP")
    assert places.free == 1


def test_the_connection_used_last_is_granted_first() -> None:
    places, old, new = capacity(), connection(), connection()
    places.keep(old, 1.0)
    places.keep(new, 2.0)

    assert connection_of(places.grant("GET")) is new
    assert connection_of(places.grant("GET")) is old
    assert places.idle == 0


def test_no_place_is_granted_beyond_the_limit() -> None:
    places = capacity(places=1)
    places.lend(connection(), "GET")

    assert places.grant("GET") is None
    assert places.free == 0


def test_a_lease_is_given_back_once() -> None:
    places, held = capacity(), connection()
    places.lend(held, "GET")

    assert places.take_back(held) is not None
    assert places.take_back(held) is None
    assert places.free == places.places


def test_leases_are_listed_oldest_first() -> None:
    places = capacity(places=3)
    for number in range(3):
        places.lend(connection(), f"purpose {number}")

    assert [lease.purpose for lease in places.held()] == ["purpose 0", "purpose 1", "purpose 2"]


async def test_who_waits_is_served_in_turn() -> None:
    places, idle = capacity(places=1), connection()
    first, second = queued(places, "first"), queued(places, "second")
    places.keep(idle, 0)

    places.serve()
    assert connection_of(first.result()) is idle
    assert not second.done()
    lease = places.take_back(idle)
    assert lease is not None
    assert lease.purpose == "first"
    places.keep(idle, 0)
    places.serve()
    assert connection_of(second.result()) is idle
    assert not places.crowded()


async def test_a_waiter_that_gave_up_takes_no_place() -> None:
    places, idle = capacity(places=1), connection()
    gone, patient = queued(places), queued(places)
    gone.cancel()
    places.keep(idle, 0)

    places.serve()

    assert connection_of(patient.result()) is idle


async def test_only_waiters_that_have_given_up_are_no_crowd() -> None:
    places = capacity()
    queued(places).cancel()

    assert not places.crowded()


async def test_a_waiter_may_be_handed_the_permission_to_open() -> None:
    places = capacity()
    first, second = queued(places), queued(places)

    places.serve()

    assert first.result() is OPEN
    assert not second.done()


async def test_a_refusal_is_an_error_of_each_waiter_s_own() -> None:
    places = capacity()
    futures = [queued(places) for _ in range(3)]

    places.fail_waiting(lambda: PoolTimeoutError("no"))

    errors = [future.result() for future in futures]
    assert {type(error) for error in errors} == {PoolTimeoutError}
    assert len({id(error) for error in errors}) == 3
    assert not places.crowded()


def test_stale_old_and_unused_connections_are_weeded() -> None:
    places = capacity(places=5, max_idle=10.0, max_lifetime=100.0)
    good = connection(opened_at=950.0)
    stale = connection(generation=0, opened_at=950.0)
    old = connection(opened_at=900.0)
    unused = connection(opened_at=950.0)
    for each, since in ((good, 991.0), (stale, 995.0), (old, 995.0), (unused, 990.0)):
        places.keep(each, since)

    assert places.weed(1, 1000.0) == [stale, old, unused]
    assert connection_of(places.grant("GET")) is good


def test_zero_means_that_nothing_grows_old() -> None:
    places, ancient = capacity(), connection()
    places.keep(ancient, 0.0)

    assert places.lives(ancient, 1e9)
    assert places.weed(1, 1e9) == []


def test_what_is_kept_after_a_weeding_has_its_own_time() -> None:
    places = capacity(places=5, max_idle=10.0, max_lifetime=100.0)
    early, late, young = (connection(opened_at=at) for at in (995.0, 995.0, 920.0))
    assert places.weed(1, 999.0) == []
    places.keep(early, 1000.0)
    places.keep(late, 1005.0)
    places.keep(young, 1012.0)

    assert places.weed(1, 1009.9) == []
    assert places.weed(1, 1010.0) == [early]
    assert places.weed(1, 1015.0) == [late]
    assert places.weed(1, 1020.0) == [young]


def test_what_is_kept_of_an_old_generation_is_weeded_at_once() -> None:
    places = capacity(places=5, max_idle=10.0)
    assert places.weed(1, 1000.0) == []
    stale = connection(generation=0)
    places.keep(stale, 1000.0)

    assert places.weed(1, 1000.0) == [stale]


def test_room_for_what_is_short_counts_what_ends_in_any_way() -> None:
    places = capacity(places=4)  # and one that is spare
    made = [connection() for _ in range(5)]
    brief = places.lend(made[0], "GET")
    for each in made[1:4]:
        places.lend(each, "a pub/sub", lasting=True)
    assert places.room(lasting=False) == 0

    places.strike(brief)
    places.lend(made[4], "a pub/sub", lasting=True)
    assert (places.free, places.room(lasting=False)) == (0, 1)

    brief = places.lend(made[0], "GET")
    places.take_back(made[0])
    assert (places.free, places.room(lasting=False)) == (0, 1)
