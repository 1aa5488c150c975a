"""Which caller has which dedicated connection: decisions only, no I/O and no task.

Capacity is counted here and nowhere else: a place is idle, leased or opening.
Every method looks at the count, changes it, and returns what is to be done; the
caller then does it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from weakref import ref

from redis_manager_fastapi.pool.dedicated import DedicatedConnection


class Held:
    """A place that a caller holds, with its connection.

    Once it is handed over, only its holder keeps the connection alive: one that a
    holder has dropped is collected, and its place is free again.

    Attributes:
        purpose: What it was taken for, in words, for the warning when it is never returned.
        lasting: Whether it may be held for longer than a command's time, by a listener.
        returned: Whether the caller has given it back.
        kept: The connection, until it is handed over.
        number: What it is listed by in `Capacity.leased`.
        stream: The connection's, which is still open when the connection has been dropped.
    """

    __slots__ = ("_seen", "kept", "lasting", "number", "purpose", "returned", "stream")

    def __init__(
        self,
        connection: DedicatedConnection,
        purpose: str,
        *,
        lasting: bool = False,
        returned: bool = False,
    ) -> None:
        self.number = id(connection)
        self.purpose, self.lasting, self.returned = purpose, lasting, returned
        self.stream = connection.stream
        self.kept: DedicatedConnection | None = connection
        self._seen = ref(connection)

    @property
    def connection(self) -> DedicatedConnection | None:
        """The connection; None when its holder has dropped it."""
        return self.kept or self._seen()


@dataclass(slots=True, eq=False)
class Waiter:
    """A caller queued for a place."""

    future: "asyncio.Future[HandOver]"
    purpose: str
    lasting: bool = False


class Open:
    """Permission to open a connection: the place is already counted."""


OPEN = Open()
Grant = Held | Open
HandOver = Grant | Exception


def spare_beside(places: int) -> int:
    """Return how many places are kept for what takes a command's time, beside *places*."""
    return max(1, places // 4)


class Capacity:
    """The places of a pool's dedicated connections.

    Listeners hold theirs for as long as they like, so a few more are kept `spare` for
    what takes a command's time: all listeners together cannot starve it.

    Args:
        places: How many there are, beside the spare ones.
        max_idle: Seconds after which an unused connection is closed; 0 is never.
        max_lifetime: Seconds after which a connection is not leased again; 0 is never.
    """

    def __init__(self, places: int, max_idle: float, max_lifetime: float) -> None:
        self.places = places
        self.spare = spare_beside(places)
        self.opening = self._brief = 0
        self.leased: dict[int, Held] = {}
        self.waiting: OrderedDict[Waiter, None] = OrderedDict()
        self._max_idle = max_idle or inf
        self._max_lifetime = max_lifetime or inf
        # Each with when its time is up; no earlier than `_due`, and all of generation `_weeded`.
        self._idle: deque[tuple[DedicatedConnection, float]] = deque()
        self._due, self._weeded = inf, 0

    @property
    def idle(self) -> int:
        """How many connections could be leased at once."""
        return len(self._idle)

    @property
    def free(self) -> int:
        """How many places are not taken: idle ones and ones without a connection."""
        return self.places - len(self.leased) - self.opening

    def room(self, *, lasting: bool) -> int:
        """How many places a caller could take that needs it for long, or does not."""
        if lasting or self.free >= self.spare:
            return self.free
        return max(self.free, self.spare - self._brief)

    def take(
        self, purpose: str, generation: int, now: float, *, lasting: bool = False
    ) -> tuple[Grant | None, list[DedicatedConnection]]:
        """Take a place if nobody is waiting for it; return it with the idle ones to close."""
        closing = self.weed(generation, now)
        crowd = self.crowded() and any(lasting or not each.lasting for each in self.waiting)
        return (None if crowd else self.grant(purpose, lasting=lasting)), closing

    def grant(self, purpose: str, *, lasting: bool = False) -> Grant | None:
        """Take a place: the connection used last, else permission to open one, else nothing.

        The place counts as leased or opening from here on.  One connection is
        opened at a time, so that a lost server is met by one attempt and not
        by as many as there are callers.
        """
        if self.room(lasting=lasting) <= 0:
            return None
        if self._idle:
            return self.lend(self._idle.pop()[0], purpose, lasting=lasting)
        if self.opening == 0:
            self.opening += 1
            return OPEN
        return None

    def lend(self, connection: DedicatedConnection, purpose: str, *, lasting: bool = False) -> Held:
        """Enter *connection* as leased."""
        held = self.leased[id(connection)] = Held(connection, purpose, lasting=lasting)
        self._brief += not lasting
        return held

    def find(self, connection: DedicatedConnection) -> Held | None:
        """Return the place of *connection*; None when nobody holds it."""
        held = self.leased.get(id(connection))
        return held if held is not None and held.connection is connection else None

    def strike(self, held: Held) -> bool:
        """Free a place whose connection is gone; return whether it had not been freed before."""
        forgotten, held.returned = not held.returned, True
        if self.leased.get(held.number) is held:  # a new connection may have its number by now
            self._leave(held)
            self.serve()
        return forgotten

    def take_back(self, connection: DedicatedConnection) -> Held | None:
        """Free the place of *connection*; None when nobody holds it, as when given back twice."""
        held = self.find(connection)
        if held is not None:
            self._leave(held)
            held.returned = True
        return held

    def _leave(self, held: Held) -> None:
        del self.leased[held.number]
        self._brief -= not held.lasting

    def give_back(self, connection: DedicatedConnection, now: float, *, reusable: bool) -> bool:
        """Free the place of *connection*; return whether it was kept, being young enough.

        What is free goes to the waiting callers.
        """
        self.take_back(connection)
        kept = reusable and self.lives(connection, now)
        if kept:
            self.keep(connection, now)
        if self.waiting:
            self.serve()
        return kept

    def take_idle(
        self, wanted: Callable[[DedicatedConnection], bool], purpose: str
    ) -> DedicatedConnection | None:
        """Take an idle connection that is *wanted* for a moment; None when there is none."""
        entry = next((each for each in self._idle if wanted(each[0])), None)
        if entry is None:
            return None
        self._idle.remove(entry)
        return self.lend(entry[0], purpose).kept

    def keep(self, connection: DedicatedConnection, now: float) -> None:
        """Put a connection that nobody holds among the idle ones."""
        ends = min(now + self._max_idle, connection.opened_at + self._max_lifetime)
        self._idle.append((connection, ends))
        self._due = min(self._due, ends if connection.generation == self._weeded else -inf)

    def crowded(self) -> bool:
        """Whether callers are waiting already, so that a new one has to queue."""
        while self.waiting and next(iter(self.waiting)).future.done():
            self.waiting.popitem(last=False)
        return bool(self.waiting)

    def leave(self, waiter: Waiter) -> None:
        """Count *waiter* no more, wherever in the queue it is."""
        self.waiting.pop(waiter, None)

    def serve(self) -> None:
        """Hand what is free to the waiting callers, first in, first out.

        Those who want a place for long are passed over while only spare ones are free.
        """
        for waiter in tuple(self.waiting):
            if waiter.future.done():
                self.leave(waiter)
            elif not waiter.lasting or self.room(lasting=True) > 0:
                grant = self.grant(waiter.purpose, lasting=waiter.lasting)
                if grant is None:
                    return
                self.leave(waiter)
                waiter.future.set_result(grant)

    def fail_waiting(self, error: Callable[[], Exception]) -> None:
        """Fail every waiting caller, each with its own exception."""
        while self.crowded():
            waiter, _ = self.waiting.popitem(last=False)
            waiter.future.set_result(error())

    def lives(self, connection: DedicatedConnection, now: float) -> bool:
        """Whether *connection* is young enough to be leased again."""
        return now < connection.opened_at + self._max_lifetime

    def weed(self, generation: int, now: float) -> list[DedicatedConnection]:
        """Remove and return idle connections that are stale, too old or unused for too long."""
        if generation == self._weeded and now < self._due:
            return []
        kept: deque[tuple[DedicatedConnection, float]] = deque()
        closing = []
        for connection, ends in self._idle:
            if connection.generation != generation or ends <= now:
                closing.append(connection)
            else:
                kept.append((connection, ends))
        self._idle, self._weeded = kept, generation
        self._due = min((ends for _, ends in kept), default=inf)
        return closing

    def held(self) -> Iterable[Held]:
        """The places in use, oldest first."""
        return tuple(self.leased.values())
