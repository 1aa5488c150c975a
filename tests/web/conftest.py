"""Fixtures that serve an app; `redis_server` and `redis_url` are the package's own."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from redis_manager_fastapi.testing import RedisServer
from tests.kit.serving import Serve, Site, environment, serving


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - environment():
        monkeypatch.delenv(name)


@pytest.fixture
async def serve(redis_server: RedisServer) -> AsyncIterator[Serve]:
    """Start an app behind uvicorn, as often as the test likes, and end it with the test.

    The Redis server is asked for so that it outlives the app.
    """
    async with AsyncExitStack() as stack:

        async def start(app: Any, **config: Any) -> Site:
            return await stack.enter_async_context(serving(app, **config))

        yield start
