"""A read that may be answered in the process.

To its callers it is a `Call` like every other: it is looked up when it is awaited, and
what is not known goes to the server by the tracked lane, or as without a cache.
"""

import threading
from collections.abc import Generator, Sequence
from math import inf
from typing import Any, ClassVar, cast

from redis.client import NEVER_DECODE

from redis_manager_fastapi.caching.asking import AskedRequest, Asking, place_of
from redis_manager_fastapi.caching.reads import CachedReads, checked
from redis_manager_fastapi.caching.values import own
from redis_manager_fastapi.client.call import Call, Command, CommandFuture
from redis_manager_fastapi.client.call_coroutine import NOTHING
from redis_manager_fastapi.commands.cached import CACHED
from redis_manager_fastapi.delivery.replies import awaited, callback_of, parse, parsed
from redis_manager_fastapi.delivery.session import Session
from redis_manager_fastapi.errors import PoolClosedError, RedisOutageError
from redis_manager_fastapi.pool.counters import Held
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.request import Reply, SingleRequest
from redis_manager_fastapi.pool.state import FINAL

_this_thread = threading.get_ident


class CachedCommand(Command):
    """A command that may have a last known value in the place of an outage's error."""

    __slots__ = ()

    @property
    def places(self) -> Sequence[object] | None:
        """The nodes of a Cluster that have its slot; None for one server."""
        return None

    async def _value(self, request: SingleRequest, outcome: Any) -> Any:
        with Held():
            try:
                return await super()._value(request, outcome)
            except RedisOutageError as error:
                known = self.known_instead_of(error)
                if known is None:
                    raise
        return await self.hand_out(known)

    def _grace(self) -> float | None:
        """Wait for nothing if there is a last known value."""
        return super()._grace() if self.last_known() is None else 0.0

    def known_instead_of(self, error: RedisOutageError) -> tuple[Any, float] | None:
        """Return the last known value if it may stand in the place of *error*."""
        return None if isinstance(error, PoolClosedError) else self.last_known()

    def last_known(self) -> tuple[Any, float] | None:
        """Return the last known value, if it may be handed out, and its age in seconds."""
        reads, pool = cast(CachedReads, self.session.cached), getattr(self, "pool", None)
        if not reads.stale or self.args[0] not in CACHED or pool is None:
            return None
        return reads.last_known(place_of(self.args, self.packed), pool.affinity.clock())

    async def hand_out(self, known: tuple[Any, float]) -> Any:
        """Return the value of what is known, and say how old it is."""
        value, age = known
        cast(CachedReads, self.session.cached).handed_out(age)
        return await parsed(self.session.callbacks, self.args[0], own(value), self.options)


class CachedFuture(CachedCommand, CommandFuture):
    """A cached read that somebody has asked whether it is a future, and that is one since."""

    __slots__ = ()


class CachedCall(CachedCommand, Call):
    """A command of a client with `cache=`."""

    __slots__ = ()

    future_type: ClassVar[type[CommandFuture]] = CachedFuture

    def __await__(self) -> Generator[Any, Any, Any]:
        session, options = self.session, self.options
        reads: Any = session.cached
        if not self.command.read_only:
            return Call.__await__(self)
        try:
            kept = reads.entries.get(self.args)
        except TypeError:  # an argument that is no key of a mapping
            return Call.__await__(self)
        if (
            type(kept) is not tuple
            or self.future is not None
            or (options and NEVER_DECODE in options)
        ):
            return Call.__await__(self)
        value, asked_at, until, number, plain, used, _, _, _ = kept
        try:
            life = reads.lives[number]
        except KeyError:  # it was ended, and what it knew is being let go
            return Call.__await__(self)
        now = life.clock()
        if (
            now - asked_at < reads.ttl
            and now < life.fresh_until
            and now < until
            and _this_thread() == life.thread
            and (session.scope is None or not session.scope.ended)
        ):
            self.future = NOTHING
            used[0] = 1
            reads.store.hits += 1
            if not plain:
                value = own(value)
            if callback_of(session.callbacks, self.args[0]) is None:
                return _ready(value)
            value = parse(session.callbacks, self.args[0], value, options)
            return awaited(value).__await__()
        return Call.__await__(self)

    def _prepare(self) -> MultiplexedConnection | None:
        """Make a request of the command; return what takes it: the cache, if that can."""
        return self._asking_or(Call._prepare(self))  # noqa: SLF001 (its own; `super()` takes longer)

    def _asking_or(self, link: MultiplexedConnection | None) -> MultiplexedConnection | None:
        """Return what takes the command: the cache, if that can, or *link*."""
        callbacks = self.session.own_callbacks
        if callbacks and self.args[0] in callbacks:
            return link  # in its caller's own context, by `_later`
        asking: Any = self._asking()
        return link if asking is None else asking

    def _replica_or(self, link: MultiplexedConnection) -> MultiplexedConnection | None:
        """Leave the connection to `_later`: the lane, which comes first, is the primary's."""
        del link
        return None

    def _asking(self) -> Asking | None:
        """Return what answers a cached read; None while, or if, nothing can."""
        session = self.session
        reads: Any = session.cached
        deployment: Any = session.deployment
        pool: Pool | None = getattr(self, "pool", None)
        if self.args[0] not in CACHED or pool is None or self.decodes != reads.decode:
            return None
        lane = deployment.lane
        if lane is None or lane.asking is None:
            lane = deployment.tracked(reads.cache)
        asking: Asking | None = lane.asking if lane is not None else None
        if asking is None or asking.link.full:
            return None
        room = pool.link_set.room
        if room.alone and room.goes_alone(self.packed):
            return None
        return asking

    async def _later(self) -> Any:
        """Execute in the caller's context what has to wait, or has the caller's own callback."""
        known = self.last_known()
        if known is not None and self._is_away():
            return await self.hand_out(known)
        asking = self._asking() if self.args[0] in self.session.own_callbacks else None
        with Held():
            try:
                if asking is None:
                    return await super()._later()
                request = self._asked(asking.loop.create_future())
                asking.submit(request)
                return await super()._value(request, await request.future)
            except RedisOutageError as error:
                known = self.known_instead_of(error)
                if known is None:
                    raise
        return await self.hand_out(known)

    def _asked(self, future: Reply) -> AskedRequest:
        """Return a request of the same for the cache."""
        request = AskedRequest()
        request.packed, request.future, request.deadline = self.packed, future, self.deadline
        request.began, request.decodes, request.read_only = self.began, self.decodes, self.read_only
        request.args, request.places, request.session = self.args, self.places, self.session
        return request

    def _is_away(self) -> bool:
        """Whether nothing serves that could be asked."""
        return not self.session.deployment.serves_in_part and self.pool.state not in FINAL


def _ready(value: Any) -> Generator[Any, Any, Any]:
    """Give a value that is known."""
    return value
    yield


def caching(
    session: Session[Any], ttl: float | None, stale: float | None, exact: bool | None
) -> Session[Any]:
    """Return a session that reads by way of the cache; None leaves an option as it is.

    Raises:
        ValueError: One of them is no number of seconds, or there is no `cache`.
    """
    cached, cache = session.cached, session.deployment.cache
    if type(ttl) is not float or not 0.0 < ttl < inf:
        if ttl is None and cached is None:
            raise ValueError("stale and cache_exact are for a client with cache")
        ttl = cached.ttl if ttl is None and cached is not None else checked("cache", ttl)
        if ttl == 0:
            return session.reading(None, Call)
    cache = cache or session.deployment.caching()
    if cached is not None:
        stale = cached.stale if stale is None else stale
        exact = cached.exact if exact is None else exact
    if stale is not None:
        stale = checked("stale", stale)
        cache.longest_stale = max(cache.longest_stale, stale)
    reads = CachedReads(cache, ttl, stale or 0.0, exact or False, session.options.decode)
    return session.reading(reads, CachedCall)
