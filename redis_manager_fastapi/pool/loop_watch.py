"""When an event loop was blocked, and by what.

A timer that fires late says when; what the loop was doing only another thread can see
meanwhile.  That thread exists only while something is overdue and a moment longer, so a
loop that keeps its time pays nothing.
"""

import asyncio
import sys
import threading
import time
import traceback
from dataclasses import dataclass

# A loop that does not turn for so many seconds is blocked.
BLOCKED = 0.1

# Seconds between two looks, and how long the thread stays after the last occasion.
_PERIOD = 0.05
_STAYS = 5.0

# A loop's clock that is further (seconds) from the machine's is one of its own.
_SAME_CLOCK = 5.0

# How many blocks are remembered, and how many frames of a stack.
_REMEMBERED = 16
_FRAMES = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A time in which the loop did not turn.

    Attributes:
        since: When it began, as far as is known, on the loop's clock.
        until: When it was over.
        stack: What the loop was doing, as a traceback shows it; empty if it was not seen.
    """

    since: float
    until: float
    stack: str = ""

    def within(self, since: float, until: float) -> float:
        """Return how many seconds of it fall between two instants."""
        return max(0.0, min(self.until, until) - max(self.since, since))


class LoopWatch:
    """Knows when one event loop was blocked lately.

    The thread goes by the machine's clock, because uvloop's stands still while it is blocked.
    A loop with a clock of its own, as in a simulation, is not watched.

    Args:
        loop: The loop, on whose thread this is made.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._may_look = abs(loop.time() - time.monotonic()) < _SAME_CLOCK
        self._loop_thread = threading.get_ident()
        self._blocks: tuple[Block, ...] = ()
        self._present: Block | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._until = 0.0

    def timer_fired(self, due: float) -> None:
        """Note a timer that was due at *due*; look more closely if it is late."""
        now = self._loop.time()
        if now - due > BLOCKED:
            self._note(Block(due, now))
            self.look()

    def blocked(self, since: float, until: float) -> tuple[float, str]:
        """Return how many seconds it was blocked between two instants, and by what."""
        blocks, present = self._blocks, self._present
        if present is not None:
            blocks = (*blocks, Block(present.since, self._loop.time(), present.stack))
        seconds, reached = 0.0, since
        for block in sorted(blocks, key=lambda each: each.since):  # they may overlap
            seconds += block.within(max(since, reached), until)
            reached = max(reached, block.until)
        seen = [each for each in blocks if each.stack and each.within(since, until)]
        longest = max(seen, key=lambda each: each.within(since, until), default=None)
        return seconds, longest.stack if longest is not None else ""

    def look(self) -> None:
        """Watch what the loop does for a while, as something is overdue."""
        with self._lock:
            self._until = time.monotonic() + _STAYS
            if self._may_look and self._thread is None:
                name = "redis-loop-watch"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._may_look = False
        self._ended.set()
        thread = self._thread
        if thread is not None:
            thread.join(1.0)  # it wakes at once

    def _run(self) -> None:
        while not self._is_over():
            turned, since = threading.Event(), time.monotonic()
            try:
                self._loop.call_soon_threadsafe(turned.set)
            except RuntimeError:  # it is closed
                return
            if not turned.wait(BLOCKED):
                self._present = Block(since, since, self._stack())
                while not (turned.wait(_PERIOD) or self._ended.is_set()):
                    pass
                self._note(Block(since, time.monotonic(), self._present.stack))
                self._present = None
            self._ended.wait(_PERIOD)

    def _is_over(self) -> bool:
        with self._lock:
            if time.monotonic() < self._until and not self._ended.is_set():
                return False
            self._thread = None
            return True

    def _note(self, block: Block) -> None:
        with self._lock:
            self._blocks = (*self._blocks[1 - _REMEMBERED :], block)

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001
        return "".join(traceback.format_stack(frame, _FRAMES)) if frame is not None else ""
