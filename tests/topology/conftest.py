from collections.abc import AsyncIterator

import pytest_asyncio

from redis_manager_fastapi.testing.sentinel import SentinelDeployment


@pytest_asyncio.fixture
async def deployment() -> AsyncIterator[SentinelDeployment]:
    """A primary with two replicas, watched by three Sentinels."""
    async with SentinelDeployment() as deployment:
        yield deployment
