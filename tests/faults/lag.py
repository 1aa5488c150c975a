"""How late this event loop runs, so that a bound can be held against the library alone."""

import asyncio

TICK = 0.01


class LagMeter:
    """Writes down by how much each of its ticks came late."""

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
        self._late.append((now, now - due))
        self._timer = self._arm()
