"""Connecting again: one attempt and, while it hangs, a second one in parallel.

What hung in a partition hangs on when the partition is over (a lost SYN is
sent again after a second, RFC 6298), so a fresh attempt finds a healed server
sooner.  The first one keeps its whole limit, for a server that is only slow.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import hiredis

from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import new_request
from redis_manager_fastapi.pool.state import PoolState
from redis_manager_fastapi.tasks import end

Attempt = asyncio.Task[list[DedicatedConnection]]


class HedgedConnect:
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
                    attempts[1:] = [self._begin(self._second_attempt())]
            attempts.remove(ended)
            return ended.result()
        finally:
            await _drop(attempts)

    def _begin(self, attempt: Coroutine[Any, Any, list[DedicatedConnection]]) -> Attempt:
        self.begun_at = self._pool.loop.time()
        return self._pool.loop.create_task(attempt)

    def _second_allowed(self, attempts: list[Attempt]) -> bool:
        """Not while opening, when nothing is broken, nor while a lease is being connected."""
        if self._pool.state is PoolState.STARTING:
            return False
        return len(attempts) > 1 or not self._pool.dialer.second_connect.locked()

    async def _first_ended(self, attempts: list[Attempt]) -> Attempt | None:
        """Wait a while; return an attempt that has ended, preferably a successful one."""
        # From a quarter to three quarters of the cap, so that attempts follow each other
        # within the cap, and those of many processes do not meet.
        pause = self._random.uniform(0.25, 0.75) * self._pool.settings.health.backoff_cap
        await asyncio.wait(attempts, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        ended = [attempt for attempt in attempts if attempt.done()]
        return min(ended, key=lambda attempt: attempt.exception() is not None, default=None)

    async def _second_attempt(self) -> list[DedicatedConnection]:
        async with self._pool.dialer.second_connect:
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


_PING = hiredis.pack_command(("PING",))

# How late (seconds) a timer may fire before the event loop, and not the server, is
# to blame for the silence.
_STALL = 0.1


async def answers(
    link: MultiplexedConnection, timeout: float, serves: Callable[[object], bool]
) -> bool:
    """Send a PING among the callers' commands; return whether the server serves.

    *serves* says whether an answer to the PING counts: PONG does, and MISCONF, from a server
    that cannot save; LOADING, MASTERDOWN, BUSY and NOAUTH do not.  Any other bytes count, even
    half of a large reply.  Silence that coincides with
    a stalled event loop is given one more *timeout*, because the reply may lie
    in the socket unread.
    """
    loop = link.loop
    asked = loop.time()
    beyond = asked + 3 * (timeout + _STALL)
    request = new_request(_PING, loop.create_future(), beyond, decode=True, read_only=True)
    link.submit(request)
    while True:
        started = loop.time()
        await asyncio.wait({request.future}, timeout=timeout)
        if request.future.done():
            answer = request.future.result()
            return answer == "PONG" or serves(answer)
        if link.last_heard > asked:
            request.future.cancel()
            return True
        if loop.time() - started <= timeout + _STALL:
            request.future.cancel()
            return False
