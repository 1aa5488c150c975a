"""Who hears of what happens: listeners by the bus, and by the history whoever looks later."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Reversible, Sequence
from dataclasses import dataclass
from itertools import takewhile
from secrets import token_hex
from typing import TypeVar

from redis_manager_fastapi.observe.events import (
    EntryDeadLettered,
    Event,
    Listener,
    ProbeFailed,
    StateChanged,
    StreamGap,
    WorkerFailed,
)

logger = logging.getLogger("redis_manager_fastapi")

# How many of each kind are kept for those who begin to look after they happened.
_KEPT = 200


def checked(listeners: Iterable[Listener]) -> tuple[Listener, ...]:
    """Return *listeners*, each of which can be called.

    Raises:
        TypeError: One cannot, or they are not several.
    """
    found = tuple(listeners) if isinstance(listeners, Iterable) else ()
    if isinstance(listeners, Iterable) and all(map(callable, found)):
        return found
    raise TypeError(
        f"listeners is {listeners!r}, and takes functions of one `Event`;"
        " write listeners=[your_function]"
    )


class Bus:
    """Hands each event to every listener.

    Attributes:
        note: Is told the state of a Cluster as a whole, of which there is no event.
    """

    def __init__(
        self, listeners: Iterable[Listener], note: Callable[[str], None] = lambda state: None
    ) -> None:
        self._listeners = tuple(listeners)
        self.note = note

    def add(self, listener: Listener) -> None:
        """Have *listener* called from the next event on."""
        self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener) -> None:
        """Have it called no more."""
        self._listeners = tuple(each for each in self._listeners if each is not listener)

    def emit(self, event: Event) -> None:
        """Call every listener; an exception in one is logged and stops no other."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                logger.exception(
                    "a listener failed on %s",
                    type(event).__name__,
                    extra={"event": "redis_listener_failed", "instance": event.instance},
                )


@dataclass(frozen=True, slots=True)
class Happened:
    """An event and its time.

    Attributes:
        number: How much news there was before it.
        at: When, in seconds since 1970.
        event: What.
        times: How often it has happened; number, time and event are the last one's.
        first: The number of the first one.
    """

    number: int
    at: float
    event: Event
    times: int
    first: int


@dataclass(frozen=True, slots=True)
class Stood:
    """A state that a manager was in.

    Attributes:
        number: How much news there was before it.
        at: Since when, in seconds since 1970.
        state: Which one, as `PoolState.value`.
    """

    number: int
    at: float
    state: str


# Events that may come in floods, and the fields by which one of them is the same as another.
_REPEATED: dict[type, tuple[str, ...]] = {
    EntryDeadLettered: ("stream", "group", "dead_letter"),
    WorkerFailed: ("worker", "stream"),
    StreamGap: ("stream", "reason"),
}

_Numbered = TypeVar("_Numbered", Happened, Stood)


class History:
    """A listener that keeps what happened to a manager lately, and wakes those who wait for more.

    It keeps the last 200 states, the last 200 changes of state, and the last 200 other events,
    so that no flood of one kind pushes out another.  What repeats itself between two changes
    of state is one event with a count.  Failed probes are left out: there may be several a
    second, and the state tells of them.

    Attributes:
        mark: Tells this history from that of another manager or process.
        count: How much news there was.
        address: The server that was spoken to last, `host:port`; empty for a Cluster.
        stopped: Whether the process is about to end, or the manager is closed.
        states: The last states, of a Cluster those of the whole.
        waiting: Done as soon as there is news.
    """

    def __init__(self) -> None:
        self.mark = token_hex(4)
        self.count = 0
        self.states: deque[Stood] = deque(maxlen=_KEPT)
        self.address = ""
        self._changes: deque[Happened] = deque(maxlen=_KEPT)
        self._others: dict[Hashable, Happened] = {}
        self.waiting: set[asyncio.Future[None]] = set()
        self.stopped = False

    def __call__(self, event: Event) -> None:
        """Keep *event*."""
        if isinstance(event, ProbeFailed):
            return
        if isinstance(event, StateChanged):
            if not event.node:
                self.address = event.address
                self._enter(event.state)
            self._changes.append(Happened(self.count, time.time(), event, 1, self.count))
        else:
            self._keep(event)
        self._wake()

    def note(self, state: str) -> None:
        """Keep the state of a Cluster as a whole, if it is another than before."""
        if self._enter(state):
            self._wake()

    def since(self, number: int) -> list[Happened]:
        """Return what is still kept of the events from *number* on, the oldest first."""
        news = [*_newer(self._changes, number), *_newer(self._others.values(), number)]
        return sorted(news, key=lambda each: each.number)

    def states_since(self, number: int) -> list[Stood]:
        """Return what is still kept of the states from *number* on, the oldest first."""
        return sorted(_newer(self.states, number), key=lambda each: each.number)

    def _enter(self, state: str) -> bool:
        changed = not self.states or self.states[-1].state != state
        if changed:
            self.states.append(Stood(self.count, time.time(), state))
        return changed

    def _keep(self, event: Event) -> None:
        alike: Hashable = self.count
        if (names := _REPEATED.get(type(event))) is not None:
            turn = self._changes[-1].number if self._changes else -1
            error = type(getattr(event, "error", None))
            alike = (turn, type(event), error, *(getattr(event, name) for name in names))
        last = self._others.pop(alike, None)
        times, first = (last.times + 1, last.first) if last else (1, self.count)
        self._others[alike] = Happened(self.count, time.time(), event, times, first)
        if len(self._others) > _KEPT:
            del self._others[next(iter(self._others))]

    def begin(self) -> None:
        """Let waiters wait again, after `stop`."""
        self.stopped = False

    def stop(self) -> None:
        """End every wait: the process is about to end."""
        self.stopped = True
        self._wake(0)

    async def aclose(self, timeout: float) -> None:
        """Do the same as the manager closes."""
        self.stop()

    def _wake(self, news: int = 1) -> None:
        self.count += news
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)


def _newer(kept: Reversible[_Numbered], number: int) -> list[_Numbered]:
    return list(takewhile(lambda each: each.number >= number, reversed(kept)))


async def wait_for_news(histories: Sequence[History], seen: Sequence[int], timeout: float) -> bool:
    """Wait until one of *histories* has more events than were *seen*, or for *timeout* seconds.

    Returns:
        Whether to go on; False once one of them was stopped.
    """
    if all(each.count <= count for each, count in zip(histories, seen, strict=True)):
        waiter = asyncio.get_running_loop().create_future()
        for each in histories:
            each.waiting.add(waiter)
        try:
            if not any(each.stopped for each in histories):
                await asyncio.wait([waiter], timeout=timeout)
        finally:
            for each in histories:
                each.waiting.discard(waiter)
    return not any(each.stopped for each in histories)
