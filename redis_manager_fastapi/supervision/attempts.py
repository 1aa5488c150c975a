"""Connecting anew: one attempt and, while it hangs, a second one beside it.

What hung in a partition hangs on when the partition is over (a lost SYN is
sent again after a second, RFC 6298), so a fresh attempt finds a healed server
sooner.  The first one keeps its whole limit, for a server that is only slow.
"""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import PoolState
from redis_manager_fastapi.tasks import end

Attempt = asyncio.Task[list[DedicatedConnection]]


class Attempts:
    """Makes the connections of a pool's generations.

    Attributes:
        begun_at: When the last attempt began, on the loop's clock.
    """

    def __init__(self, pool: Pool) -> None:
        self.begun_at = float("-inf")
        self._pool = pool
        self._random = random.Random()  # noqa: S311 (spreads load, keeps no secret)

    async def connect(self) -> list[DedicatedConnection]:
        """Return what the first attempt to end has made.

        Raises:
            RedisUnavailableError: Or a subclass; the first attempt to end failed.
        """
        attempts = [self._begin(self._attempt())]
        try:
            while not (ended := await self._first_ended(attempts)):
                if self._second_allowed(attempts):
                    await _drop(attempts[1:])
                    attempts[1:] = [self._begin(self._attempt_beside())]
            attempts.remove(ended)
            return ended.result()
        finally:
            await _drop(attempts)

    def _begin(self, attempt: Coroutine[Any, Any, list[DedicatedConnection]]) -> Attempt:
        self.begun_at = self._pool.loop.time()
        return self._pool.loop.create_task(attempt)

    def _second_allowed(self, attempts: list[Attempt]) -> bool:
        """Not while opening, when nothing is to be healed; nor beside a lease's own connect."""
        if self._pool.state is PoolState.STARTING:
            return False
        return len(attempts) > 1 or not self._pool.dialer.beside.locked()

    async def _first_ended(self, attempts: list[Attempt]) -> Attempt | None:
        """Wait a while; return an attempt that has ended, a good one first."""
        # From a quarter to three quarters of the cap, so that attempts follow each other
        # within the cap, and those of many processes do not meet.
        patience = self._random.uniform(0.25, 0.75) * self._pool.settings.health.backoff_cap
        await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        ended = [attempt for attempt in attempts if attempt.done()]
        return min(ended, key=lambda attempt: attempt.exception() is not None, default=None)

    async def _attempt_beside(self) -> list[DedicatedConnection]:
        async with self._pool.dialer.beside:
            return await self._attempt()

    async def _attempt(self) -> list[DedicatedConnection]:
        """Make all connections of a generation, or none."""
        connections: list[DedicatedConnection] = []
        try:
            while len(connections) < self._pool.settings.pipelining.connections:
                connections.append(await self._pool.dialer.dial())
        except BaseException:
            for connection in connections:
                connection.abort()
            raise
        return connections


async def _drop(attempts: Sequence[Attempt]) -> None:
    """End attempts, and what they made."""
    for attempt in attempts:
        attempt.add_done_callback(_discard)
    await end(attempts)


def _discard(attempt: Attempt) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        for connection in attempt.result():
            connection.abort()
