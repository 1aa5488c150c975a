"""Row 43: a random schedule of faults, under load, held against a model of what may have happened.

The model is the ledger: at any moment a counter on the server is at least what
callers were told had run, and at most what they were not told had not.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.exceptions import ExecAbortError, OutOfMemoryError

from redis_manager_fastapi import RedisManagerError
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.testing import FaultProxy, RedisServer
from tests.kit.invariants import upheld
from tests.kit.servers import has
from tests.kit.trial import Trial

KINDS = ("read", "read", "write", "write", "transact", "block", "read_batch", "gather")
LONGEST = 1.5  # seconds of one fault
PAUSES = [("ALL",), ("WRITE",)] if has(redis="6.2") else [()]


class Chaos:
    """Faults in an order that the seed decides.

    Attributes:
        met: How often each fault was made.
    """

    def __init__(self, trial: Trial, server: RedisServer, proxy: FaultProxy, seed: int) -> None:
        self.met: Counter[str] = Counter()
        self._trial = trial
        self._server = server
        self._proxy = proxy
        self._random = random.Random(seed)
        self._faults: list[Callable[[float], Awaitable[None]]] = [
            self._kill,
            self._stop,
            self._reset,
            self._reset_at,
            self._truncate,
            self._black_hole,
            self._replies_lost,
            self._half_close,
            self._delay,
            self._drip,
            self._refuse,
            self._client_kill,
            self._pause,
            self._out_of_memory,
            self._demote,
            self._maxclients,
            self._idle_timeout,
            self._stall,
        ]

    async def run(self, seconds: float) -> None:
        """Make one fault after the other, and see it healed and the model kept."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            fault = self._random.choice(self._faults)
            self.met[fault.__name__.strip("_")] += 1
            await fault(self._random.uniform(0, LONGEST))
            await self._proxy.pass_through()
            await self._healed()
            await self._consistent()
            await asyncio.sleep(self._random.uniform(0, 0.2))

    async def _healed(self) -> None:
        """Reads work again soon, and by then the manager says so."""
        bound = self._trial.now + 5
        while await self._trial.read() is not None:
            assert self._trial.now < bound, f"not healed after {self.met}"
            await asyncio.sleep(0.01)

    async def _consistent(self) -> None:
        """Compare with the model while callers go on."""
        before = {name: ledger.ran for name, ledger in self._trial.ledgers.items()}
        # In one question: a fault may have left the server with a `timeout` of a second.
        values = await self._server.command("MGET", *before)
        counters = {name: int(value or 0) for name, value in zip(before, values, strict=True)}
        for name, ledger in self._trial.ledgers.items():
            assert before[name] <= counters[name] <= ledger.begun - ledger.refused

    # The faults; each is over when it returns, or with the proxy's next `pass_through`.

    async def _kill(self, seconds: float) -> None:
        await self._server.restart(seconds, crash=True)

    async def _stop(self, seconds: float) -> None:
        self._server.pause()
        await asyncio.sleep(seconds)
        self._server.resume()

    async def _reset(self, seconds: float) -> None:
        await self._proxy.reset()

    async def _reset_at(self, seconds: float) -> None:
        direction: Any = self._random.choice(["to_client", "to_server"])
        await self._proxy.reset_at(self._random.randrange(2000), direction=direction)
        await asyncio.sleep(seconds / 4)

    async def _truncate(self, seconds: float) -> None:
        await self._proxy.truncate_at(self._random.randrange(2000), once=True)
        await asyncio.sleep(seconds / 4)

    async def _black_hole(self, seconds: float) -> None:
        await self._proxy.black_hole(new=self._random.random() < 0.7)
        await asyncio.sleep(seconds)

    async def _replies_lost(self, seconds: float) -> None:
        await self._proxy.black_hole(to_server=False)
        await asyncio.sleep(seconds)

    async def _half_close(self, seconds: float) -> None:
        await self._proxy.half_close()

    async def _delay(self, seconds: float) -> None:
        await self._proxy.delay(to_client=seconds / 4, to_server=seconds / 8)
        await asyncio.sleep(seconds)

    async def _drip(self, seconds: float) -> None:
        await self._proxy.drip(self._random.randrange(1, 100), 0.02, direction="to_client")
        await asyncio.sleep(seconds)

    async def _refuse(self, seconds: float) -> None:
        await self._proxy.refuse(cut=True)
        await asyncio.sleep(seconds)

    async def _client_kill(self, seconds: float) -> None:
        for _ in range(self._random.randrange(1, 5)):
            await self._server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await asyncio.sleep(seconds / 10)

    async def _pause(self, seconds: float) -> None:
        milliseconds = int(seconds * 500) + 1
        await self._server.command("CLIENT", "PAUSE", milliseconds, *self._random.choice(PAUSES))
        await asyncio.sleep(seconds / 2)

    async def _out_of_memory(self, seconds: float) -> None:
        await self._server.config_set("maxmemory", 1)
        await asyncio.sleep(seconds / 2)
        await self._server.config_set("maxmemory", 0)

    async def _demote(self, seconds: float) -> None:
        async with self._server.client() as admin:
            await admin.execute_command("REPLICAOF", "127.0.0.1", 1)
            await asyncio.sleep(seconds / 2)
            await admin.execute_command("REPLICAOF", "NO", "ONE")

    async def _maxclients(self, seconds: float) -> None:
        async with self._server.client() as admin:
            await admin.config_set("maxclients", 2)
            await self._proxy.reset()
            await asyncio.sleep(seconds / 2)
            await admin.config_set("maxclients", 1000)

    async def _idle_timeout(self, seconds: float) -> None:
        await self._server.config_set("timeout", 1)
        await asyncio.sleep(seconds)

    async def _stall(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 (the fault)


class Newspaper:
    """A subscription that is made anew whenever it breaks, and a publisher."""

    def __init__(self, trial: Trial) -> None:
        self._redis = trial.redis
        self._expected: tuple[type[Exception], ...] = (RedisManagerError, *trial.own_mistakes)
        self._heard: list[int] = []

    @asynccontextmanager
    async def appears(self) -> AsyncIterator[None]:
        """Publish and listen until the block ends."""
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._publish())]
        try:
            yield
        finally:
            await end(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()
        heard = self._heard
        assert heard == sorted(set(heard)), "a message came twice, or out of order"

    async def _listen(self) -> None:
        while True:
            with suppress(*self._expected):
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe("news")
                    while True:
                        self._read(await pubsub.get_message(timeout=0.2))
            await asyncio.sleep(0.05)

    def _read(self, message: dict[str, Any] | None) -> None:
        if message is not None:
            assert message["channel"] == "news"
            self._heard.append(int(message["data"]))

    async def _publish(self) -> None:
        for number in itertools.count():
            with suppress(*self._expected):
                await self._redis.publish("news", number)
            await asyncio.sleep(0.02)


async def run(
    server: RedisServer,
    bystander: RedisServer,
    seconds: float,
    seed: int,
    rate: float = 60.0,
    **settings: Any,
) -> tuple[Trial, Chaos]:
    """Run the schedule of *seed* for that long; return what came of it."""
    print(f"chaos: seed {seed}, {seconds:g} s, {settings}", flush=True)
    limits = {"shutdown": {"drain": 0.5}, **settings}
    async with (
        FaultProxy(server.host, server.port) as proxy,
        upheld(server, bystander, proxy, extra_connects=1000, **limits) as trial,
    ):
        trial.own_mistakes = (OutOfMemoryError, ExecAbortError)
        chaos = Chaos(trial, server, proxy, seed)
        async with trial.traffic(rate, *KINDS), Newspaper(trial).appears():
            await chaos.run(seconds)
        await server.config_set("timeout", 0)
    return trial, chaos
