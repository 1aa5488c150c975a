"""What happens to a pool, as values that listeners receive.

Listeners are plain callables, called in the event loop in the turn in which
it happened; they must not block.  An exception in one is logged and reaches
no other listener.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Reversible, Sequence
from dataclasses import dataclass
from itertools import takewhile
from secrets import token_hex
from typing import TypeVar

from redis_manager_fastapi.settings.place import Place

logger = logging.getLogger("redis_manager_fastapi")

# How many of each kind are kept for those who begin to look after they happened.
_KEPT = 200


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The pool moved from one state to another.

    Attributes:
        instance: The manager's name.
        previous: The state that it left, as `PoolState.value`.
        state: The state that it is in now.
        generation: The generation in force after the move.
        reason: Why, in words; never holds a host, a user or a password.
        outage: Seconds since the pool last served; 0.0 unless *state* is
            "ready" after an outage.
        node: The address of the Cluster node, or of the replica that reads go
            to, whose pool it is, or "replica" while none is chosen; empty for
            a primary without a Cluster.
        address: The server that is spoken to, as `host:port` or a socket's path; empty
            before the first connection.
        elsewhere: Whether that is another server than before.
        waited: Commands that have waited since the pool last served.
        refused: Commands that were refused since then, because it did not serve.
        lost: Writes since then whose reply was lost.
    """

    instance: str
    previous: str
    state: str
    generation: int
    reason: str
    outage: float = 0.0
    node: str = ""
    address: str = ""
    elsewhere: bool = False
    waited: int = 0
    refused: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """A probe did not reach a server that serves.

    Attributes:
        instance: The manager's name.
        error: What went wrong.
        attempt: How many probes failed in a row, from 1.
        node: As with `StateChanged`.
    """

    instance: str
    error: Exception
    attempt: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class StartDelayed:
    """A manager is still waiting for Redis, by the start-up policy `wait`.

    Attributes:
        instance: The manager's name.
        reason: Why, in words; never holds a host, a user or a password.
        seconds: For how long it has waited.
        timeout: For how long it will at most.
        place: Where Redis is looked for, and what decided that.
        node: Always empty.
    """

    instance: str
    reason: str
    seconds: float
    timeout: float
    place: Place
    node: str = ""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """A manager gave up opening, by its start-up policy; an app does not start then.

    Attributes:
        instance: The manager's name.
        reason: Why, in words; never holds a host, a user or a password.
        fix: What to set or to do, in words.
        place: Where Redis was looked for, and what decided that.
        node: Always empty.
    """

    instance: str
    reason: str
    fix: str
    place: Place
    node: str = ""


@dataclass(frozen=True, slots=True)
class Resubscribed:
    """A pub/sub object of redis-py's is subscribed again, after its connection was lost.

    What was published in between, it has not heard.

    Attributes:
        instance: The manager's name.
        channels: How many channels and patterns the server has confirmed.
        seconds: For how long nothing could be heard: since the last sign of life of the
            old connection.
        node: As with `StateChanged`.
    """

    instance: str
    channels: int
    seconds: float
    node: str = ""


@dataclass(frozen=True, slots=True)
class GroupRemade:
    """A consumer group was lost, after a flush or a fail-over, and was made again.

    What was pending for a consumer that does not run now is not delivered again.

    Attributes:
        instance: The manager's name.
        stream: The stream's key.
        group: The consumer group.
        start: The ID after which it goes on; "0" is the stream's beginning.
        node: Always empty.
    """

    instance: str
    stream: str
    group: str
    start: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class EntryDeadLettered:
    """A stream entry was delivered `max_deliveries` times, and is not delivered again.

    Attributes:
        instance: The manager's name.
        stream: The stream's key, which still has the entry.
        id: The entry's ID.
        group: The consumer group.
        dead_letter: The stream that took a copy; empty when it was only acknowledged.
        reason: What its body raised last.
        deliveries: How often it was delivered.
        node: Always empty.
    """

    instance: str
    stream: str
    id: str
    group: str
    dead_letter: str
    reason: str
    deliveries: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A handler of `@manager.consumer`, or a loop of `@manager.background`, raised.

    Attributes:
        instance: The manager's name.
        worker: The function's qualified name.
        error: What it raised.
        stream: The stream of the entry that it raised for; empty for a loop.
        id: That entry's ID.
        node: Always empty.
    """

    instance: str
    worker: str
    error: Exception
    stream: str = ""
    id: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionsBroken:
    """Channels that somebody listens to are not heard any more, until they are healed.

    Attributes:
        instance: The manager's name.
        reason: Why, in words; never holds a host, a user or a password.
        channels: How many they are.
        node: The address of the Cluster node; empty without a Cluster.
    """

    instance: str
    reason: str
    channels: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionsHealed:
    """All channels of a break are heard again; who listens to one gets a `Gap`.

    Attributes:
        instance: The manager's name.
        reason: Why they were not heard.
        seconds: For how long.
        node: As with `SubscriptionsBroken`.
    """

    instance: str
    reason: str
    seconds: float
    node: str = ""


@dataclass(frozen=True, slots=True)
class StreamGap:
    """Listeners to a stream were told that they may have missed entries.

    Attributes:
        instance: The manager's name.
        stream: The stream's key.
        reason: Why.
        seconds: For how long the stream was out of sight.
        listeners: How many were told.
        node: Always empty.
    """

    instance: str
    stream: str
    reason: str
    seconds: float
    listeners: int
    node: str = ""


@dataclass(frozen=True, slots=True)
class CacheChanged:
    """A cache on the client's side serves, or serves nothing any more.

    Attributes:
        instance: The manager's name.
        serving: Whether it does.
        reason: Why not, in words; empty while it does.
        refused: Whether the server does not track keys at all: reads go to it as without a
            cache, until it is another server.
        node: As with `StateChanged`.
    """

    instance: str
    serving: bool
    reason: str = ""
    refused: bool = False
    node: str = ""


Event = (
    StateChanged
    | ProbeFailed
    | StartDelayed
    | StartFailed
    | Resubscribed
    | SubscriptionsBroken
    | SubscriptionsHealed
    | GroupRemade
    | EntryDeadLettered
    | WorkerFailed
    | StreamGap
    | CacheChanged
)
Listener = Callable[[Event], None]


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
