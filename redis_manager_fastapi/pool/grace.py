"""How long callers wait in an outage: *grace* seconds from the last reply that was received."""

import asyncio


class Grace:
    """The clock of one pool's outages.

    Args:
        loop: Whose clock it is.
        grace: `outage.grace`, in seconds.
        detection: The longest time, in seconds, between a reply that does not
            come and its detection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, grace: float, detection: float) -> None:
        self._loop = loop
        self._grace = grace
        self._detection = detection
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

    def begin(self) -> None:
        """The pool stops serving now.

        A last reply older than the detection takes means that the event loop
        was stalled; the stall is not counted against the callers.
        """
        self._served = self._loop.time()
        self.heard(self._served - self._detection)

    def restart(self) -> None:
        """Count from now: nothing has been asked yet."""
        self._last_reply = self._served = self._loop.time()
