"""Letting the event loop turn while callers are refused, or told that their calls have failed.

A refusal that is raised without a suspension freezes the loop under a caller that asks
again at once: nothing else runs, also not what would heal the pool.  So every refusal
suspends first, few callers go on in one turn, and a task that is refused again and again
waits a little longer each time.  Calls that fail together, as when their connection is
lost, are told of it in the same way.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from redis.exceptions import DataError, RedisClusterException

from redis_manager_fastapi.errors import RedisManagerError

F = TypeVar("F", bound=Callable[..., Any])

REFUSALS = (RedisManagerError, DataError, RedisClusterException, RuntimeError)
"""What may be raised before anything was sent: all but ours are about what the caller asks for."""

PER_TURN = 64
"""How many callers go on in one turn of the loop: each needs some 50 µs for its error."""

# How often a task may be refused before it has to wait, which one that handles a list of keys
# is, after how many seconds one of these refusals is forgotten, and how many are remembered.
_FREE, _FORGOTTEN, _REMEMBERED = 64, 0.01, 80

# The first and the longest wait (seconds): a loop without end then costs some 2 % of a
# processor, and hears of a heal in time.
_FIRST, _LONGEST = 0.001, 0.01

# After so many turns in a row in which somebody was refused, turns are so far apart (seconds):
# a loop of new tasks, as `asyncio.gather` makes them, leaves the others most of the processor.
_BUSY, _APART = 32, 0.001


class Turnstile:
    """Lets waiting callers of one event loop go on, a few in each turn, first in, first out."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._untold: deque[Iterator[Callable[[], object]]] = deque()
        self._turning = False
        self._at_once = 0
        self._busy, self._last = 0, float("-inf")
        self._refused: WeakKeyDictionary[asyncio.Task[Any], tuple[int, float]] = WeakKeyDictionary()

    def turn(self) -> "asyncio.Future[None]":
        """Return what to await for the caller's turn: the next one, unless many callers wait."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(future)
        self._begin()
        return future

    def spread(self, told: Iterator[Callable[[], object]]) -> None:
        """Call each of *told*, which tell callers of an error: the first few now, if nobody waits.

        None of them may raise.
        """
        self._begin()
        self._untold.append(told)
        if len(self._untold) == 1:
            self._at_once -= self._tell(self._at_once)

    async def told(self) -> None:
        """Wait before a caller goes on whose call has failed: not at all, for the first few."""
        future: asyncio.Future[None] = self._loop.create_future()
        self.spread(iter([partial(_release, future)]))
        if not future.done():
            await future

    async def all_told(self) -> None:
        """Wait until those have been told who were to be told before."""
        if self._untold:
            told = self._loop.create_future()
            self.spread(iter([partial(told.set_result, None)]))
            await asyncio.shield(told)

    async def refused(self) -> None:
        """Wait before an error is raised; longer if the same task was refused just now."""
        task = asyncio.current_task(self._loop)
        if task is None:
            return
        count, until = self._refused.get(task, (0, float("-inf")))
        forgotten = min((self._loop.time() - until) / _FORGOTTEN, _REMEMBERED)
        count = max(0, min(count, _REMEMBERED) + 1 - int(forgotten))
        if count < _FREE:
            await self.turn()
        else:
            await asyncio.sleep(min(_LONGEST, _FIRST * 2 ** (count - _FREE)))
        self._refused[task] = count, self._loop.time()

    async def before(self, error: Exception) -> None:
        """Wait before *error* is raised, if it is a refusal."""
        if isinstance(error, REFUSALS):
            await self.refused()

    def _begin(self) -> None:
        if not self._turning:
            self._turning, self._at_once = True, PER_TURN
            self._next()

    def _next(self) -> None:
        """Let the first callers go on in the next turn, or soon if there were many such turns."""
        now = self._loop.time()
        self._busy = self._busy + 1 if now - self._last < 2 * _APART else 0
        if self._busy < _BUSY:
            self._loop.call_soon(self._go_on)
        else:
            self._loop.call_at(max(now, self._last + _APART), self._go_on)

    def _go_on(self) -> None:
        self._last = self._loop.time()
        self._at_once = 0
        # Who was told of an error goes on before others are told: they do not pile up.
        released = min(PER_TURN, len(self._waiting))
        for _ in range(released):
            _release(self._waiting.popleft())
        self._tell(max(PER_TURN - released, PER_TURN // 4))
        self._turning = bool(self._waiting or self._untold)
        if self._turning:
            self._next()

    def _tell(self, most: int) -> int:
        """Tell as many callers, or all that there are; return how many."""
        count = 0
        while self._untold and count < most:
            tell = next(self._untold[0], None)
            if tell is None:
                self._untold.popleft()
            else:
                tell()
                count += 1
        return count


def _release(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def paced(function: F) -> F:
    """Have a coroutine function let the loop turn before it raises one of `REFUSALS`."""

    @wraps(function)
    async def waiting(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except REFUSALS:
            await turnstile().refused()
            raise

    return cast(F, waiting)


_turnstiles: WeakKeyDictionary[asyncio.AbstractEventLoop, Turnstile] = WeakKeyDictionary()


def turnstile() -> Turnstile:
    """Return the running loop's turnstile."""
    loop = asyncio.get_running_loop()
    found = _turnstiles.get(loop)
    if found is None:
        found = _turnstiles[loop] = Turnstile(loop)
    return found
