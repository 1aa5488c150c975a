"""A pool's multiplexed connections: which take commands, and which only finish their own.

A link *serves*, or is *suspended* while its server is suspected, or is *retired*
because another generation serves: it takes no more commands, and closes when
its last reply has come.
"""

import math
from collections.abc import Iterable

from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.multiplexed import LinkEvents, MultiplexedConnection
from redis_manager_fastapi.pool.state import OldLinks


class LinkSet:
    """The multiplexed connections of one pool.

    Args:
        events: Hears what becomes of the connections.
        max_in_flight: How many commands each may have in flight.

    Attributes:
        serving: Those that commands may go out on.
        only: The one of them, for the fast path; None if there is not exactly one.
        suspended: Those that wait for a suspicion to be resolved.
    """

    def __init__(self, events: LinkEvents, *, max_in_flight: int) -> None:
        self.serving: tuple[MultiplexedConnection, ...] = ()
        self.only: MultiplexedConnection | None = None
        self.suspended: tuple[MultiplexedConnection, ...] = ()
        self._retired: set[MultiplexedConnection] = set()
        self._events = events
        self._max_in_flight = max_in_flight

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
    def waiting(self) -> int:
        """Callers waiting for room."""
        return sum(link.waiting for link in self.serving)

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
        return None if link is None or link.full else link

    def suspend(self) -> None:
        """Have no link take commands, until `resume`."""
        self.suspended = self.current
        self._serve(())
        for link in self.suspended:
            link.suspected = True

    def resume(self) -> None:
        """Have the links take commands again."""
        self._serve(self.serving or self.suspended)
        self.suspended = ()
        for link in self.serving:
            link.suspected = False

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
            MultiplexedConnection(self._events, each, max_in_flight=self._max_in_flight)
            for each in connections
        )
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

    def _clear(self) -> None:
        self._serve(())
        self.suspended = ()

    def _serve(self, links: Iterable[MultiplexedConnection]) -> None:
        self.serving = tuple(links)
        self.only = self.serving[0] if len(self.serving) == 1 else None
