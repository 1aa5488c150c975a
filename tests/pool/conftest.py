from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.kit.clock import HandClock


@pytest.fixture
def clock() -> Iterator[HandClock]:
    """A clock that only the test moves."""
    with closing(HandClock()) as loop:
        yield loop
