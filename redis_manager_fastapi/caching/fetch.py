"""A read on its way to the server, and everybody who waits for its reply."""

from math import inf
from typing import Any, Protocol

import hiredis

from redis_manager_fastapi.caching.cache import ClientCache
from redis_manager_fastapi.caching.reader import unpaired
from redis_manager_fastapi.caching.store import Pending
from redis_manager_fastapi.caching.tracked import TrackedConnection
from redis_manager_fastapi.caching.values import PLAIN, decoded, may_mean_missing, own
from redis_manager_fastapi.pool.request import TOLD_IN_TURN, Interrupted, Request, SingleRequest


class _Open:
    """In the place of a future that is not done, whoever leaves."""

    def done(self) -> bool:
        return False


class _Closed:
    """In the place of one that is."""

    def done(self) -> bool:
        return True


OPEN: Any = _Open()
"""In the place of the future of a read: nobody's leaving ends it."""

_CLOSED: Any = _Closed()


class Uncounted(Protocol):
    """A connection that does not count every reply as one to a caller's command.

    Attributes:
        uncounted: How many of those that are being matched it does not.
    """

    uncounted: int


class Fetch(Pending):
    """The request of a pending read.

    It belongs to the cache and not to whoever asked first: others wait for the same reply.
    Like a `SingleRequest` it has no `__init__`; `Asking` fills it.

    Attributes:
        cache: Where the reply is kept.
        first: Who asked: a `Reading` too.
        others: Who waits for the same reply; None if nobody does.
    """

    __slots__ = ("cache", "first", "others")

    cache: ClientCache
    first: Any
    others: list[Request] | None

    def finish(self, outcome: Any) -> None:
        """Keep the reply, and hand it to everybody, in its place among the server's words."""
        if self.future is _CLOSED:
            return
        self.future = _CLOSED
        first, kind = self.first, type(outcome)
        del self.first
        if kind is bytes and first.decodes and outcome.isascii():
            outcome = outcome.decode()  # as nearly all, in less time
        elif kind not in PLAIN or (kind is bytes and first.decodes):
            outcome = self._value(first, outcome)
            if isinstance(outcome, Exception):
                self._fail(first, outcome)
                return
        if self.cache.brief < inf:
            self._limit(outcome)
        self.cache.store.keep(self, outcome)
        first.finish(outcome if kind in PLAIN else own(outcome))
        for request in self.others or ():
            request.finish(own(outcome))

    def may_be_joined(self, now: float) -> bool:
        """Whether its reply will be young enough for who asks at *now*.

        While the loop stalls, a reply lies in the socket as long as the stall lasts.
        """
        life = self.life
        return life.goes_on and now - self.began < life.window

    def join(self, request: Request, link: TrackedConnection) -> None:
        """Have *request* wait for the same reply, until its own time is up."""
        if self.others is None:
            self.others = []
        self.others.append(request)
        if request.deadline < self.deadline:
            link.expire_in_time(request, self)

    def _fail(self, first: Request, error: Exception) -> None:
        """Hand an error to who asked; what the others asked for was never sent."""
        self.cache.store.fail(self)
        first.finish(error)
        for request in self.others or ():
            request.finish(Interrupted(written=False))

    def _value(self, first: Any, reply: Any) -> Any:
        """Return the reply as the other lane would have it, or the error that it would be."""
        if isinstance(reply, Exception):
            return reply
        value = unpaired(first.args[0], reply) if self.cache.plain else reply
        try:
            return decoded(value) if first.decodes else value
        except UnicodeDecodeError as error:
            return self.no_text(error)

    def _limit(self, reply: Any) -> None:
        """Keep a reply that may mean a missing key no longer than the cache says."""
        count = len(self.keys) if type(self.keys) is tuple else 1
        if may_mean_missing(reply, count):
            self.until = min(self.until, self.began + self.cache.brief)


class KeyTimes(SingleRequest):
    """Asks for how long a key lives, ahead of the read of its value.

    Attributes:
        read: That read.
        link: What it goes by: nobody's command is answered by its reply.
    """

    __slots__ = ("link", "read")

    def __init__(self, key: bytes, read: Pending, link: Uncounted) -> None:
        packed: Any = hiredis.pack_command(("PTTL", key))  # type: ignore[arg-type]
        self.packed, self.began, self.deadline, self.future = (
            packed,
            read.began,
            read.deadline,
            OPEN,
        )
        self.decodes, self.read_only = False, True
        self.read, self.link = read, link

    def finish(self, outcome: Any) -> None:
        """Note when the key expires; what changes from here on may change that."""
        if not isinstance(outcome, TOLD_IN_TURN):
            self.link.uncounted += 1
        if self.future is _CLOSED:
            return
        self.future = _CLOSED
        read = self.read
        read.strict = True
        if not isinstance(outcome, int):
            read.until = -1.0  # it is not known, so the value is only handed over
        elif outcome >= 0:
            read.until = min(read.until, self.began + outcome / 1000)
