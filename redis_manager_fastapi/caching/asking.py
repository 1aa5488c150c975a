"""A cached read that is not a plain hit: joined to one on its way, or sent by the lane."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from redis_manager_fastapi.caching.fetch import OPEN, Fetch, KeyTimes
from redis_manager_fastapi.caching.reads import CachedReads
from redis_manager_fastapi.caching.store import LIFE, Keys, Life
from redis_manager_fastapi.caching.tracked import TrackedConnection
from redis_manager_fastapi.caching.values import TEXT, own
from redis_manager_fastapi.commands.cached import keys_read
from redis_manager_fastapi.commands.keys import key_bytes
from redis_manager_fastapi.pool.request import SingleRequest


class Reading(Protocol):
    """What a cached read knows of its client, next to what every request has.

    Attributes:
        args: The command.
        places: The nodes of a Cluster that have its slot; None for one server.
    """

    args: tuple[Any, ...]
    places: Sequence[object] | None

    @property
    def session(self) -> Any:
        """What the client's commands have in common: `cached` says how it reads."""
        ...


class AskedRequest(SingleRequest):
    """A request that is a `Reading`."""

    __slots__ = ("args", "places", "session")

    args: tuple[Any, ...]
    places: Sequence[object] | None
    session: Any


def place_of(args: tuple[Any, ...], packed: bytes) -> Any:
    """Return the place of a command in the tables.

    The arguments themselves, if all are text: numbers that are equal, as 1 and 1.0, are
    not the same to a server.
    """
    return args if TEXT.issuperset(map(type, args)) else packed


class Asking:
    """Stands where a call expects a connection, and has it answered by the cache.

    Args:
        link: The tracked connection.
        life: What goes on as long as that tells what changes.

    Attributes:
        link: The connection.
        loop: Whose futures the call makes.
    """

    __slots__ = ("_life", "link", "loop")

    def __init__(self, link: TrackedConnection, life: Life) -> None:
        self._life, self.link = life, link
        self.loop: asyncio.AbstractEventLoop = link.loop

    def submit(self, request: Any) -> None:
        """Answer *request*, have it wait for another one's reply, or send it.

        It is a `Request` and a `Reading`.
        """
        reads: CachedReads = request.session.cached
        args, cache = request.args, reads.cache
        keys: Keys
        if len(args) == 2 and type(args[1]) is str:  # as nearly all have, in less time
            place, keys = args, args[1].encode()
        else:
            place, keys = place_of(args, request.packed), _keys(args)
        found = reads.entries.get(place)
        if found is not None and self._is_known(request, reads, found):
            return
        store = reads.store
        store.misses += 1
        fetch = Fetch()
        fetch.packed, fetch.began, fetch.deadline = request.packed, request.began, request.deadline
        fetch.future, fetch.cache, fetch.first, fetch.others = OPEN, cache, request, None
        fetch.spot, fetch.keys, fetch.life = (reads.table, place), keys, self._life
        store.begin(fetch, found, remember=reads.stale > 0)
        if reads.exact:
            for key in (keys,) if isinstance(keys, bytes) else keys:
                self.link.submit(KeyTimes(key, fetch, self.link))
        self.link.submit(fetch)

    def _is_known(self, request: Any, reads: CachedReads, found: Any) -> bool:
        """Answer *request* by what is kept or on its way, if that may be."""
        now, store = request.began, reads.cache.store
        life = found.life if isinstance(found, Fetch) else store.lives.get(found[LIFE])
        if life is None or (request.places is not None and life.place not in request.places):
            return False
        if isinstance(found, Fetch):
            if not found.may_be_joined(now):
                return False
            store.joined += 1
            found.join(request, self.link)
            return True
        value, asked_at, until, _, plain, used, _, _, _ = found
        if now - asked_at >= reads.ttl or now >= until or now >= life.fresh_until:
            return False
        store.hits += 1
        used[0] = 1
        request.finish(value if plain else own(value))
        return True


def _keys(args: tuple[Any, ...]) -> Keys:
    """Return the keys of a cached read as bytes."""
    keys = tuple(key_bytes(key) for key in keys_read(args))
    return keys if len(keys) != 1 else keys[0]
