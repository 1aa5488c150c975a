"""Which caller has which dedicated connection: decisions only, no I/O and no task.

Capacity is counted here and nowhere else: a place is idle, leased or opening.
Every method looks at the count, changes it, and returns what is to be done; the
caller then does it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from redis_manager_fastapi.pool.dedicated import DedicatedConnection


@dataclass(slots=True)
class Held:
    """A place that a caller holds, with its connection.

    Attributes:
        connection: The connection.
        purpose: What it was taken for, in words, for the warning when it is never returned.
        since: When it was taken, on the monotonic clock.
        returned: Whether the caller has given it back.
    """

    connection: DedicatedConnection
    purpose: str
    since: float
    returned: bool = False


@dataclass(slots=True, eq=False)
class Waiter:
    """A caller queued for a place."""

    future: "asyncio.Future[HandOver]"
    purpose: str


class Open:
    """Permission to open a connection: the place is already counted."""


OPEN = Open()
Grant = Held | Open
HandOver = Grant | Exception


class Capacity:
    """The places of a pool's dedicated connections.

    Args:
        places: How many there are.
        max_idle: Seconds after which an unused connection is closed; 0 is never.
        max_lifetime: Seconds after which a connection is not leased again; 0 is never.
    """

    def __init__(self, places: int, max_idle: float, max_lifetime: float) -> None:
        self.places = places
        self.opening = 0
        self.leased: dict[int, Held] = {}
        self.waiting: OrderedDict[Waiter, None] = OrderedDict()
        self._max_idle = max_idle
        self._max_lifetime = max_lifetime
        self._idle: deque[tuple[DedicatedConnection, float]] = deque()

    @property
    def idle(self) -> int:
        """How many connections could be leased at once."""
        return len(self._idle)

    @property
    def free(self) -> int:
        """How many places are not taken: idle ones and ones without a connection."""
        return self.places - len(self.leased) - self.opening

    def take(
        self, purpose: str, generation: int, now: float
    ) -> tuple[Grant | None, list[DedicatedConnection]]:
        """Take a place if nobody is waiting; return it with the idle connections to close."""
        closing = self.weed(generation, now)
        return (None if self.crowded() else self.grant(purpose, now)), closing

    def grant(self, purpose: str, now: float) -> Grant | None:
        """Take a place: the connection used last, else permission to open one, else nothing.

        The place counts as leased or opening from here on.  One connection is
        opened at a time, so that a lost server is met by one attempt and not
        by as many as there are callers.
        """
        if self._idle:
            return self.lend(self._idle.pop()[0], purpose, now)
        if self.opening == 0 and len(self.leased) < self.places:
            self.opening += 1
            return OPEN
        return None

    def lend(self, connection: DedicatedConnection, purpose: str, now: float) -> Held:
        """Enter *connection* as leased."""
        held = self.leased[id(connection)] = Held(connection, purpose, now)
        return held

    def find(self, connection: DedicatedConnection) -> Held | None:
        """Return the place of *connection*; None when nobody holds it."""
        return self.leased.get(id(connection))

    def take_back(self, connection: DedicatedConnection) -> Held | None:
        """Free the place of *connection*; None when nobody holds it, as when given back twice."""
        held = self.leased.pop(id(connection), None)
        if held is not None:
            held.returned = True
        return held

    def give_back(self, connection: DedicatedConnection, now: float, *, reusable: bool) -> bool:
        """Free the place of *connection*; return whether it was kept, being young enough.

        What is free goes to the waiting callers.
        """
        self.take_back(connection)
        kept = reusable and self.lives(connection, now)
        if kept:
            self.keep(connection, now)
        self.serve(now)
        return kept

    def keep(self, connection: DedicatedConnection, now: float) -> None:
        """Put a connection that nobody holds among the idle ones."""
        self._idle.append((connection, now))

    def crowded(self) -> bool:
        """Whether callers are waiting already, so that a new one has to queue."""
        while self.waiting and next(iter(self.waiting)).future.done():
            self.waiting.popitem(last=False)
        return bool(self.waiting)

    def leave(self, waiter: Waiter) -> None:
        """Count *waiter* no more, wherever in the queue it is."""
        self.waiting.pop(waiter, None)

    def serve(self, now: float) -> None:
        """Hand what is free to the waiting callers, first in, first out."""
        while self.crowded():
            grant = self.grant(next(iter(self.waiting)).purpose, now)
            if grant is None:
                return
            waiter, _ = self.waiting.popitem(last=False)
            waiter.future.set_result(grant)

    def fail_waiting(self, error: Callable[[], Exception]) -> None:
        """Fail every waiting caller, each with its own exception."""
        while self.crowded():
            waiter, _ = self.waiting.popitem(last=False)
            waiter.future.set_result(error())

    def lives(self, connection: DedicatedConnection, now: float) -> bool:
        """Whether *connection* is young enough to be leased again."""
        return not self._max_lifetime or now - connection.opened_at < self._max_lifetime

    def weed(self, generation: int, now: float) -> list[DedicatedConnection]:
        """Remove and return idle connections that are stale, too old or unused for too long."""
        kept: deque[tuple[DedicatedConnection, float]] = deque()
        closing = []
        for connection, since in self._idle:
            unused = self._max_idle and now - since >= self._max_idle
            if connection.generation != generation or unused or not self.lives(connection, now):
                closing.append(connection)
            else:
                kept.append((connection, since))
        self._idle = kept
        return closing

    def held(self) -> Iterable[Held]:
        """The places in use, oldest first."""
        return tuple(self.leased.values())
