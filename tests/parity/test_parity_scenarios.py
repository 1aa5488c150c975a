"""The scenarios, on both clients."""

import asyncio

import pytest

from . import scenarios, transaction_scenarios
from .conftest import Pair
from .sameness import difference
from .stage import MARKS, SCENARIOS, caught

# Importing them registers them.
REGISTERED = (scenarios, transaction_scenarios)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, ())) for name in SCENARIOS]
)
async def test_scenario_shows_what_redis_py_shows(pair: Pair, name: str) -> None:
    run = SCENARIOS[name]

    ours, plain = await asyncio.gather(caught(run(pair.ours)), caught(run(pair.plain)))

    assert not difference(ours, plain)
    assert not isinstance(plain, Exception), f"the scenario fails on plain redis-py: {plain!r}"
    assert pair.manager.stats().leased == 0
