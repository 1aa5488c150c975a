"""A cached read that is not a plain hit: joined to one on its way, or sent by the lane."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis_manager_fastapi.caching.fetch import Fetch, KeyTimes
from redis_manager_fastapi.caching.reads import CachedReads
from redis_manager_fastapi.caching.store import Life
from redis_manager_fastapi.caching.tracked import TrackedConnection
from redis_manager_fastapi.caching.values import own
from redis_manager_fastapi.commands.cached import keys_read
from redis_manager_fastapi.commands.keys import key_bytes
from redis_manager_fastapi.pool.request import Request

_TEXT = frozenset({bytes, str})


def place_of(args: tuple[Any, ...], packed: bytes) -> Any:
    """Return the place of a command in the tables.

    The arguments themselves, if all are text: numbers that are equal, as 1 and 1.0, are
    not the same to a server.
    """
    return args if _TEXT.issuperset(map(type, args)) else packed


class Asking:
    """Stands where a call expects a connection, and has it answered by the cache.

    Args:
        reads: How the call's client reads.
        link: The tracked connection.
        life: What goes on as long as that tells what changes.
        args: The command.
        places: The nodes of a Cluster that have its slot; None for one server.

    Attributes:
        loop: Whose futures the call makes.
    """

    __slots__ = ("_args", "_life", "_link", "_places", "_reads", "loop")

    def __init__(
        self,
        reads: CachedReads,
        link: TrackedConnection,
        life: Life,
        args: tuple[Any, ...],
        places: Sequence[object] | None = None,
    ) -> None:
        self._reads, self._link, self._life, self._args = reads, link, life, args
        self._places = places
        self.loop: asyncio.AbstractEventLoop = link.loop

    def submit(self, request: Request) -> None:
        """Answer *request*, have it wait for another one's reply, or send it."""
        reads, link = self._reads, self._link
        key, now = place_of(self._args, request.packed), self.loop.time()
        entry, store = reads.entries.get(key), reads.cache.store
        if entry is not None and self._places is not None:
            entry = entry if entry.life.place in self._places else None
        if entry is not None and reads.serves(entry, now):
            store.hits += 1
            entry.used = True
            request.finish(entry.value if entry.plain else own(entry.value))
            return
        if entry is not None and entry.fetch is not None and entry.fetch.may_be_joined(now):
            store.joined += 1
            entry.fetch.join(request, link)
            return
        store.misses += 1
        keys = tuple(key_bytes(each) for each in keys_read(self._args))
        entry = store.begin(reads.entries, key, keys, self._life, remember=reads.stale > 0)
        entry.fetch = fetch = Fetch(
            request,
            entry,
            store,
            self._args[0],
            asked_at=now,
            plain=reads.cache.plain,
            brief=reads.cache.brief,
        )
        if reads.exact:
            for each in keys:
                link.submit(KeyTimes(each, fetch.deadline, entry, now))
        link.submit(fetch)
