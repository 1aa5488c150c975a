"""Ending tasks for certain, and leaving futures to themselves."""

import asyncio
from collections.abc import Iterable
from typing import Any

# On Python 3.11 `asyncio.wait_for`, which redis-py writes with, may swallow a cancellation
# (python/cpython#86296). A task that still runs after so many seconds is cancelled again.
_AGAIN = 0.1


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel *tasks*, and return when all of them have ended."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN)


def see(future: asyncio.Future[Any]) -> None:
    """Look at the error of a future that is done: asyncio complains of one that nobody meets."""
    if not future.cancelled():
        future.exception()
