"""How late this event loop runs, so that a bound can be held against the library alone."""

import asyncio
import time

TICK = 0.01

# Timers have the resolution of a millisecond, and callbacks before them take their time.
_USUAL = 0.005


class LagMeter:
    """Writes down by how much its ticks came late."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late: list[tuple[float, float]] = []
        self._timer = self._arm()

    def within(self, start: float, end: float) -> float:
        """Return the lag between two instants, in seconds; ask a tick after *end*."""
        return sum(late for at, late in self._late if start <= at <= end + 2 * TICK)

    def stop(self) -> None:
        """Tick no more."""
        self._timer.cancel()

    def _arm(self) -> asyncio.TimerHandle:
        due = self._loop.time() + TICK
        return self._loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        if now - due > _USUAL:
            self._late.append((now, now - due - _USUAL))
        self._timer = self._arm()


class Turns:
    """Measures how long a turn of the loop computes, by the processor's time of its thread."""

    def __init__(self) -> None:
        self._took = [0.0]

    @property
    def longest(self) -> float:
        """The longest one, in seconds."""
        return max(self._took)

    async def __aenter__(self) -> "Turns":
        self._watching = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()

    async def _watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self._took.append(now - last)
            last = now
