"""Connecting again: one attempt and, while it hangs, a second one in parallel.

What hung in a partition hangs on when the partition is over (a lost SYN is
sent again after a second, RFC 6298), so a fresh attempt finds a healed server
sooner.  The first one keeps its whole limit, for a server that is only slow.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import Heartbeat, Interrupted
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
            await _drop([each for each in attempts if each is not ended])
        except BaseException:  # also one that comes while the other attempt is being ended
            await _drop(attempts)
            raise
        return ended.result()

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
        dialer, sticky = self._pool.dialer, self._pool.suspicion is None
        try:
            while len(connections) < self._pool.settings.pipelining.connections:
                connections.append(await dialer.dial(sticky=sticky))
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


# How late (seconds) a timer may fire before the event loop, and not the server, is
# to blame for the silence.
_STALL = 0.1


class Asked(Protocol):
    """A connection that is asked whether its server is there.

    Attributes:
        loop: Whose clock it goes by.
        last_heard: When bytes last came.
    """

    loop: asyncio.AbstractEventLoop
    last_heard: float

    def ask(self, timeout: float) -> Heartbeat:
        """Send a heartbeat."""
        ...

    def check_flow(self) -> None:
        """Drop the connection if what it brings hardly comes."""
        ...


class Pulse:
    """One heartbeat over one link, until it is answered or the link is silent.

    Attributes:
        beat: What was sent.
        due: When to look at it again, on the loop's clock.
    """

    def __init__(self, link: Asked, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        self.beat: Heartbeat = link.ask(timeout)
        self._looked_at = link.loop.time()
        self.due = self._looked_at + timeout

    @property
    def answered(self) -> bool:
        """Whether it was answered; also when the link was lost or replaced meanwhile."""
        return self.beat.future.done()

    @property
    def answer(self) -> Any:
        """PONG for the right answer, an error of the server's, or None without an answer."""
        future = self.beat.future
        answer = future.result() if self.answered and not future.cancelled() else None
        return None if isinstance(answer, Interrupted) else answer

    def is_silent(self, now: float) -> bool:
        """Whether nothing has come for a *timeout*.

        Any bytes count, even of a large reply.  Silence that coincides with a stalled
        event loop is given one more *timeout*, because what came may lie in the socket
        unread.
        """
        if self.answered or now < self.due:
            return False
        stalled, heard = now - self.due > _STALL, self._link.last_heard > self._looked_at
        if not stalled and not heard:
            return True
        self._looked_at, self.due = now, now + self._timeout
        self._link.check_flow()
        return False


async def answers(
    link: MultiplexedConnection, timeout: float, serves: Callable[[object], bool]
) -> bool:
    """Send a heartbeat among the callers' commands; return whether the server serves.

    *serves* says whether an answer counts: PONG does, and MISCONF, from a server that
    cannot save; LOADING, MASTERDOWN, BUSY and NOAUTH do not.
    """
    asked, pulse = link.loop.time(), Pulse(link, timeout)
    while not pulse.answered:
        await asyncio.wait({pulse.beat.future}, timeout=pulse.due - link.loop.time())
        if pulse.is_silent(max(pulse.due, link.loop.time())):
            return False
        if link.last_heard > asked and not pulse.answered:
            return True
    return pulse.answer is not None and serves(pulse.answer)
