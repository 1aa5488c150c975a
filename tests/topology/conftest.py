from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from redis_manager_fastapi.testing.sentinel import SentinelDeployment
from tests.kit.naming import Known, know


@pytest_asyncio.fixture
async def deployment() -> AsyncIterator[SentinelDeployment]:
    """A primary with two replicas, watched by three Sentinels."""
    async with SentinelDeployment() as deployment:
        yield deployment


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    """Tells what the name resolves to."""
    return know(monkeypatch)
