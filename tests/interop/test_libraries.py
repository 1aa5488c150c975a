"""Other libraries on our client or pool, beside what they do with redis-py's own.

The ordinary suite leaves them out: `scripts/interop` installs them and runs these tests.
"""

import asyncio
from typing import Any

import pytest

pytest.importorskip("saq", reason="the libraries are not installed: run scripts/interop")

from tests.interop.libraries import LIBRARIES  # it needs them
from tests.interop.sides import PATIENCE
from tests.interop.trial import RATE, Outcome, through

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # they have their own
    pytest.mark.parametrize("side", ["ours", "plain"]),
    pytest.mark.parametrize("library", LIBRARIES),
]

Record = Any  # pytest's `record_property`


def note(record: Record, trial: str, library: str, side: str, outcome: Outcome) -> None:
    """Have a row of the table say so."""
    failed = len(outcome.failed)
    record("interop", [trial, library, side, failed, len(outcome.done) + failed, outcome.back])


async def test_it_does_its_job(library: str, side: str) -> None:
    async with LIBRARIES[library].on(side) as (_, job), asyncio.timeout(3 * PATIENCE):
        await job(0)
        await asyncio.gather(*(job(number) for number in range(1, 11)))


async def test_a_restart_costs_no_job(library: str, side: str, record_property: Record) -> None:
    async with LIBRARIES[library].on(side) as (reached, job):
        outcome = await through(reached, job, down=1.0)
    note(record_property, "restart", library, side, outcome)

    if side == "plain":
        assert len(outcome.failed) > RATE / 2, "it should have met the restart"
    else:
        assert outcome.failed == []


async def test_an_outage_is_told_and_survived(
    library: str, side: str, record_property: Record
) -> None:
    async with LIBRARIES[library].on(side) as (reached, job):
        outcome = await through(reached, job, down=4.0)
    note(record_property, "outage", library, side, outcome)

    if side == "ours":
        assert outcome.dishonest == [] or LIBRARIES[library].silent
        assert outcome.back is not None
        assert outcome.busy < 0.5, "something runs in circles"
