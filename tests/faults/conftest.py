"""Servers for the fault tests; `redis_server` and `fault_proxy` are the package's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from redis_manager_fastapi.testing import RedisServer
from tests.kit.servers import DURABLE


@pytest.fixture(scope="session")
def bystander() -> Iterator[RedisServer]:
    """A server that no test breaks."""
    server = RedisServer()
    asyncio.run(server.start())
    yield server
    asyncio.run(server.aclose())


@pytest.fixture
async def durable_server() -> AsyncIterator[RedisServer]:
    """A server that forgets nothing when it is killed."""
    async with RedisServer(DURABLE) as server:
        yield server


@pytest.fixture(params=[True, False], ids=["shared", "dedicated"])
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Pipelining on and off, as settings."""
    return {"pipelining": {"enabled": request.param}}
