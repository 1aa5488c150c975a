"""The task that keeps one pool alive.

It sleeps until the pool is suspected or a heartbeat is due.  Then it probes the
server, and the pool goes on serving, goes down or starts a new generation.
Nothing else probes, so the server sees one attempt at a time however many
callers meet an outage.
"""

import asyncio
import logging
import random
from collections.abc import Iterable

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.observe.events import Bus, ProbeFailed
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import CONSEQUENCES, FINAL, PoolState, Suspicion
from redis_manager_fastapi.supervision.probing import HedgedConnect, answers
from redis_manager_fastapi.tasks import end

logger = logging.getLogger("redis_manager_fastapi")


class Supervisor:
    """Heals one pool until it is stopped."""

    def __init__(self, pool: Pool, bus: Bus) -> None:
        self._pool = pool
        self._bus = bus
        self._health = pool.settings.health
        self._backoff = FullJitter(self._health.backoff_base, self._health.backoff_cap)
        self._attempts = HedgedConnect(pool)
        self._healed_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._logged: str | None = None

    def start(self) -> None:
        """Start the task."""
        name = f"redis-supervisor-{self._pool.instance}"
        self._task = self._pool.loop.create_task(self._run(), name=name)

    async def stop(self) -> None:
        """End the task and whatever it was doing."""
        self._stopped = True
        task, self._task = self._task, None
        if task is not None:
            await end({task})

    async def _run(self) -> None:
        # A cancellation that something below swallowed must not keep the task alive.
        while not self._stopped and self._pool.state not in FINAL:
            try:
                await self._tend()
            except Exception as error:
                self._log_once(error)
                await asyncio.sleep(self._health.backoff_cap)

    async def _tend(self) -> None:
        """Do what the pool's state asks for, once."""
        pool = self._pool
        if pool.state is PoolState.READY:
            due, changed = self._heartbeat_due(), pool.suspicion_changed
            if not await changed.wait_for(lambda: pool.state is not PoolState.READY, due):
                # The timer may fire a step of the clock early.
                await self._heartbeat(max(due, pool.loop.time()))
        elif pool.state is PoolState.SUSPECT:
            await self._examine()
        else:
            await self._heal()

    def _heartbeat_due(self) -> float:
        now = self._pool.loop.time()
        return min(map(self._due, self._pool.links), default=now + self._health.interval)

    def _due(self, link: MultiplexedConnection) -> float:
        return link.last_heard + self._health.interval

    async def _heartbeat(self, now: float) -> None:
        """Ask each connection that has been silent for an interval, and close idle ones in time."""
        pool = self._pool
        pool.leases.close_stale(leased=False)
        generation = pool.generation
        quiet = [link for link in pool.links if self._due(link) <= now]
        answered = await self._answers(quiet)
        if any(not well and not link.lost for link, well in zip(quiet, answered, strict=True)):
            reason = f"no reply for {self._health.interval + self._health.timeout:g} s"
            pool.suspect(generation, Suspicion.SILENT, reason)

    async def _examine(self) -> None:
        """Find out whether the suspicion holds: by a PING on the links if that can tell."""
        pool, suspicion = self._pool, self._pool.suspicion
        if suspicion is not None and CONSEQUENCES[suspicion].ask_first and pool.links:
            answered = await self._answers(pool.links)
            if pool.state is not PoolState.SUSPECT or pool.suspicion is not suspicion:
                return
            if all(answered):
                pool.clear_suspicion()
                return
            pool.suspect(pool.generation, Suspicion.SILENT, "no reply to a heartbeat")
        await self._heal()

    async def _answers(self, links: Iterable[MultiplexedConnection]) -> list[bool]:
        serves, timeout = self._pool.dialer.serves, self._health.timeout
        return await asyncio.gather(*(answers(link, timeout, serves) for link in links))

    async def _heal(self) -> None:
        """Probe once; a server that serves gets a new generation."""
        pool = self._pool
        await self._pause()
        if pool.state in (PoolState.READY, *FINAL):
            return
        moves = pool.moves
        try:
            connections = await self._attempts.connect()
        except RedisUnavailableError as error:
            self._failed(error)
            return
        if moves != pool.moves or pool.state in (PoolState.READY, *FINAL):
            for connection in connections:
                connection.abort()
            return
        pool.install(connections)
        self._healed_at = pool.loop.time()
        self._logged = None

    async def _pause(self) -> None:
        """Keep probes apart, after a failure and after a heal that did not last."""
        served = self._pool.loop.time() - self._healed_at
        if self._pool.state is PoolState.SUSPECT and served >= self._health.backoff_cap:
            self._backoff.reset()
        elif self._pool.state is not PoolState.STARTING or self._backoff.attempts:
            # Counted from the start of the last attempt: one that hung has kept its distance.
            ends = self._attempts.begun_at + self._backoff.pause()
            await self._pool.suspicion_changed.wait_for(self._urgent, ends)

    def _urgent(self) -> bool:
        """Whether there is something to try at once, such as a new primary."""
        suspicion = self._pool.suspicion
        return suspicion is not None and not CONSEQUENCES[suspicion].backoff

    def _failed(self, error: RedisUnavailableError) -> None:
        if self._pool.state in (PoolState.READY, *FINAL):
            return
        if not self._backoff.attempts:
            self._backoff.attempts = 1
        self._pool.mark_down(error)
        self._bus.emit(ProbeFailed(self._pool.instance, error, self._backoff.attempts))

    def _log_once(self, error: Exception) -> None:
        """Log an exception of the supervisor itself, once while it repeats."""
        if self._logged != repr(error):
            self._logged = repr(error)
            logger.error(
                "the supervisor of redis %r failed; it continues",
                self._pool.instance,
                exc_info=error,
            )


class FullJitter:
    """Exponential backoff with full jitter: uniform between 0 and the exponential step.

    The rule, and why all of the step is random, is from Marc Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        base: The first step, in seconds.
        cap: The longest step, in seconds.
    """

    def __init__(self, base: float, cap: float) -> None:
        self.attempts = 0
        self._base = base
        self._cap = cap
        self._random = random.Random()  # noqa: S311 (spreads load, keeps no secret)

    def reset(self) -> None:
        """Begin again from the base."""
        self.attempts = 0

    def pause(self) -> float:
        """Count an attempt and return how long to wait before the next, in seconds."""
        # Beyond 2**16 steps every base has reached its cap.
        step = min(self._cap, self._base * 2 ** min(self.attempts, 16))
        self.attempts += 1
        return self._random.uniform(0, step)
