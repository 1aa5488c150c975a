"""A pool's multiplexed connections: which take commands, and which only finish their own.

A link *serves*, or is *suspended* while it or its server is suspected, or is *retired*
because another generation serves: it takes no more commands, and closes when
its last reply has come.
"""

import math
from collections.abc import Callable, Iterable

from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.link_events import LinkEvents
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.noting import note_link
from redis_manager_fastapi.pool.room import Room
from redis_manager_fastapi.pool.state import OldLinks
from redis_manager_fastapi.pool.written import Writes

MakeLink = Callable[..., MultiplexedConnection]


class LinkSet:
    """The multiplexed connections of one pool.

    Args:
        events: Hears what becomes of the connections.
        max_in_flight: How many commands each may have in flight.
        make: Makes one, of what `MultiplexedConnection` takes.
        writes: Is told of the writes, once somebody wants to know of them.

    Attributes:
        serving: Those that commands may go out on.
        only: The one of them, for the fast path; None if there is not exactly one.
        suspended: Those that wait for a suspicion to be resolved.
        room: The commands that wait until one of them has room.
    """

    def __init__(
        self,
        events: LinkEvents[MultiplexedConnection],
        *,
        max_in_flight: int,
        make: MakeLink = MultiplexedConnection,
        writes: Writes | None = None,
    ) -> None:
        self.serving: tuple[MultiplexedConnection, ...] = ()
        self.only: MultiplexedConnection | None = None
        self.suspended: tuple[MultiplexedConnection, ...] = ()
        self.room = Room()
        self._retired: set[MultiplexedConnection] = set()
        self._events = events
        self._max_in_flight = max_in_flight
        self._make = make
        self._writes = writes or Writes()
        if self._writes.listener is not None:
            self.room.writes = self._writes
        self._writes.call_when_wanted(self._note_writes)

    def __repr__(self) -> str:
        groups = f"suspended={len(self.suspended)} retired={len(self._retired)}"
        return f"<LinkSet serving={len(self.serving)} {groups}>"

    @property
    def current(self) -> tuple[MultiplexedConnection, ...]:
        """Those of the present generation."""
        return (*self.serving, *self.suspended)

    @property
    def open(self) -> tuple[MultiplexedConnection, ...]:
        """Every link, those included that take no more commands."""
        return (*self.current, *self._retired)

    @property
    def last_heard(self) -> float:
        """When bytes last came over a link of the present generation, on the loop's clock."""
        return max((link.last_heard for link in self.current), default=-math.inf)

    @property
    def opened_at(self) -> float:
        """When the oldest link of the present generation was opened, on the loop's clock."""
        return min((link.opened_at for link in self.current), default=math.inf)

    @property
    def waiting(self) -> int:
        """Callers waiting for room."""
        return len(self.room.waiting)

    @property
    def in_flight(self) -> int:
        """Commands whose reply is still to come."""
        return sum(link.in_flight for link in self.open)

    def least_busy(self) -> MultiplexedConnection | None:
        """Return the link with the least in flight; None when none serves."""
        if self.only is not None:
            return self.only
        return min(self.serving, key=lambda link: link.in_flight, default=None)

    def with_room(self) -> MultiplexedConnection | None:
        """Return the link with the least in flight; None when no command can go out now."""
        link = self.least_busy()
        if link is None or not link.full:
            return link
        # It may be full for no other reason than that others waited.
        self._admit()
        return None if link.full else link

    def goes_alone(self, packed: bytes) -> bool:
        """Whether a request had better take a connection of its own: its reply was large."""
        return bool(self.room.alone) and self.room.goes_alone(packed)

    def suspend(self, link: MultiplexedConnection | None = None) -> None:
        """Have *link*, or no link at all, take commands until `resume`."""
        self.suspended = self.current if link is None else (*self.suspended, link)
        for each in self.suspended:
            each.suspected = True
        self._serve(each for each in self.serving if each not in self.suspended)

    def resume(self, link: MultiplexedConnection | None = None) -> None:
        """Have *link*, or every link, take commands again."""
        resumed = self.suspended if link is None else (link,)
        for each in resumed:
            each.suspected = False
        self.suspended = tuple(each for each in self.suspended if each not in resumed)
        self._serve((*self.serving, *resumed))

    def leave(self) -> None:
        """Have the suspended links finish what is in flight and close; they do not serve again."""
        for link in self.suspended:
            link.suspected = False
            link.retire()

    def replace(
        self, connections: Iterable[DedicatedConnection], fate: OldLinks, *, heard_since: float
    ) -> None:
        """Serve with new links, and have the old ones meet their *fate*."""
        old = self.current
        self._serve(
            self._make(self._events, each, self.room, max_in_flight=self._max_in_flight)
            for each in connections
        )
        if self._writes.listener is not None:
            self._note_writes()
        self.suspended = ()
        for link in old:
            heard = fate is OldLinks.DRAIN or link.last_heard >= heard_since
            if heard and fate is not OldLinks.ABORT:
                self._retired.add(link)
                link.retire()
            else:
                link.abort("replaced")

    def discard(self, link: MultiplexedConnection) -> bool:
        """Strike out a link that was lost; return whether it was of the present generation."""
        self._retired.discard(link)
        if link not in self.current:
            return False
        self._serve(other for other in self.serving if other is not link)
        self.suspended = tuple(other for other in self.suspended if other is not link)
        return True

    def abort(self, reason: str) -> None:
        """Drop the links of the present generation, with what is in flight on them."""
        links = self.current
        self._clear()
        for link in links:
            link.abort(reason)

    def take_all(self) -> tuple[MultiplexedConnection, ...]:
        """Leave every link to the caller."""
        links, self._retired = self.open, set()
        self._clear()
        return links

    def _note_writes(self) -> None:
        """Have the writes on these links told: somebody wants to know of them."""
        self.room.writes = self._writes
        for link in self.current:
            note_link(link, self._writes)

    def _clear(self) -> None:
        self._serve(())
        self.suspended = ()

    def _serve(self, links: Iterable[MultiplexedConnection]) -> None:
        self.serving = tuple(links)
        self.only = self.serving[0] if len(self.serving) == 1 else None
        if self.room.waiting:
            self._admit()

    def _admit(self) -> None:
        """Let those in who wait for room; without a link they learn that there is none."""
        for link in self.serving:
            link.admit()
        if not self.serving:
            self.room.clear()
