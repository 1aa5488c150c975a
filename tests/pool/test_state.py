"""The table of the pool's life."""

import pytest

from redis_manager_fastapi.pool.state import FINAL, TRANSITIONS, PoolState, check_transition


def test_every_state_has_an_entry() -> None:
    assert set(TRANSITIONS) == set(PoolState)


def test_closed_is_the_only_end() -> None:
    assert [state for state, moves in TRANSITIONS.items() if not moves] == [PoolState.CLOSED]


@pytest.mark.parametrize("state", PoolState)
def test_every_state_can_be_closed(state: PoolState) -> None:
    reached = {state}
    while not reached >= (more := reached | {new for old in reached for new in TRANSITIONS[old]}):
        reached = more

    assert PoolState.CLOSED in reached


@pytest.mark.parametrize("state", sorted(FINAL, key=str))
def test_nothing_leads_back_from_closing(state: PoolState) -> None:
    assert TRANSITIONS[state] <= FINAL


def test_a_forbidden_move_names_both_states() -> None:
    with pytest.raises(RuntimeError, match="from down to suspect"):
        check_transition(PoolState.DOWN, PoolState.SUSPECT)
