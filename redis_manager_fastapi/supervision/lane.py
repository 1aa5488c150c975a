"""A tracked connection next to a pool's own: what cached reads go by, and what keeps them true.

It is a pool of its own with one connection, healed by a supervisor like every other, at the
server that the pool serves from.  Its `Life` ends with the connection, with any suspicion,
and when the pool goes elsewhere.
"""

import asyncio
from functools import partial

from redis.exceptions import ResponseError

from redis_manager_fastapi.caching.asking import Asking
from redis_manager_fastapi.caching.cache import ClientCache
from redis_manager_fastapi.caching.store import Life
from redis_manager_fastapi.caching.tracked import TrackedConnection
from redis_manager_fastapi.caching.tracking import Tracking
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import Event, ProbeFailed
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import FINAL, PoolState
from redis_manager_fastapi.supervision.supervisor import Supervisor
from redis_manager_fastapi.topology.interface import Topology
from redis_manager_fastapi.topology.tls_context import SharedTLSContext

_OPENING = "connecting"


class Lane:
    """The tracked connection to one server.

    Args:
        pool: Whose server it is.
        topology: Says where that is.
        cache: What is read by it.
        tls: The manager's TLS context.
        place: What its replies belong to: the node of a Cluster.

    Attributes:
        instance: The manager's name.
        plain: Whether replies have to have the form of RESP2.
        link: The connection; None while nothing is served.
        life: What its replies live by; the last one's, while nothing is served.
        asking: What takes cached reads; None while nothing is served.
        off_since: Since when nothing is, on the monotonic clock; None while something is.
        reason: Why not; empty while something is.
        refused_by: The pool's generation whose server does not track; None if none does not.
    """

    def __init__(
        self,
        pool: Pool,
        topology: Topology,
        cache: ClientCache,
        tls: SharedTLSContext | None,
        place: object = None,
    ) -> None:
        self.instance, self.plain = pool.instance, cache.plain
        self.link: TrackedConnection | None = None
        self.asking: Asking | None = None
        self.reason = _OPENING
        self.refused_by: int | None = None
        self._cache, self._place, self._main = cache, place, pool
        self._clock, self._thread = pool.affinity.clock, pool.affinity.thread
        self.off_since: float | None = self._clock()
        self._tracking = Tracking(topology, pool.dialer)
        settings = pool.settings
        one = settings.pipelining.model_copy(update={"connections": 1})
        none = settings.outage.model_copy(update={"grace": 0.0})  # nobody waits for a lane
        settings = settings.model_copy(update={"pipelining": one, "outage": none})
        health = settings.health
        self._window = health.interval + health.timeout
        self.life = Life(0, self._clock, self._thread, self._window, place)
        self.life.end()
        dialer = Dialer(
            self._tracking, settings, instance=self.instance, tls=tls, counters=pool.counters
        )
        dialer.beside = lambda: pool.peer  # what another server has is not what this one has
        bus = Bus((self._heard,))
        make = partial(TrackedConnection, tracker=self)
        self._pool = Pool(dialer, settings, bus, instance=self.instance, make_link=make)
        # What has a large reply is large on either lane, and takes a connection of its own.
        self._pool.link_set.room.alone = pool.link_set.room.alone
        self._pool.followers = (_Own(self),)
        self._follower = _Main(self)
        self._moves, self._peer = pool.moves, pool.peer
        self._supervisor = Supervisor(self._pool, bus)
        self._ending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Lane of redis {self.instance!r} {self.reason or 'serving'}>"

    def start(self) -> None:
        """Begin to connect, and stay connected until `aclose()`."""
        self._main.followers = (*self._main.followers, self._follower)
        self._cache.enter(self)
        self._pool.start()
        self._supervisor.start()

    async def aclose(self) -> None:
        """Serve nothing more, and drop the connection."""
        self._stop("closed")
        self.leave()
        if self._ending is not None:
            await self._ending
        else:
            await self._end()

    def leave(self) -> None:
        """Follow the pool no longer, and count no more."""
        followers = self._main.followers
        self._main.followers = tuple(each for each in followers if each is not self._follower)
        self._cache.leave(self)

    # What the connection says.

    def changed(self, link: TrackedConnection, keys: list[bytes] | None) -> None:
        """Drop what was read from *keys*; None is from any, as after FLUSHALL."""
        if keys is not None:
            for key in keys:
                self._cache.store.changed(key)
        elif link is self.link:
            self.life.end(void=True)
            self.life = self._begin_life()
            self.asking = Asking(link, self.life)
            self._cache.life_ended(self._pool.loop)

    def confirmed(self, link: TrackedConnection, at: float) -> None:
        """What had changed by then has been told."""
        if link is self.link:
            self.life.confirm(at)

    def doubted(self, link: TrackedConnection) -> None:
        """What was read since the last heartbeat is not even the last known value."""
        if link is self.link:
            self.life.doubt()

    # What the pools say.

    def own_pool_changed(self) -> None:
        """Serve by the connection that serves now, or by none.

        It is called in the turn in which the connection is lost, suspected or replaced,
        before anybody who waits on it goes on.
        """
        pool = self._pool
        link = pool.link_set.only if pool.state is PoolState.READY else None
        if link is self.link:
            return
        self._stop(pool.reason or "its connection is replaced")
        if isinstance(link, TrackedConnection) and not link.lost:
            self.link, self.life = link, self._begin_life()
            self.asking = Asking(link, self.life)
            self.off_since, self.reason = None, ""
            self._cache.tell(serving=True)

    def main_pool_changed(self) -> None:
        """Leave a server that the pool leaves."""
        main = self._main
        if main.state in FINAL:
            self._stop("closed")
            return
        elsewhere = main.state is PoolState.READY and main.peer != self._peer
        if main.moves == self._moves and not elsewhere:
            return
        self._moves = main.moves
        if main.state is PoolState.READY:
            self._peer = main.peer
        if self._pool.state not in FINAL:
            self._pool.moved("the server is another one")

    def _heard(self, event: Event) -> None:
        """Give up on a server that does not track."""
        if isinstance(event, ProbeFailed) and self.refused_by is None:
            reason = self._tracking.refusal or _unspoken(event.error)
            if reason:
                self._stop(reason)
                self.reason, self.refused_by = reason, self._main.generation
                self._cache.tell(serving=False, reason=reason, refused=True)
                self._ending = self._pool.loop.create_task(self._end())

    # Inside.

    def _begin_life(self) -> Life:
        return self._cache.store.begin_life(self._clock, self._thread, self._window, self._place)

    def _stop(self, reason: str) -> None:
        if self.link is None:
            return
        self.link = self.asking = None
        self.life.end()
        self.off_since, self.reason = self._clock(), reason
        self._cache.life_ended(self._pool.loop)
        self._cache.tell(serving=False, reason=reason)

    async def _end(self) -> None:
        try:
            await self._supervisor.stop()
        finally:
            self._pool.close()
        await self._pool.wait_notified()


def _unspoken(error: Exception) -> str:
    """Return that the server does not speak RESP3, if that is what an error says."""
    cause: BaseException | None = error
    while cause is not None:
        said = str(cause).upper() if isinstance(cause, ResponseError) else ""
        if "HELLO" in said or "NOPROTO" in said:
            return "it needs Redis 7.0 or later, and this server does not speak RESP3"
        cause = cause.__cause__
    return ""


class _Own:
    """Follows the lane's own pool."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def pool_changed(self) -> None:
        """Tell the lane."""
        self._lane.own_pool_changed()

    async def before_serving(self, peer: object) -> None:
        """Keep nobody waiting."""


class _Main(_Own):
    """Follows the pool next to it."""

    def pool_changed(self) -> None:
        """Tell the lane."""
        self._lane.main_pool_changed()
