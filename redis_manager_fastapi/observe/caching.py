"""The counters of the client-side cache, as `manager.stats().cache` shows them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The counters of a cache at one instant.

    Attributes:
        hits: Reads that were answered in the process.
        misses: Reads that asked the server.
        joined: Reads that waited for the reply to another one.
        entries: Replies that are kept.
        bytes: What they take, with their commands and keys.
        invalidations: Replies that were dropped because the server said that a key had changed.
        evictions: Replies that were dropped for want of room.
        stale: Last known values that were handed out while Redis was away.
        off_since: Since when a tracked connection serves nothing that a read has opened, on the
            monotonic clock; None while all serve, and until the first cached read opens one.
        reason: Why it does not; empty where `off_since` is None.
    """

    hits: int
    misses: int
    joined: int
    entries: int
    bytes: int
    invalidations: int
    evictions: int
    stale: int
    off_since: float | None
    reason: str
