from collections.abc import AsyncIterator

import pytest_asyncio

from redis_manager_fastapi.testing.cluster import ClusterDeployment


@pytest_asyncio.fixture
async def deployment() -> AsyncIterator[ClusterDeployment]:
    """Three primaries, each with a replica."""
    async with ClusterDeployment() as deployment:
        yield deployment
