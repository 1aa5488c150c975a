"""A time limit that a stalled event loop does not bring forward.

After a stall a reply and the timer that waited for it are due in the same turn,
and cancelling would throw the reply away, and its connection with it.
"""

import asyncio
from types import TracebackType

# A timer that fires this much late (seconds) says that the loop was stalled; what was
# received meanwhile gets as long again to reach its reader.
STALL = 0.05


class PassedError(TimeoutError):
    """The time of a `Deadline` is up: not what its block raised, as a user's callback may."""


class Deadline:
    """`asyncio.timeout_at` that waits a moment longer after a stall.

    Args:
        when: On the loop's clock; None is never.
    """

    __slots__ = ("_timeout", "_timer", "_when")

    def __init__(self, when: float | None) -> None:
        self._when = when
        self._timeout = asyncio.timeout_at(None)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        if self._when is not None:
            self._timer = asyncio.get_running_loop().call_at(self._when, self._due, self._when)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._timeout.__aexit__(exc_type, exc, traceback)
        except TimeoutError as passed:
            raise PassedError from passed.__cause__

    def _due(self, when: float) -> None:
        now = asyncio.get_running_loop().time()
        self._timeout.reschedule(now + STALL if now - when > STALL else now)
