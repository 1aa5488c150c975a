"""What all tests share: `redis_server` is the package's own, but on a server that wants help."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

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


@pytest.fixture
async def made() -> AsyncIterator[list[asyncio.Task[Any]]]:
    """The tasks that are made on the running loop while the test runs."""
    tasks: list[asyncio.Task[Any]] = []

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **kwargs)
        tasks.append(task)
        return task

    running = asyncio.get_running_loop()
    running.set_task_factory(factory)
    yield tasks
    running.set_task_factory(None)


@pytest.fixture
async def complaints() -> AsyncIterator[list[dict[str, Any]]]:
    """What the running loop's exception handler is told meanwhile."""
    told: list[dict[str, Any]] = []
    running = asyncio.get_running_loop()
    running.set_exception_handler(lambda _, context: told.append(context))
    yield told
    running.set_exception_handler(None)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The cycle collector is off: what is dropped is missed only if it is in no cycle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


if PROMPT:

    @pytest.fixture
    async def redis_server() -> AsyncIterator[RedisServer]:
        """A server of this test's own, which ends blocking commands in time."""
        async with RedisServer(PROMPT) as server:
            yield server
