from collections.abc import AsyncIterator

import pytest_asyncio

from redis_manager_fastapi.testing.cluster import ClusterDeployment


@pytest_asyncio.fixture
async def shared_cluster() -> AsyncIterator[ClusterDeployment]:
    """Three primaries without replicas."""
    async with ClusterDeployment(replicas=0) as deployment:
        yield deployment
