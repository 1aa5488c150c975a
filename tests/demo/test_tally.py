"""The demo says what became of hits, and claims no more than it knows."""

import math

import pytest

from redis_manager_fastapi.demo.tally import Tally


@pytest.mark.parametrize(
    ("told", "counted", "untold", "lost"),
    [
        ([1, 2, 3], 3, 0, 0),
        ([2, 1, 3], 3, 0, 0),
        ([1, 2, 4], 4, 1, 0),  # the third was counted, and its answer lost
        ([1, 2], 4, 2, 0),
        ([1, 2, 3, 4], 2, 0, 2),  # a server took over that lacks two
        ([1, 2, 3, 4, 3, 4, 5], 5, 0, 2),  # and counts on from there
        ([1, 2, 3, 4, 3], 3, 0, 2),
        ([1, 2, 4, 3], 3, 0, 1),
        ([1, 4], 2, 1, 1),
        ([1, 2, 1, 2, 1, 2], 2, 0, 4),
    ],
)
def test_numbers_show_what_is_lost_and_what_nobody_was_told(
    told: list[int], counted: int, untold: int, lost: int
) -> None:
    tally = Tally()
    for number in told:
        tally.note(number)

    found = tally.compare(counted, tally.ask(), since=math.inf)

    facts = {"counted": counted, "told": len(told), "untold": untold, "lost": lost}
    assert found == {**facts, "coming": 0}


def test_a_visit_that_is_not_answered_yet_is_no_sign() -> None:
    """What was counted since the oldest of them began may yet be told."""
    tally = Tally()

    found = tally.compare(2, tally.ask(), since=0.0)
    assert (found["untold"], found["coming"]) == (0, 2)
    tally.note(1)
    tally.note(3)
    found = tally.compare(3, tally.ask(), since=math.inf)
    assert (found["untold"], found["coming"]) == (1, 0)


def test_what_was_told_while_redis_was_asked_is_not_lost() -> None:
    tally = Tally()
    tally.note(1)
    asked = tally.ask()
    tally.note(2)

    assert tally.compare(1, asked, since=math.inf)["lost"] == 0


def test_a_counter_that_somebody_else_moved_far_costs_no_memory() -> None:
    tally = Tally()
    tally.note(10**12)

    assert tally.compare(10**12, tally.ask(), since=math.inf)["untold"] < 10**5
