"""An event loop whose clock a test sets by hand, for what only asks how late it is."""

import asyncio


class HandClock(asyncio.SelectorEventLoop):
    """A loop that does not run; `now` is its time.

    Attributes:
        now: What `time()` returns, in seconds.
    """

    now = 100.0

    def time(self) -> float:
        """Return the time that the test has set."""
        return self.now
