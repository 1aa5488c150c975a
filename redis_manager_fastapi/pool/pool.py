"""The pool: one server's connections, their state, and the callers that wait for it.

Only the pool changes its state.  The supervisor asks it to, connections report
what they saw, and callers wait for it; every decision is synchronous, and the
Conditions only announce it.
"""

from collections.abc import Iterable
from functools import partial
from math import inf

from redis_manager_fastapi.errors import Cause, RedisUnavailableError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import Resubscribed, StateChanged
from redis_manager_fastapi.pool import errors
from redis_manager_fastapi.pool.causes import Connection, Finding, Wait, cause_of
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.dialer import Dialer
from redis_manager_fastapi.pool.follower import Follower
from redis_manager_fastapi.pool.leases import Leases
from redis_manager_fastapi.pool.links import LinkSet, MakeLink
from redis_manager_fastapi.pool.loop import LoopAffinity
from redis_manager_fastapi.pool.loop_watch import LoopWatch
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pacing import PER_TURN, turnstile
from redis_manager_fastapi.pool.renewal import Renewal
from redis_manager_fastapi.pool.state import (
    CONSEQUENCES,
    FINAL,
    IDLE,
    REFUSING,
    Meanwhile,
    PoolState,
    PoolStats,
    Suspicion,
    check_transition,
    fate_of_links,
    is_graver,
    keeps_leases,
    where,
)
from redis_manager_fastapi.pool.unblock import unblock
from redis_manager_fastapi.pool.waiting import GracePeriod, KnownRefusals, Spell, StateCondition
from redis_manager_fastapi.pool.written import Writes
from redis_manager_fastapi.settings import RedisSettings

# How far apart (seconds) the time of so many callers is up who wait in the same outage: to
# look at thousands in one turn would hold up the event loop.
_APART = 0.001


class Pool:
    """The connections to one server.

    Attributes:
        instance: The manager's name.
        state: Where the pool stands; only the pool itself changes it.
        refusing: Whether that is where a new command fails at once, or soon.
        affinity: The event loop that it may be used on.
        generation: How many sets of connections there have been.
        moves: How often another server was named the primary.
        loop_watch: Knows when that loop was blocked.
        link_set: The multiplexed connections.
        leases: The dedicated connections.
        clients: Scoped clients in use.
        short_of_replicas: Since when the server refuses writes for want of replicas.
        suspicion_changed: Announced when a suspicion arises or grows; the supervisor waits on it.
        counters: What has been counted since the manager was made.
        worn: Whether the links should be replaced, though nothing is wrong with the server.
        address: Host, port and path of the server that serves, or served last; empty before.
        peer: The other end of the sockets that serve, or served last.
        followers: Go where the pool goes.
        lets_listen: Whether those who lost their subscriptions may go ahead of commands.
    """

    def __init__(
        self,
        dialer: Dialer,
        settings: RedisSettings,
        bus: Bus,
        *,
        instance: str,
        make_link: MakeLink = MultiplexedConnection,
        writes: Writes | None = None,
    ) -> None:
        self.instance = instance
        self.settings = settings
        self.affinity = LoopAffinity(instance)
        self.loop = self.affinity.loop
        self.loop_watch = LoopWatch(self.loop)
        self.generation = self.moves = 0
        most = settings.pipelining.max_in_flight
        self.link_set = LinkSet(self, max_in_flight=most, make=make_link, writes=writes)
        self.clients = 0
        self.suspicion: Suspicion | None = None
        self.worn = self.lets_listen = False
        self.dialer = dialer
        self.leases = Leases(self, self.link_set, dialer, settings, instance=instance)
        self._renewal = Renewal(
            self, self.link_set, self.leases, settings.timeout.command, instance=instance
        )
        self._bus = bus
        self.state, self.refusing = PoolState.NEW, False
        self._reason = ""
        self._failure: Exception | None = None
        self.address: tuple[object, ...] = ()
        self._elsewhere, self._where = False, ""
        self.peer: object = None
        self.followers: tuple[Follower, ...] = ()
        self.counters = dialer.counters
        # How many had waited, been refused, or lost their reply when the pool last served.
        self._met = self.counters.waited, self.counters.refused, self.counters.lost
        self._refusals = KnownRefusals(self.loop)
        self._grace = GracePeriod(self.loop, settings)
        self.short_of_replicas = Spell(self.loop, settings.outage.grace)
        self._waiting = 0
        self._condition = StateCondition(self.loop)
        self._decision = StateCondition(self.loop)
        self.suspicion_changed = StateCondition(self.loop)

    def __repr__(self) -> str:
        return f"<Pool {self.instance!r} {self.state.value} generation={self.generation}>"

    @property
    def reason(self) -> str:
        """Why the pool does not serve; empty while it does."""
        return self._reason

    @property
    def links(self) -> tuple[MultiplexedConnection, ...]:
        """The multiplexed connections that commands may go out on; empty while not serving."""
        return self.link_set.serving

    @property
    def is_serving(self) -> bool:
        """Whether a command would go out now."""
        return bool(self.link_set.serving)

    # What callers do.

    async def wait_serving(
        self, deadline: float, grace: float | None = None, *, listens: bool = False
    ) -> None:
        """Wait until commands can go out, no longer than grace after the last reply.

        *grace*, in seconds, is the caller's own, in the place of `outage.grace`.  Who *listens*
        waits only until `let_listen` lets it go ahead.

        Raises:
            RedisUnavailableError: Grace is over, or *deadline*, on the loop's clock, came first.
            TooManyWaitersError: `pool.max_waiting` callers wait already.
            PoolClosedError: The pool is draining or closed.
            RedisNotStartedError: It was never opened, or on another event loop.
        """
        if self.links:
            return
        self.check_usable()
        limit = min(deadline, self._grace.deadline_of(grace))
        if limit <= self.loop.time():
            self.counters.refuse()
            raise self.unavailable()
        self.check_crowd()
        limit += self._waiting // PER_TURN * _APART
        self._waiting += 1
        self.counters.waited += 1
        try:
            decided = self._decided_for_listeners if listens else self._decided
            in_time = await self._decision.wait_for(decided, limit, paced=True)
        finally:
            self._waiting -= 1
        self.check_usable()
        if not in_time:
            self.counters.refuse()
            raise self.unavailable()

    async def wait_ready(self, timeout: float) -> None:
        """Wait until the pool serves, whatever grace says.

        Raises:
            RedisUnavailableError: It still does not after *timeout* seconds.
            PoolClosedError: It was closed meanwhile.
        """
        in_time = await self._decision.wait_for(self._decided, self.loop.time() + timeout)
        self.check_usable()
        if not in_time:
            raise self.unavailable()

    async def wait_resolved(
        self, generation: int, deadline: float, grace: float | None = None
    ) -> bool:
        """Wait until a suspicion is resolved; return whether *generation* serves on.

        A caller with a *grace* of its own, in seconds, waits no longer than that.
        """
        if grace is not None:
            deadline = min(deadline, self._grace.deadline_of(grace))
        await self._condition.wait_for(lambda: self.state is not PoolState.SUSPECT, deadline)
        alive = self.state in (PoolState.READY, PoolState.SUSPECT)
        return alive and self.generation == generation

    def _decided(self) -> bool:
        return bool(self.links) or self.state in FINAL

    def _decided_for_listeners(self) -> bool:
        return self.lets_listen or self._decided()

    def check_usable(self) -> None:
        """Raise unless the pool is open, or opening, on this event loop."""
        if self.state in FINAL:
            raise errors.closed(self.instance, self.state)
        self.affinity.check()

    def waiters(self) -> int:
        """How many callers wait, for the pool to serve or for a dedicated connection."""
        return self._waiting + self.link_set.waiting + len(self.leases.capacity.waiting)

    def check_crowd(self) -> None:
        """Raise `TooManyWaitersError` when no further caller may wait."""
        if self.waiters() >= self.settings.pool.max_waiting:
            raise errors.too_many_waiters(self.instance, self.waiters())

    def why_late(self, since: float, now: float, seen: Connection, of: object = None) -> Finding:
        """Return why a command has no reply, as `WhyLate` says."""
        blocked, stack = self.loop_watch.blocked(since, now)
        others = (link.last_heard for link in self.link_set.current if link is not of)
        heard_at = max(others, default=-inf) if of is not None else -inf
        cause = cause_of(Wait(since, now, blocked, seen, heard_at, self.dialer.reach))
        return Finding(cause, stack if cause is Cause.LOOP_BLOCKED else "")

    def unavailable(self) -> RedisUnavailableError:
        """Return the error for a command that could not go out."""
        return errors.unavailable(self._failure, self.instance, self.state, self._reason)

    # What connections report.

    def link_lost(self, link: MultiplexedConnection, reason: str) -> None:
        """A multiplexed connection is gone."""
        if self.link_set.discard(link):
            self._grace.reply_at(link.last_heard)
            self.suspect(self.generation, Suspicion.LINK_LOST, reason)
        elif self.state is PoolState.DRAINING:
            self._condition.notify_all()

    def link_heard(self, link: MultiplexedConnection) -> None:
        """Bytes came over a suspended link: it serves again."""
        link.suspected = False
        if self.state is not PoolState.SUSPECT or link not in self.link_set.suspended:
            return
        self.link_set.resume(link)
        if self.link_set.suspended:
            self.suspicion = Suspicion.LINK_QUIET
            self._condition.notify_all()
            self.suspicion_changed.notify_all()
            return
        self.clear_suspicion()
        if len(self.links) < self.settings.pipelining.connections:
            self.suspect(self.generation, Suspicion.LINK_LOST, "another connection broke")

    def link_quiet(self, link: MultiplexedConnection, reason: str) -> None:
        """A heartbeat was not answered over *link*: others serve on, if there are any."""
        if link not in self.links:
            return
        if len(self.links) == 1:
            self.suspect(self.generation, Suspicion.SILENT, reason)
            return
        self.link_set.suspend(link)
        self.suspect(self.generation, Suspicion.LINK_QUIET, reason)

    def link_worn(self, link: MultiplexedConnection) -> None:
        """A link should be replaced: as at the end of its lifetime, without an error."""
        if link in self.links:
            self.worn = True
            self.suspicion_changed.notify_all()

    def timer_fired(self, due: float) -> None:
        """Note a timer that was due at *due*: if it is late, the event loop was blocked."""
        self.loop_watch.timer_fired(due)

    def suspect(self, generation: int, suspicion: Suspicion, reason: str) -> None:
        """Have the supervisor find out; a report about an old generation is ignored."""
        if generation != self.generation or self.state not in (PoolState.READY, PoolState.SUSPECT):
            return
        if not is_graver(suspicion, self.suspicion):
            return
        if suspicion is Suspicion.REFUSING and self._refusals.known:
            return
        self.suspicion = suspicion
        last_heard, links = self.link_set.last_heard, CONSEQUENCES[suspicion].links
        if links is not Meanwhile.SERVE:
            self._grace.reply_at(last_heard)
            self.link_set.suspend()
        if links is Meanwhile.LEAVE:
            self.link_set.leave()
            self.leases.abort_all()
        if self.state is PoolState.READY:
            self._grace.stop_serving(last_heard)
            self._move(PoolState.SUSPECT, reason)
        self.suspicion_changed.notify_all()

    def resubscribed(self, channels: int, seconds: float) -> None:
        """A pub/sub's channels are back, which heard nothing for so many seconds."""
        self.counters.resubscribed += 1
        self.counters.missed += seconds
        self._bus.emit(Resubscribed(self.instance, channels, seconds))

    def moved(self, reason: str) -> None:
        """Another server is the primary now: send nothing more to this one, and go there."""
        self.moves += 1
        self.dialer.forget()
        if self.state is PoolState.DOWN:
            self.suspicion = Suspicion.MOVED
            self.suspicion_changed.notify_all()
            for follower in self.followers:
                follower.pool_changed()
        else:
            self.suspect(self.generation, Suspicion.MOVED, reason)

    # What the supervisor asks for.

    def start(self) -> None:
        """Begin to open."""
        self._grace.reset()
        self._move(PoolState.STARTING, "opening")

    async def wait_settled(self) -> None:
        """Wait until the first probe has ended, well or not."""
        await self._condition.wait_for(lambda: self.state is not PoolState.STARTING, None)

    async def let_listen(self, peer: object) -> None:
        """Return once those who listen do so at the server that the pool will serve next."""
        revival = self.leases.revival
        self.lets_listen = bool(revival.missing)
        if self.lets_listen:
            self._decision.notify_all()
        try:
            for follower in self.followers:
                await follower.before_serving(peer)
            await revival.wait_all_back()
        finally:
            self.lets_listen = False

    def clear_suspicion(self) -> None:
        """Go on serving with the connections that there are."""
        self.link_set.resume()
        self.suspicion = None
        self._move(PoolState.READY, "the server still answers")

    def serve_on(self) -> None:
        """Go on without the links that are suspended, until all of them can be replaced."""
        for link in self.link_set.suspended:
            self.link_set.discard(link)
            link.abort("it was silent")
        self.worn = True
        self.clear_suspicion()

    def install(self, connections: list[DedicatedConnection]) -> None:
        """Serve with a new generation; `Suspicion` says what becomes of the old one.

        Without a suspicion, as when connections have reached their lifetime, nobody notices.
        """
        elsewhere, self.address = self.address != connections[0].address, connections[0].address
        self._elsewhere = elsewhere and self.generation > 0
        self._where = where(*self.address)
        peer = connections[0].peer
        same, self.peer = not elsewhere and peer == self.peer, peer
        down = self.state is PoolState.DOWN
        fate = fate_of_links(self.suspicion, elsewhere=elsewhere)
        keep = keeps_leases(self.suspicion, elsewhere=elsewhere, same=same, down=down)
        if self.suspicion is Suspicion.REFUSING or not same:
            self._refusals.found(again=same)
        heard_since = self.loop.time() - self.settings.health.interval
        self.generation += 1
        self.link_set.replace(connections, fate, heard_since=heard_since)
        if connections[0].tokens is not None:
            self._renewal.installed(connections[0].tokens)
        self.suspicion, self.worn = None, False
        if self.leases.revival.ahead:
            self.leases.revival.adopt(self.generation)
        self.leases.close_stale(leased=not keep, moved=not same)
        if self.state is PoolState.READY:
            self._condition.notify_all()
            for follower in self.followers:
                follower.pool_changed()
        else:
            self._move(PoolState.READY, "serving")

    def mark_down(self, error: Exception) -> None:
        """Fail what is in flight; what comes now waits, and fails when grace is over."""
        self._grace.reply_at(self.link_set.last_heard)
        self.link_set.abort(str(error))
        self.suspicion = None
        self._reason, self._failure = str(error), error
        if self.state is not PoolState.DOWN:
            self._move(PoolState.DOWN, str(error))
        self.leases.abort_all()

    # Closing.

    async def drain(self, timeout: float) -> None:
        """Take no more commands, fail waiting callers, and give the others *timeout* seconds."""
        serving = self.is_serving
        draining = self.link_set.take_all()
        self._move(PoolState.DRAINING, "closing")
        self.leases.capacity.fail_waiting(lambda: errors.closed(self.instance, self.state))
        try:
            if serving:
                ends = self.loop.time() + timeout
                closed = partial(errors.closed, self.instance, self.state)
                if blocking := self.leases.say_goodbye(closed, ends):
                    await unblock(draining[0], blocking, ends)
                for link in draining:
                    link.retire()
                self.leases.when_returned = self._condition.notify_all
                await self._condition.wait_for(
                    lambda: all(link.lost for link in draining) and not self.leases.at_work, ends
                )
        finally:
            for link in draining:
                link.abort("closed", Cause.CLOSED)

    def close(self) -> None:
        """Drop every connection; final."""
        if self.state is PoolState.CLOSED:
            return
        if self.state is not PoolState.DRAINING:
            self._move(PoolState.DRAINING, "closing")
        for link in self.link_set.take_all():
            link.abort("closed", Cause.CLOSED)
        self._renewal.close()
        self.loop_watch.close()
        self.leases.close()
        self._move(PoolState.CLOSED, "closed")

    async def wait_notified(self) -> None:
        """Wait until the last change of state has reached every waiting task."""
        await self._condition.settle()
        await self._decision.settle()
        await self.suspicion_changed.settle()
        await turnstile().all_told()
        await self._renewal.settle()

    def revoke(self, connections: Iterable[DedicatedConnection]) -> list[str]:
        """Release leases that were never returned; return their purposes."""
        return self.leases.revoke(connections)

    def stats(self) -> PoolStats:
        """Return the counters of this instant."""
        capacity = self.leases.capacity
        return PoolStats(
            instance=self.instance,
            state=self.state,
            serving=self.is_serving,
            generation=self.generation,
            reason=self.reason,
            links=len(self.links),
            in_flight=self.link_set.in_flight,
            idle=capacity.idle,
            leased=len(capacity.leased),
            opening=capacity.opening,
            waiting=self.waiters(),
            clients=self.clients,
            grace_used=0.0 if self.is_serving or self.state in IDLE else self._grace.used,
            **self.counters.fields(),
        )

    def _move(self, new: PoolState, reason: str) -> None:
        previous = self.state
        check_transition(previous, new)
        self.state, self.refusing = new, new in REFUSING
        self._reason = "" if new is PoolState.READY else reason
        if new is PoolState.READY:
            self._failure = None
        serves, counters, met = new is PoolState.READY, self.counters, self._met
        waited, refused = counters.waited - met[0], counters.refused - met[1]
        outage, used = (self._grace.outage, self._grace.used) if serves else (0.0, 0.0)
        if waited or refused:
            counters.grace_longest = max(counters.grace_longest, used)
        self._bus.emit(
            StateChanged(
                self.instance,
                previous.value,
                new.value,
                self.generation,
                reason,
                outage,
                address=self._where,
                elsewhere=serves and self._elsewhere,
                waited=waited,
                refused=refused,
                lost=counters.lost - met[2],
            )
        )
        if serves:
            self._met = counters.waited, counters.refused, counters.lost
            self._elsewhere = False
        self._condition.notify_all()
        if self.link_set.serving or new in FINAL:
            self._decision.notify_all()
        for follower in self.followers:
            follower.pool_changed()
