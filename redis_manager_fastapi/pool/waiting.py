"""How callers wait: on a Condition that carries the pool's state, and for how long in an outage."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from redis_manager_fastapi.pool.pacing import PER_TURN, turnstile
from redis_manager_fastapi.settings import RedisSettings

# Seconds between two attempts to find another server than one that refuses; they double.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


class StateCondition:
    """Wakes the tasks that wait for a predicate over the pool's state once it holds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._condition = asyncio.Condition()
        self._waiting = 0
        self._announcements: set[asyncio.Task[None]] = set()
        self._paced: dict[float, tuple[asyncio.TimerHandle, dict[asyncio.Timeout, None]]] = {}

    def notify_all(self) -> None:
        """Have every waiting task look at the state again."""
        task = self._loop.create_task(self._notify())
        self._announcements.add(task)
        task.add_done_callback(self._announcements.discard)

    async def wait_for(
        self, predicate: Callable[[], object], deadline: float | None, *, paced: bool = False
    ) -> bool:
        """Wait until *predicate* holds; return False when *deadline* came first.

        *deadline* is on the loop's clock; None waits for ever.  Of many whose time is up
        together, those that are *paced* are told a few in each turn of the loop.
        """
        limit = asyncio.timeout_at(None if paced else deadline)
        if paced and deadline is not None:
            self._pace(deadline, limit)
        self._waiting += 1
        try:
            async with limit, self._condition:
                await self._condition.wait_for(predicate)
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
            if deadline is not None and deadline in self._paced:
                timer, limits = self._paced[deadline]
                limits.pop(limit, None)
                if not limits:
                    timer.cancel()
                    del self._paced[deadline]
        return True

    async def settle(self) -> None:
        """Wait until every `notify_all` so far has reached the waiting tasks."""
        while self._announcements:
            await asyncio.wait(self._announcements)

    def _pace(self, deadline: float, limit: asyncio.Timeout) -> None:
        """Have *limit* end in its turn from *deadline* on; those of one deadline share a timer."""
        if deadline not in self._paced:
            self._paced[deadline] = self._loop.call_at(deadline, self._end_paced, deadline), {}
        self._paced[deadline][1][limit] = None

    def _end_paced(self, deadline: float) -> None:
        _, limits = self._paced.pop(deadline)
        turnstile().spread(partial(_end, limit) for limit in list(limits))

    async def _notify(self) -> None:
        # Those who wait are woken in order, and wait again behind those who were not woken yet.
        for start in range(0, self._waiting, PER_TURN):
            if start:
                await asyncio.sleep(0)
            async with self._condition:
                self._condition.notify(PER_TURN)


def _end(limit: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # nobody waits any more
        limit.reschedule(asyncio.get_running_loop().time())


# How long (seconds) those who wait a condition out pause before they try again, at most.
_PAUSE = 0.05


class Spell:
    """A condition of the server that callers wait out: for grace in all, not each anew.

    Args:
        loop: Whose clock it is.
        grace: How long they wait, in seconds, and after how long without a report the next
            one begins another spell.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, grace: float) -> None:
        self._loop = loop
        self._grace = grace
        self._began = self._reported = float("-inf")

    async def wait(self, deadline: float, grace: float | None = None) -> bool:
        """Report the condition and wait a moment; return False if it has lasted for grace.

        *deadline* is the caller's own, on the loop's clock, and so is *grace*, in seconds,
        if it has one.
        """
        now = self._loop.time()
        if now - self._reported > self._grace:
            self._began = now
        self._reported = now
        left = min(deadline, self._began + (self._grace if grace is None else grace)) - now
        if left <= 0:
            return False
        await asyncio.sleep(min(random.uniform(_PAUSE / 5, _PAUSE), left))  # noqa: S311 (spreads load)
        return True

    def end(self) -> None:
        """Note that the condition is over."""
        self._reported = float("-inf")


class GracePeriod:
    """The clock of one pool's outages.

    Args:
        loop: Whose clock it is.
        settings: The manager's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: RedisSettings) -> None:
        self._loop = loop
        self._grace = settings.outage.grace
        # The longest time between a reply that does not come and its detection.
        self._detection = settings.health.interval + settings.health.timeout
        self._last_reply = self._served = loop.time()

    @property
    def deadline(self) -> float:
        """When callers stop waiting, on the loop's clock."""
        return self._last_reply + self._grace

    def deadline_of(self, grace: float | None) -> float:
        """Return when a caller stops waiting that has a *grace* of its own, in seconds, or none."""
        return self.deadline if grace is None else self._last_reply + grace

    @property
    def outage(self) -> float:
        """Seconds since the pool last served."""
        return self._loop.time() - self._served

    @property
    def used(self) -> float:
        """How much of grace has gone by since the last reply, in seconds."""
        return min(self._loop.time() - self._last_reply, self._grace)

    def reply_at(self, at: float) -> None:
        """A reply came *at* that time."""
        self._last_reply = max(self._last_reply, at)

    def stop_serving(self, last_reply: float) -> None:
        """The pool stops serving now; a reply last came at *last_reply*.

        A last reply older than the detection takes means that the event loop
        was stalled; the stall is not counted against the callers.
        """
        self._served = self._loop.time()
        self.reply_at(max(last_reply, self._served - self._detection))

    def reset(self) -> None:
        """Count from now: nothing has been asked yet."""
        self._last_reply = self._served = self._loop.time()


class KnownRefusals:
    """How long a server's refusals are taken as they are, because connecting again did not help.

    One caller that writes to a read-only replica again and again would otherwise have every
    connection replaced as often.

    Args:
        loop: Whose clock it is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pause = self._until = 0.0

    @property
    def known(self) -> bool:
        """Whether a refusal says nothing new now."""
        return self._loop.time() < self._until

    def found(self, *, again: bool) -> None:
        """A server serves; *again* if it is the one that refused."""
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE) if again else 0.0
        self._until = self._loop.time() + self._pause
