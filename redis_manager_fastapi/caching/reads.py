"""How one client reads by way of the cache, and what it was handed out."""

import sys
from contextvars import ContextVar
from typing import Any

from redis_manager_fastapi.caching.cache import ClientCache
from redis_manager_fastapi.caching.store import LIFE, Pending


class Report:
    """How old what the clients gave is that a request makes, or that are used in its tasks.

    A task that the request has begun may go on for ever, and make clients in the same context:
    nothing here knows any of them.
    """

    __slots__ = ("_oldest", "_open")

    def __init__(self) -> None:
        self._oldest, self._open = 0.0, True

    def note(self, age: float) -> None:
        """Take note that a value was given that was so old, in seconds."""
        if self._open:
            self._oldest = max(self._oldest, age)

    def close(self) -> float:
        """Take in nothing more; return how old the oldest value was, in seconds."""
        self._open = False
        return self._oldest


REPORT: ContextVar[Report | None] = ContextVar("redis_cached_reads", default=None)
"""Takes them, if somebody wants to know of them."""


_report = REPORT.get


class CachedReads:
    """What a client has asked for with `cache=`, and how old what it got was.

    Attributes:
        cache: What the deployment's cached clients share.
        store: Where the replies are kept.
        entries: Those of this client's kind, and what is on its way of them.
        table: The number of that table.
        lives: The store's.
        decode: Whether that kind is decoded.
        ttl: For how many seconds a reply may be handed out.
        stale: How many seconds old a last known value may be, in an outage; 0 for none.
        exact: Whether a reply ends with its key's own time.
        stale_for: How old the oldest value was that was handed out in an outage, in seconds.
    """

    __slots__ = (
        *("_report", "cache", "decode", "entries", "exact", "lives", "stale", "stale_for"),
        *("store", "table", "ttl"),
    )

    def __init__(
        self, cache: ClientCache, ttl: float, stale: float, exact: bool, decode: bool
    ) -> None:
        self.cache = cache
        self.ttl = ttl
        self.stale = stale
        self.exact = exact
        self.decode = decode
        self.stale_for = 0.0
        self.store = store = cache.store
        self.entries = store.tables[decode][exact]
        self.lives, self.table = store.lives, 2 * decode + exact
        self._report = _report()

    def same(self, *, decode: bool) -> "CachedReads":
        """Return the same for another client, which has been handed out nothing yet."""
        return CachedReads(self.cache, self.ttl, self.stale, self.exact, decode)

    def last_known(self, key: Any, now: float) -> tuple[Any, float] | None:
        """Return the last known value, and for how many seconds it has been unconfirmed."""
        found = self.entries.get(key) if self.stale else None
        known = found.last if isinstance(found, Pending) else found
        life = self.lives.get(known[LIFE]) if known is not None else None
        if known is None or life is None:
            return None
        value, asked_at, until = known[:3]
        age = now - max(life.confirmed_at, asked_at)
        gone = asked_at >= life.void_since or now >= until or age > self.stale
        return None if gone else (value, max(age, 0.001))

    def handed_out(self, age: float) -> None:
        """Note that a last known value was, of that age in seconds."""
        self.store.stale += 1
        self.stale_for = max(self.stale_for, age)
        # An error's recovery runs in no request's context: its client knows whose it is.
        for report in {self._report, _report()}:
            if report is not None:
                report.note(age)


def checked(name: str, value: object) -> float:
    """Return a number of seconds that a user gave.

    Raises:
        ValueError: It is none.
    """
    if type(value) not in (int, float) or not 0 <= value <= sys.float_info.max:  # type: ignore[operator]
        raise ValueError(f"{name} must be a number of seconds, 0 or more, not {value!r}")
    return float(value)  # type: ignore[arg-type]
