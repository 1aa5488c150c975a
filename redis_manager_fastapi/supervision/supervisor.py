"""The task that keeps one pool alive.

It sleeps until the pool is suspected or a heartbeat is due.  Then it probes the
server, and the pool goes on serving, goes down or starts a new generation.
Nothing else probes, so the server sees one attempt at a time however many
callers meet an outage.
"""

import asyncio
import random

from redis_manager_fastapi.errors import RedisUnavailableError
from redis_manager_fastapi.observe.bus import Bus
from redis_manager_fastapi.observe.events import ProbeFailed
from redis_manager_fastapi.observe.log import InternalErrors
from redis_manager_fastapi.pool.dedicated import DedicatedConnection
from redis_manager_fastapi.pool.loop_watch import BLOCKED
from redis_manager_fastapi.pool.multiplexed import MultiplexedConnection
from redis_manager_fastapi.pool.pool import Pool
from redis_manager_fastapi.pool.state import CONSEQUENCES, FINAL, OF_ONE_LINK, PoolState, Suspicion
from redis_manager_fastapi.supervision.probing import HedgedConnect, Pulse, answers
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.topology.failures import from_reply

# How long (seconds) a pool that could serve waits for who listens.
_HEAD_START = 0.2


class Supervisor:
    """Heals one pool until it is stopped."""

    def __init__(self, pool: Pool, bus: Bus) -> None:
        self._pool = pool
        self._bus = bus
        self._health = pool.settings.health
        self._backoff = FullJitter(self._health.backoff_base, self._health.backoff_cap)
        self._attempts = HedgedConnect(pool)
        self._healed_at = float("-inf")
        self._pulses: dict[MultiplexedConnection, Pulse] = {}
        self._next_pulse = float("-inf")
        self._renewal: asyncio.Task[None] | None = None
        self._renew_after = float("-inf")
        # Processes that started together do not all connect again together.
        part = random.uniform(0.9, 1.0)  # noqa: S311 (spreads load, keeps no secret)
        self._lifetime = part * pool.settings.pool.max_lifetime
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._errors = InternalErrors(pool.instance, "supervisor")

    def start(self) -> None:
        """Start the task."""
        name = f"redis-supervisor-{self._pool.instance}"
        self._task = self._pool.loop.create_task(self._run(), name=name)

    async def stop(self) -> None:
        """End the task and whatever it was doing."""
        self._stopped = True
        task, self._task = self._task, None
        running = {each for each in (task, self._renewal) if each is not None}
        if running:
            await end(running)

    async def _run(self) -> None:
        # A cancellation that something below swallowed must not keep the task alive.
        while not self._stopped and self._pool.state not in FINAL:
            try:
                await self._tend()
            except Exception as error:
                self._errors.tell(error)
                await asyncio.sleep(self._health.backoff_cap)

    async def _tend(self) -> None:
        """Do what the pool's state asks for, once."""
        pool = self._pool
        if pool.state is PoolState.READY:
            due, changed = max(self._due(), pool.loop.time()), pool.suspicion_changed
            if not await changed.wait_for(self._is_called, due):
                if pool.loop.time() - due > BLOCKED:
                    pool.timer_fired(due)
                # The timer may fire a step of the clock early.
                self._heartbeat(max(due, pool.loop.time()))
            self._renew()
        elif pool.state is PoolState.SUSPECT:
            await self._examine()
        else:
            await self._heal()

    def _is_called(self) -> bool:
        """Whether there is more to do than heartbeats."""
        return self._pool.state is not PoolState.READY or self._may_renew(worn_only=True)

    def _due(self) -> float:
        """Return when a heartbeat is due, or its answer."""
        waiting = [pulse.due for pulse in self._pulses.values() if not pulse.answered]
        return min(self._next_pulse, *waiting) if waiting else self._next_pulse

    def _heartbeat(self, now: float) -> None:
        """Look after the heartbeats that are out; send the next ones when it is time.

        They go out under traffic as in silence: each proves that the replies before it
        went to their own callers.
        """
        pool = self._pool
        if any(pulse.due <= now and not pulse.answered for pulse in self._pulses.values()):
            pool.loop_watch.look()
        for link, pulse in list(self._pulses.items()):
            silent = pulse.is_silent(now)
            if link not in pool.links or pulse.answered:
                del self._pulses[link]
                answer = pulse.answer
                if answer is not None and link in pool.links and not pool.dialer.serves(answer):
                    reason = str(from_reply(answer, pool.instance))
                    pool.suspect(pool.generation, Suspicion.REFUSING, reason)
            elif silent:
                del self._pulses[link]
                reason = f"no reply for {self._health.interval + self._health.timeout:g} s"
                pool.link_quiet(link, reason)
        if now >= self._next_pulse:
            self._next_pulse = now + self._health.interval
            pool.leases.close_stale(leased=False)
            for link in pool.links:
                if link not in self._pulses:
                    self._pulses[link] = Pulse(link, self._health.timeout)

    def _may_renew(self, *, worn_only: bool = False) -> bool:
        """Whether the connections have served long enough, and no others are being made."""
        pool, now = self._pool, self._pool.loop.time()
        if self._renewal is not None or now < self._renew_after:
            return False
        old = not worn_only and now >= pool.link_set.opened_at + self._lifetime
        return pool.worn or old

    def _renew(self) -> None:
        """Replace the connections at the end of their lifetime; they finish what is in flight.

        A name that leads to another server by now is followed in this way.
        """
        pool = self._pool
        if pool.state is PoolState.READY and self._may_renew():
            pause = self._health.backoff_cap if pool.worn else self._lifetime / 100
            self._renew_after = pool.loop.time() + max(pause, self._health.backoff_cap)
            self._renewal = pool.loop.create_task(self._replace(pool.generation, pool.moves))

    async def _replace(self, generation: int, moves: int) -> None:
        pool = self._pool
        try:
            connections = await self._attempts.connect()
            if pool.followers or pool.leases.revival.missing:
                await self._let_listen(connections)
        except RedisUnavailableError:
            return  # those that there are serve on, and it is tried again
        except Exception as error:
            self._errors.tell(error)
            return
        finally:
            self._renewal = None
        unchanged = (generation, moves) == (pool.generation, pool.moves)
        if unchanged and pool.state is PoolState.READY:
            pool.install(connections)
            return
        for connection in connections:
            connection.abort()

    async def _examine(self) -> None:
        """Find out whether the suspicion holds: by a PING on the links if that can tell."""
        pool, suspicion = self._pool, self._pool.suspicion
        if suspicion is not None and CONSEQUENCES[suspicion].ask_first and pool.links:
            serves, timeout = pool.dialer.serves, self._health.timeout
            answered = await asyncio.gather(
                *(answers(link, timeout, serves) for link in pool.links)
            )
            if pool.state is not PoolState.SUSPECT or pool.suspicion is not suspicion:
                return
            if all(answered):
                pool.clear_suspicion()
                return
            pool.suspect(pool.generation, Suspicion.SILENT, "no reply to a heartbeat")
        await self._heal()

    async def _heal(self) -> None:
        """Probe once; a server that serves gets a new generation."""
        pool = self._pool
        if self._renewal is not None:
            await end({self._renewal})
        await self._pause()
        if pool.state in (PoolState.READY, *FINAL):
            return
        moves = pool.moves
        try:
            connections = await self._attempts.connect()
        except RedisUnavailableError as error:
            if not await self._others_serve():
                self._failed(error)
            return
        if pool.followers or pool.leases.revival.missing:
            await self._let_listen(connections)
        if pool.state is PoolState.READY and connections[0].address != pool.address:
            # The old server answers again, but is not the one to go to any more.
            pool.suspect(pool.generation, Suspicion.MOVED, "another server is the primary")
        if moves != pool.moves or pool.state in (PoolState.READY, *FINAL):
            for connection in connections:
                connection.abort()
            return
        pool.install(connections)
        self._healed_at = pool.loop.time()
        self._next_pulse = self._healed_at + self._health.interval
        self._errors.told = None

    async def _others_serve(self) -> bool:
        """Have the pool serve on if only one of its links is in trouble, and the others answer.

        The server may be there and take no more connections; it is asked again meanwhile.
        """
        pool = self._pool
        if pool.suspicion not in OF_ONE_LINK or not pool.links:
            return False
        serves, timeout = pool.dialer.serves, self._health.timeout
        answered = await asyncio.gather(*(answers(link, timeout, serves) for link in pool.links))
        if not all(answered) or pool.suspicion not in OF_ONE_LINK or not pool.links:
            return False
        self._renew_after = pool.loop.time() + self._health.backoff_cap
        pool.serve_on()
        return True

    async def _let_listen(self, connections: list[DedicatedConnection]) -> None:
        """Give who listens a moment to be there first: what waits may be for it."""
        try:
            async with asyncio.timeout(_HEAD_START):
                await self._pool.let_listen(connections[0].peer)
        except TimeoutError:
            pass
        except Exception as error:
            self._errors.tell(error)
        except BaseException:
            for connection in connections:
                connection.abort()
            raise

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
