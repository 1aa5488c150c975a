"""The clock of an outage: until when callers wait, whatever happened before."""

import pytest

from redis_manager_fastapi import RedisSettings
from redis_manager_fastapi.pool.waiting import GracePeriod
from tests.kit.clock import HandClock

DETECTION = 1.5


@pytest.fixture
def grace(clock: HandClock) -> GracePeriod:
    settings = RedisSettings.model_validate(
        {"outage": {"grace": 2.0}, "health": {"interval": 0.5, "timeout": 1.0}}
    )
    return GracePeriod(clock, settings)


def test_callers_wait_for_grace_after_the_last_reply(clock: HandClock, grace: GracePeriod) -> None:
    grace.reply_at(clock.now + 5)

    assert grace.deadline == clock.now + 7


def test_before_the_first_reply_they_wait_from_the_start(
    clock: HandClock, grace: GracePeriod
) -> None:
    assert grace.deadline == clock.now + 2


def test_a_late_word_of_an_earlier_reply_changes_nothing(
    clock: HandClock, grace: GracePeriod
) -> None:
    grace.reply_at(clock.now + 5)
    grace.reply_at(clock.now + 3)

    assert grace.deadline == clock.now + 7


def test_an_outage_counts_from_the_last_reply_and_not_from_its_detection(
    clock: HandClock, grace: GracePeriod
) -> None:
    clock.now += 60
    grace.stop_serving(last_reply=clock.now - 1)

    assert grace.deadline == clock.now + 1


def test_a_stall_of_the_event_loop_is_not_counted_against_the_callers(
    clock: HandClock, grace: GracePeriod
) -> None:
    """No reply is overlooked for longer than the detection takes."""
    clock.now += 60
    grace.stop_serving(last_reply=clock.now - 50)

    assert grace.deadline == clock.now - DETECTION + 2


def test_an_outage_lasts_since_the_pool_stopped_serving(
    clock: HandClock, grace: GracePeriod
) -> None:
    clock.now += 60
    grace.stop_serving(last_reply=clock.now - 1)
    clock.now += 4

    assert grace.outage == 4


def test_reset_counts_from_now(clock: HandClock, grace: GracePeriod) -> None:
    clock.now += 60
    grace.stop_serving(last_reply=clock.now - 1)
    clock.now += 4

    grace.reset()

    assert (grace.deadline, grace.outage) == (clock.now + 2, 0)
