"""Hearing of the process' end as early as its server does.

A server that is told to stop waits for its open responses before it ends the app's
lifespan.  A stream of events never ends by itself, so whoever feeds it has to hear of
the signal, too.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ShutdownSignals:
    """Calls back on SIGTERM or SIGINT, and then does what was to be done on them before.

    A signal that nobody handles is left alone.  Outside the main thread, where Python
    takes no handlers, nothing is heard.

    Attributes:
        heard: Whether one came since it began to listen, until it stops.
    """

    def __init__(self) -> None:
        self.heard = False
        self._previous: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._callback: Callable[[], object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self, callback: Callable[[], object]) -> None:
        """Have *callback* called in the running event loop."""
        self._callback, self._loop = callback, asyncio.get_running_loop()
        self.heard = False
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            previous = signal.getsignal(number)
            if callable(previous) and number not in self._previous:
                self._previous[number] = previous
                signal.signal(number, self._heard)

    def stop(self) -> None:
        """Call nobody any more; put the handlers back where no other has come on top."""
        self._callback = self._loop = None
        self.heard = False
        if threading.current_thread() is not threading.main_thread():
            return
        for number, previous in list(self._previous.items()):
            if signal.getsignal(number) == self._heard:
                signal.signal(number, previous)
                del self._previous[number]

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._loop is not None and self._callback is not None:
            self.heard = True
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._callback)
        self._previous[number](number, frame)
