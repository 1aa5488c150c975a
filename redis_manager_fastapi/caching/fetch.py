"""A read on its way to the server, and everybody who waits for its reply."""

from math import inf
from typing import Any

import hiredis

from redis_manager_fastapi.caching.reader import unpaired
from redis_manager_fastapi.caching.store import Entry, Store
from redis_manager_fastapi.caching.tracked import TrackedConnection
from redis_manager_fastapi.caching.values import decoded, may_mean_missing, own
from redis_manager_fastapi.pool.request import Interrupted, Request, SingleRequest


class _Open:
    """In the place of a future that is not done, whoever leaves."""

    def done(self) -> bool:
        return False


class _Closed:
    """In the place of one that is."""

    def done(self) -> bool:
        return True


_OPEN: Any = _Open()
_CLOSED: Any = _Closed()


class Fetch(SingleRequest):
    """The request of a pending entry.

    It belongs to the entry and not to whoever asked first: others wait for the same reply.

    Args:
        request: Who asks first.

    Attributes:
        entry: What it brings the reply of.
        store: Where that is kept.
        name: The command's.
        asked_at: When it was submitted, on the loop's clock.
        text: Whether strings in the reply become `str`.
        plain: Whether the reply has to have the form of RESP2.
        brief: Seconds for which a reply is kept that may mean a missing key.
        waiting: Who waits; the first is who asked.
    """

    __slots__ = ("asked_at", "brief", "entry", "name", "plain", "store", "text", "waiting")

    def __init__(
        self,
        request: Request,
        entry: Entry,
        store: Store,
        name: str,
        *,
        asked_at: float,
        plain: bool,
        brief: float,
    ) -> None:
        self.packed, self.began, self.deadline = request.packed, request.began, request.deadline
        self.future, self.decode, self.read_only = _OPEN, False, True
        self.entry, self.store, self.name, self.text = entry, store, name, request.decode
        self.asked_at, self.plain, self.brief = asked_at, plain, brief
        self.waiting = [request]

    def finish(self, outcome: Any) -> None:
        """Keep the reply, and hand it to everybody, in its place among the server's words."""
        if self.future is _CLOSED:
            return
        self.future = _CLOSED
        if not isinstance(outcome, Exception):
            outcome = self._value(outcome)
        waiting, self.waiting = self.waiting, []
        if isinstance(outcome, Exception):
            self.store.fail(self.entry)
            waiting[0].finish(outcome)
            for request in waiting[1:]:
                request.finish(Interrupted(written=False))  # its own was never sent
            return
        if self.brief < inf and may_mean_missing(outcome, len(self.entry.keys)):
            self.entry.until = min(self.entry.until, self.asked_at + self.brief)
        self.store.keep(self.entry, outcome, self.asked_at, len(self.packed))
        for request in waiting:
            request.finish(own(outcome))

    def may_be_joined(self, now: float) -> bool:
        """Whether its reply will be young enough for who asks at *now*.

        While the loop stalls, a reply lies in the socket as long as the stall lasts.
        """
        life = self.entry.life
        return life.goes_on and now - self.asked_at < life.window

    def join(self, request: Request, link: TrackedConnection) -> None:
        """Have *request* wait for the same reply, until its own time is up."""
        self.waiting.append(request)
        if request.deadline < self.deadline:
            link.expire_in_time(request, self)

    def _value(self, reply: Any) -> Any:
        """Return the reply as the other lane would have it, or the error that it would be."""
        value = unpaired(self.name, reply) if self.plain else reply
        try:
            return decoded(value) if self.text else value
        except UnicodeDecodeError as error:
            return self.no_text(error)


class KeyTimes(SingleRequest):
    """Asks for how long a key lives, ahead of the read of its value.

    Attributes:
        entry: The entry of that read.
    """

    __slots__ = ("entry",)

    def __init__(self, key: bytes, deadline: float, entry: Entry, asked_at: float) -> None:
        packed: Any = hiredis.pack_command(("PTTL", key))  # type: ignore[arg-type]
        self.packed, self.began, self.deadline, self.future = packed, asked_at, deadline, _OPEN
        self.decode, self.read_only = False, True
        self.entry = entry

    def finish(self, outcome: Any) -> None:
        """Note when the key expires; what changes from here on may change that."""
        if self.future is _CLOSED:
            return
        self.future = _CLOSED
        entry = self.entry
        entry.strict = True
        if not isinstance(outcome, int):
            entry.until = -1.0  # it is not known, so the value is only handed over
        elif outcome >= 0:
            entry.until = min(entry.until, self.began + outcome / 1000)
