"""The trial of `scripts/realtime events`, smaller."""

import pytest

from benchmarks.realtime_events import measure


@pytest.mark.timeout(120)
async def test_many_clients_of_events_lose_and_double_nothing_through_kills() -> None:
    outcome = await measure(clients=40, kills=3, pause=0.1, between=0.5)

    assert (outcome.complete, outcome.with_a_gap, outcome.wrong) == (40, 0, 0)
    assert outcome.connects > 40
