"""A deployment's cache: the replies that this process keeps, and what is known of their lanes."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from redis_manager_fastapi.caching.store import Store
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.caching import CacheStats
from redis_manager_fastapi.observe.events import CacheChanged
from redis_manager_fastapi.settings import RedisSettings


class Served(Protocol):
    """A tracked connection's state, as the counters show it."""

    off_since: float | None
    reason: str


class ClientCache:
    """What the cached clients of one deployment share.

    Attributes:
        store: The replies.
        plain: Whether they have the form of RESP2.
        brief: Seconds for which a reply is kept that may mean a missing key; a Cluster's
            node that is giving a slot away knows nothing of keys that are made elsewhere.
        longest_stale: The longest that any client may be handed a last known value, in seconds.
    """

    def __init__(self, settings: RedisSettings, bus: Bus, *, instance: str) -> None:
        self.instance, self.settings = instance, settings
        self.store = Store(settings.client_cache.max_bytes)
        self.plain = settings.protocol == 2
        health = settings.health
        self.brief = health.interval + health.timeout if settings.cluster.nodes else float("inf")
        self.longest_stale = 0.0
        self._bus = bus
        self._lanes: list[Served] = []
        self._refused: set[str] = set()
        self._sweeps: asyncio.TimerHandle | None = None

    def wrote(self, keys: Iterable[bytes] | None) -> None:
        """Drop what was read from *keys*, or everything: this process writes them."""
        if keys is None:
            self.store.clear()
        else:
            self.store.wrote(keys)

    def enter(self, lane: Served) -> None:
        """Count a lane from now on."""
        self._lanes.append(lane)

    def leave(self, lane: Served) -> None:
        """Count it no more."""
        if lane in self._lanes:
            self._lanes.remove(lane)

    def tell(self, *, serving: bool, reason: str = "", refused: bool = False) -> None:
        """Tell listeners that a lane serves, or no longer does; of a refusal, once."""
        if refused and reason in self._refused:
            return
        if refused:
            self._refused.add(reason)
        self._bus.emit(CacheChanged(self.instance, serving, reason, refused))

    def life_ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of what is not served any more, in slices; of last known values, when too old."""
        if self._sweeps is None:
            self._sweeps = loop.call_later(self.longest_stale, self._sweep, loop, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop, left: int | None) -> None:
        left = self.store.queued if left is None else left
        left = self.store.sweep(loop.time() - self.longest_stale, left)
        self._sweeps = loop.call_later(0, self._sweep, loop, left) if left else None

    def close(self) -> None:
        """Let go of everything."""
        if self._sweeps is not None:
            self._sweeps.cancel()
            self._sweeps = None
        self.store.clear()

    def stats(self) -> CacheStats:
        """Return the counters of this instant."""
        store = self.store
        off = [lane for lane in self._lanes if lane.off_since is not None]
        since = min((lane.off_since or 0.0 for lane in off), default=None)
        return CacheStats(
            hits=store.hits,
            misses=store.misses,
            joined=store.joined,
            entries=store.entries,
            bytes=store.bytes,
            invalidations=store.invalidations,
            evictions=store.evictions,
            stale=store.stale,
            off_since=since,
            reason=off[0].reason if off else "",
        )
