"""A connect that failed is remembered, so that not every caller makes another."""

import pytest

from redis_manager_fastapi import (
    RedisAuthError,
    RedisPermissionError,
    RedisSettings,
    RedisTLSError,
    RedisUnavailableError,
)
from redis_manager_fastapi.pool.dialer import ConnectBackoff, DedicatedTCPConnection
from redis_manager_fastapi.topology.failures import from_connect
from tests.kit.clock import HandClock

PAUSE = 0.5
GRACE = 2.0


@pytest.fixture
def backoff(clock: HandClock) -> ConnectBackoff:
    return ConnectBackoff(clock, PAUSE, GRACE)


def refused(message: str = "connection refused") -> RedisUnavailableError:
    return RedisUnavailableError(message, instance="x")


def test_nothing_is_remembered_at_first(backoff: ConnectBackoff) -> None:
    assert backoff.fresh(1) is None
    assert backoff.reason == ""


def test_a_refusal_is_fresh_for_the_pause(clock: HandClock, backoff: ConnectBackoff) -> None:
    refusal = backoff.remember(refused(), 1)

    clock.now += PAUSE - 0.01
    assert backoff.fresh(1) is refusal
    clock.now += 0.01
    assert backoff.fresh(1) is None
    assert backoff.reason == ": connection refused"


def test_another_generation_tries_at_once(backoff: ConnectBackoff) -> None:
    backoff.remember(refused(), 1)

    assert backoff.fresh(2) is None


@pytest.mark.parametrize(("later", "in_a_row"), [(PAUSE, True), (PAUSE + GRACE, False)])
def test_refusals_in_a_row_have_one_beginning(
    clock: HandClock, backoff: ConnectBackoff, later: float, in_a_row: bool
) -> None:
    first = backoff.remember(refused(), 1)
    clock.now += later

    assert (backoff.remember(refused(), 1).since == first.since) is in_a_row


def test_a_new_generation_begins_a_new_row(clock: HandClock, backoff: ConnectBackoff) -> None:
    backoff.remember(refused(), 1)
    clock.now += 0.1

    assert backoff.remember(refused(), 2).since == clock.now


def test_a_connection_that_was_made_ends_it(backoff: ConnectBackoff) -> None:
    backoff.remember(refused(), 1)

    backoff.forget()

    assert backoff.fresh(1) is None
    assert backoff.reason == ""


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (refused(), False),
        (from_connect(ConnectionRefusedError(111, "refused"), "x", RedisSettings()), False),
        (from_connect(TimeoutError(), "x", RedisSettings()), False),
        (
            from_connect(
                DedicatedTCPConnection().parse_error("LOADING is loading"), "x", RedisSettings()
            ),
            True,
        ),
        (RedisAuthError("the credentials are wrong"), True),
        (RedisPermissionError("NOPERM"), True),
        (RedisTLSError("the TLS handshake failed"), True),
    ],
    ids=lambda value: str(value),
)
def test_a_refusal_is_final_where_the_server_said_no(
    backoff: ConnectBackoff, error: RedisUnavailableError, final: bool
) -> None:
    assert backoff.remember(error, 1).final is final


def test_each_caller_is_refused_with_an_error_of_its_own(backoff: ConnectBackoff) -> None:
    error = RedisAuthError("the credentials are wrong", instance="x")
    refusal = backoff.remember(error, 1)

    first, second = refusal.repeated(), refusal.repeated()
    assert first is not second
    for each in (first, second):
        assert (type(each), str(each), each.instance) == (RedisAuthError, str(error), "x")
        assert each.__cause__ is error
