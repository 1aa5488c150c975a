"""How long callers wait in an outage: *grace* seconds from the last reply that was received."""

import asyncio

from redis_manager_fastapi.settings import RedisSettings


class Grace:
    """The clock of one pool's outages.

    Args:
        loop: Whose clock it is.
        settings: Of the manager.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: RedisSettings) -> None:
        self._loop = loop
        self._grace = settings.outage.grace
        # The longest time between a reply that does not come and its detection.
        self._detection = settings.health.interval + settings.health.timeout
        self._last_reply = self._served = loop.time()

    @property
    def ends(self) -> float:
        """When callers stop waiting, on the loop's clock."""
        return self._last_reply + self._grace

    @property
    def outage(self) -> float:
        """Seconds since the pool last served."""
        return self._loop.time() - self._served

    def heard(self, at: float) -> None:
        """A reply came *at* that time."""
        self._last_reply = max(self._last_reply, at)

    def begin(self, heard: float) -> None:
        """The pool stops serving now; a reply last came at *heard*.

        A last reply older than the detection takes means that the event loop
        was stalled; the stall is not counted against the callers.
        """
        self._served = self._loop.time()
        self.heard(max(heard, self._served - self._detection))

    def restart(self) -> None:
        """Count from now: nothing has been asked yet."""
        self._last_reply = self._served = self._loop.time()
