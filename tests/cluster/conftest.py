from collections.abc import AsyncIterator

import pytest_asyncio

from redis_manager_fastapi.testing.cluster import ClusterDeployment


@pytest_asyncio.fixture
async def deployment() -> AsyncIterator[ClusterDeployment]:
    """Three primaries, each with a replica."""
    async with ClusterDeployment() as deployment:
        yield deployment


@pytest_asyncio.fixture
async def steady() -> AsyncIterator[ClusterDeployment]:
    """The same, with primaries that stay what they are, however slow the machine is."""
    async with ClusterDeployment(elections=False) as deployment:
        yield deployment


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[ClusterDeployment]:
    """A Cluster that these tests leave as they found it, but for its data."""
    async with ClusterDeployment(elections=False) as deployment:
        yield deployment
