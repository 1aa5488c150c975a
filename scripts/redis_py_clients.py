"""A pytest plugin for redis-py's own tests: which of them run, and on whose client.

It stands in for redis-py's fixture `create_redis`, which all of their clients come from, if
`SUITE_CLIENT` is `ours`.  Tests that replace redis-py's inner parts by mocks are left out: on
another client the commands that they mean to catch, such as CLUSTER RESET, reach the server.
"""

import inspect
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
import tests.test_asyncio.conftest as theirs  # redis-py's: its folder is ahead of ours

from redis_manager_fastapi import RedisManager

_OPTIONS = {"decode_responses", "protocol", "username", "password", "credential_provider"}
_INNER = ("mock", "Mock", "patch")

_CLUSTER = 'config.REDIS_INFO["cluster_enabled"]'


@pytest_asyncio.fixture(
    params=[
        pytest.param(True, marks=pytest.mark.skipif(_CLUSTER, reason="cluster mode enabled")),
        False,
    ],
    ids=["single", "pool"],
)
async def create_redis(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Make clients of managers, as redis-py's fixture makes its own."""
    config: Any = request.config
    clustered = config.REDIS_INFO["cluster_enabled"]
    async with AsyncExitStack() as stack:

        async def make(
            url: str | None = None,
            cls: Any = None,
            flushdb: bool = True,
            single_connection_client: bool = False,
            **options: Any,
        ) -> Any:
            if unknown := options.keys() - _OPTIONS:
                pytest.skip(f"our client has no {', '.join(sorted(unknown))}")
            protocol = int(options.pop("protocol", None) or config.getoption("--protocol"))
            options = {"decode_responses": False, "protocol": protocol} | options
            url = url or config.getoption("--redis-url")
            if clustered:
                url = url.replace("redis://", "redis+cluster://").removesuffix("/0")
            manager = await stack.enter_async_context(RedisManager(url=url, **options))
            if flushdb and "username" not in options:
                targets: Any = {"target_nodes": "primaries"} if clustered else {}
                stack.push_async_callback(manager.redis.flushdb, **targets)
            if clustered or not (request.param or single_connection_client):
                return manager.redis
            return await stack.enter_async_context(manager.redis.client())

        yield make


if os.environ.get("SUITE_CLIENT") == "ours":
    theirs.create_redis = create_redis


def _is_of_the_client(item: pytest.Item) -> bool:
    function, names = getattr(item, "function", None), getattr(item, "fixturenames", ())
    if function is None or "create_redis" not in names:
        return False
    source = inspect.getsource(function)
    return not any(word in text for word in _INNER for text in (source, *names))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what does not take its client from the fixture, or looks inside it."""
    chosen = [item for item in items if _is_of_the_client(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
