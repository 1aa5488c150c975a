"""What happened lately is kept, and wakes those who look."""

import asyncio
from dataclasses import replace

from redis_manager_fastapi import ProbeFailed, Resubscribed, StateChanged, WorkerFailed
from redis_manager_fastapi.observe.bus import History, wait_for_news
from tests.kit.waiting import until


def resubscribed(number: int) -> Resubscribed:
    return Resubscribed("default", channels=number, seconds=0.0)


def test_the_last_two_hundred_are_kept_without_failed_probes() -> None:
    history = History()
    for number in range(250):
        history(resubscribed(number))
        history(ProbeFailed("default", OSError(), attempt=number))

    kept = history.since(0)
    assert [each.number for each in kept] == list(range(50, 250))
    assert [each.event for each in history.since(249)] == [resubscribed(249)]
    assert history.count == 250


def test_states_and_their_changes_are_kept_whatever_else_happens() -> None:
    history = History()
    history(changed := StateChanged("default", "starting", "ready", 1, "serving"))
    for number in range(250):
        history(resubscribed(number))

    assert [each.state for each in history.states] == ["ready"]
    assert history.since(0)[0].event == changed
    assert [each.number for each in history.since(249)] == [249, 250]
    assert [each.state for each in history.states_since(0)] == ["ready"]
    assert not history.states_since(1)


def test_what_repeats_itself_between_two_changes_of_state_is_one_event() -> None:
    history = History()
    for error in (*(OSError(), ValueError()) * 3, OSError()):
        history(WorkerFailed("default", "bill", error))
    history(StateChanged("default", "ready", "suspect", 1, "a reply is late"))
    history(WorkerFailed("default", "bill", last := OSError()))

    kept = history.since(0)
    assert [each.times for each in kept] == [3, 4, 1, 1]
    assert [each.first for each in kept] == [1, 0, 7, 8]
    assert [each.number for each in kept] == [5, 6, 7, 8]
    assert kept[-1].event == WorkerFailed("default", "bill", last)
    assert history.count == 9


def test_the_server_that_is_spoken_to_is_known_when_its_event_is_gone() -> None:
    history = History()
    moved = StateChanged("default", "suspect", "ready", 2, "serving", address="127.0.0.1:6379")
    history(moved)
    history(replace(moved, node="127.0.0.1:6380", address="127.0.0.1:6380"))
    for number in range(200):
        history(resubscribed(number))

    assert history.address == "127.0.0.1:6379"


async def test_news_of_any_wakes_who_waits() -> None:
    one, other = History(), History()
    waiting = asyncio.ensure_future(wait_for_news([one, other], [0, 0], 20))
    await until(lambda: other.waiting)
    other(resubscribed(1))

    assert await waiting
    assert not one.waiting
    assert not other.waiting


async def test_what_happened_already_is_not_waited_for() -> None:
    history = History()
    history(resubscribed(1))

    assert await asyncio.wait_for(wait_for_news([history], [0], 20), 5)


async def test_quiet_ends_with_the_time() -> None:
    assert await wait_for_news([History()], [0], 0.01)


async def test_stopping_ends_every_wait_until_it_begins_again() -> None:
    history = History()
    waiting = asyncio.ensure_future(wait_for_news([history], [0], 20))
    await until(lambda: history.waiting)
    history.stop()

    assert not await waiting
    assert not await wait_for_news([history], [0], 20)
    history.begin()
    assert await wait_for_news([history], [0], 0.01)


async def test_a_cancelled_wait_leaves_nothing() -> None:
    history = History()
    waiting = asyncio.ensure_future(wait_for_news([history], [0], 20))
    await until(lambda: history.waiting)
    waiting.cancel()
    await asyncio.wait([waiting])

    assert not history.waiting
