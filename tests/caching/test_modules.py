"""Cached reads of what a module keeps: JSON.GET, on a server that has the module."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer
from tests.kit.caching import cache_of, until_cached
from tests.kit.servers import MODULES
from tests.kit.waiting import eventually

pytestmark = [
    pytest.mark.skipif(
        not MODULES.exists(), reason="no server with modules: run scripts/module-servers"
    ),
    pytest.mark.usefixtures("pipelining"),
]


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    server = RedisServer(binary=MODULES)
    await server.start()
    try:
        yield server
    finally:
        await server.aclose()


async def test_document_is_read_once_until_it_changes(server: RedisServer) -> None:
    async with RedisManager(url=server.url) as manager, server.client() as other:
        cached = manager.redis.with_options(cache=60.0)
        await until_cached(manager, cached)
        await other.execute_command("JSON.SET", "cart", "$", '{"items": [1, 2]}')

        documents: Any = cached.json()
        plain: Any = manager.redis.json()

        async def read() -> Any:
            return await documents.get("cart", "$.items")

        assert [await read() for _ in range(3)] == [[[1, 2]]] * 3
        misses = cache_of(manager).stats().misses
        assert await plain.get("cart", "$.items") == [[1, 2]]

        await other.execute_command("JSON.ARRAPPEND", "cart", "$.items", "3")

        async def is_new() -> bool:
            return bool(await read() == [[1, 2, 3]])

        await eventually(is_new)
        assert cache_of(manager).stats().misses > misses

        await documents.set("cart", "$.items", [])
        assert await read() == [[]]
