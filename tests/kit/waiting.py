"""Waiting for what nothing announces, a tick at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

TICK = 0.01
DEADLINE = 5.0


async def until(condition: Any, timeout: float = DEADLINE) -> None:
    """Wait until *condition()* holds in this process."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(TICK / 2)


async def eventually(holds: Callable[[], Awaitable[bool]], timeout: float = DEADLINE) -> None:
    """Wait until *holds()*, which asks another process, returns true."""
    async with asyncio.timeout(timeout):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(TICK)
