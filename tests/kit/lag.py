"""How late this event loop runs, so that a bound can be held against the library alone."""

import asyncio

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
