"""The tables of the pool's life and of what it may be suspected of."""

import inspect

import pytest

from redis_manager_fastapi.pool.state import (
    CONSEQUENCES,
    FINAL,
    TRANSITIONS,
    Meanwhile,
    OldLinks,
    PoolState,
    Suspicion,
    check_transition,
    fate_of_links,
    is_graver,
    keeps_leases,
)


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


def test_every_suspicion_has_its_row_as_documented() -> None:
    """The page that shows the table copies it from the docstring."""
    lines = (inspect.getdoc(Suspicion) or "").splitlines()
    documented = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    rows = [
        [
            suspicion.name,
            row.links.value,
            "yes" if row.ask_first else "no",
            "yes" if row.backoff else "no",
            row.old_links.value,
            "kept" if row.keep_leases else "aborted",
        ]
        for suspicion, row in CONSEQUENCES.items()
    ]

    assert documented[2:] == rows
    assert {row.gravity for row in CONSEQUENCES.values()} == set(range(len(Suspicion)))
    assert sorted(Suspicion, key=lambda each: CONSEQUENCES[each].gravity) == list(CONSEQUENCES)


@pytest.mark.parametrize("current", [None, *Suspicion])
def test_only_a_graver_suspicion_takes_the_place_of_another(current: Suspicion | None) -> None:
    order = list(CONSEQUENCES)
    graver = order if current is None else order[order.index(current) + 1 :]

    assert [new for new in order if is_graver(new, current)] == graver


@pytest.mark.parametrize("suspicion", CONSEQUENCES)
def test_links_that_a_ping_may_clear_serve_meanwhile(suspicion: Suspicion) -> None:
    """A suspended or retired link is never asked."""
    row = CONSEQUENCES[suspicion]

    assert not row.ask_first or row.links is Meanwhile.SERVE


@pytest.mark.parametrize(
    ("suspicion", "here", "elsewhere"),
    [
        (None, OldLinks.DRAIN, OldLinks.DRAIN_IF_HEARD),
        (Suspicion.LEASE_LOST, OldLinks.DRAIN, OldLinks.DRAIN_IF_HEARD),
        (Suspicion.REFUSING, OldLinks.DRAIN, OldLinks.DRAIN_IF_HEARD),
        (Suspicion.LINK_LOST, OldLinks.DRAIN, OldLinks.DRAIN_IF_HEARD),
        (Suspicion.LINK_QUIET, OldLinks.DRAIN_IF_HEARD, OldLinks.DRAIN_IF_HEARD),
        (Suspicion.SILENT, OldLinks.ABORT, OldLinks.ABORT),
        (Suspicion.MOVED, OldLinks.DRAIN_IF_HEARD, OldLinks.DRAIN_IF_HEARD),
    ],
)
def test_old_links_are_treated_as_their_server_was_suspected(
    suspicion: Suspicion | None, here: OldLinks, elsewhere: OldLinks
) -> None:
    """A server at another address counts as moved, unless the old one was silent."""
    assert fate_of_links(suspicion, elsewhere=False) is here
    assert fate_of_links(suspicion, elsewhere=True) is elsewhere


@pytest.mark.parametrize("suspicion", [None, *Suspicion])
def test_leases_are_kept_only_on_a_server_that_is_thought_to_serve(
    suspicion: Suspicion | None,
) -> None:
    lighter = (Suspicion.LEASE_LOST, Suspicion.LINK_LOST, Suspicion.LINK_QUIET)
    kept = suspicion is None or suspicion in lighter

    assert keeps_leases(suspicion, elsewhere=False, down=False) is kept
    assert not keeps_leases(suspicion, elsewhere=True, down=False)
    assert not keeps_leases(suspicion, elsewhere=False, down=True)
