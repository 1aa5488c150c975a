"""The event loop that a pool's connections live on."""

import asyncio
import threading
import time
from collections.abc import Callable

from redis_manager_fastapi.pool import errors


class LoopAffinity:
    """Where a pool may be used: on the loop that opened it, in its thread and its process.

    Attributes:
        loop: That loop.
        thread: The loop's thread; comparing it tells most strangers apart, and costs a
            fifth of asking for the running loop, which is a system call on CPython 3.11.
        clock: The loop's clock.
    """

    def __init__(self, instance: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.clock = _clock(self.loop)
        self._instance = instance

    def check(self) -> None:
        """Raise `RedisNotStartedError` unless the caller runs on this loop."""
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if not here:
            raise errors.wrong_loop(self._instance)


def _clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return what `loop.time()` calls, where that is known: the call costs as much again."""
    plain = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
    return time.monotonic if plain else loop.time
