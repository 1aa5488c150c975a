"""What all tests share: `redis_server` is the package's own, but on a server that wants help."""

from collections.abc import AsyncIterator

import pytest

from redis_manager_fastapi.testing import RedisServer
from tests.kit.scheduling import (
    pytest_collection_finish,
    pytest_configure_node,
    pytest_xdist_make_scheduler,
)
from tests.kit.servers import PROMPT

__all__ = ["pytest_collection_finish", "pytest_configure_node", "pytest_xdist_make_scheduler"]


@pytest.fixture
def pipelining(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sharing is what the test is about, however the suite is run."""
    monkeypatch.setenv("REDIS_PIPELINING__ENABLED", "true")


if PROMPT:

    @pytest.fixture
    async def redis_server() -> AsyncIterator[RedisServer]:
        """A server of this test's own, which ends blocking commands in time."""
        async with RedisServer(PROMPT) as server:
            yield server
