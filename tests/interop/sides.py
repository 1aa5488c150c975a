"""The two ways in which a library reaches its server: our manager, and plain redis-py."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer

PATIENCE = 10.0
"""How long (seconds) a job may take, and how long a library is waited for after an outage."""

Job = Callable[[int], Awaitable[None]]
"""Does what a library is there for, once, for a number that no other job has; checks the result."""


@dataclass(frozen=True)
class Side:
    """A server, and the manager that a library is given; None for the library's own redis-py."""

    server: RedisServer
    manager: RedisManager | None

    @property
    def url(self) -> str:
        """For the library's own client."""
        return self.server.url


@dataclass(frozen=True)
class Library:
    """A library at its main job.

    Attributes:
        job: Sets the library up on a side, and hands out its job.
        binary: The server that it needs; None for any.
        silent: Why its jobs may fail in an outage without an error of ours.
    """

    job: Callable[[Side], AbstractAsyncContextManager[Job]]
    binary: Path | None = None
    silent: str = ""

    @asynccontextmanager
    async def on(self, side: str) -> AsyncIterator[tuple[Side, Job]]:
        """Set it up on a server of its own, which keeps its data over a restart."""
        async with RedisServer({"appendonly": "yes"}, binary=self.binary) as server:
            if side == "plain":
                reached = Side(server, None)
                async with self.job(reached) as job:
                    yield reached, job
                return
            async with RedisManager(url=server.url) as manager:
                reached = Side(server, manager)
                async with self.job(reached) as job:
                    yield reached, job


class Heard:
    """What a handler has heard, for those who wait for it."""

    def __init__(self) -> None:
        self._events: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def add(self, word: str) -> None:
        """*word* has been heard."""
        self._events[word].set()

    async def wait(self, word: str) -> None:
        """Return once *word* has been heard."""
        await self._events[word].wait()


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run workers until the block ends; one that fails stays away, as its process would."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
