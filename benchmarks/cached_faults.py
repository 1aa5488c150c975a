"""The greatest staleness under faults: `scripts/client-cache faults`.

A writer next to the server raises a counter every few milliseconds, and notes when each value was
acknowledged.  A reader asks by way of the cache, over a proxy.  Meanwhile the server is killed
and stopped, connections are reset, the lane alone is killed, and packets are swallowed in
either direction.  How old a value was when it was read is known to the millisecond.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable

from redis_manager_fastapi import RedisManager, RedisManagerError
from redis_manager_fastapi.testing import FaultProxy, RedisServer

CHANCE = random.Random()  # noqa: S311 (a load, no secret)
BOUND = 1.0  # REDIS_HEALTH__INTERVAL + REDIS_HEALTH__TIMEOUT


class Trial:
    """One server behind a proxy, a writer, a reader, and what both saw."""

    def __init__(self, server: RedisServer, proxy: FaultProxy) -> None:
        self.server, self.proxy = server, proxy
        self.acknowledged: list[float] = []
        self.seen: list[tuple[float, int]] = []
        self.refused: Counter[str] = Counter()
        self.over = False

    async def write(self) -> None:
        """Raise the counter until the trial is over."""
        number = 0
        while not self.over:
            with contextlib.suppress(Exception):
                async with self.server.client(1.0) as client:
                    while not self.over:
                        number += 1
                        await client.set("counter", number)
                        now = time.monotonic()
                        self.acknowledged += [now] * (number - len(self.acknowledged))
                        await asyncio.sleep(0.004)
            await asyncio.sleep(0.01)

    async def read(self, manager: RedisManager) -> None:
        """Read until the trial is over."""
        cached = manager.redis.with_options(cache=3600.0, grace=0.2)
        while not self.over:
            began = time.monotonic()
            try:
                value = await cached.get("counter")
            except RedisManagerError as error:
                self.refused[type(error).__name__] += 1
            else:
                if value is not None:
                    self.seen.append((began, int(value)))
            await asyncio.sleep(0.001)

    async def kill(self) -> None:
        """Kill the server; what it had is gone."""
        await self.server.restart(CHANCE.uniform(0, 0.5), crash=True)

    async def stop(self) -> None:
        """Stop the server for a while."""
        self.server.pause()
        await asyncio.sleep(CHANCE.uniform(0.1, 2.0))
        self.server.resume()

    async def reset(self) -> None:
        """Reset every connection."""
        await self.proxy.reset()

    async def kill_lane(self) -> None:
        """Have the server drop the tracked connection."""
        async with self.server.client() as client:
            for each in await client.client_list():
                if "t" in each["flags"]:
                    await client.client_kill_filter(_id=each["id"])

    async def swallow(self) -> None:
        """Swallow packets for a while, in one direction or both."""
        to_server, to_client = CHANCE.choice(((True, True), (False, True), (True, False)))
        await self.proxy.black_hole(to_server=to_server, to_client=to_client)
        await asyncio.sleep(CHANCE.uniform(0.1, 2.5))
        await self.proxy.pass_through()

    def greatest(self) -> float:
        """Return for how long a newer value had been acknowledged when an old one was read."""
        worst = 0.0
        for began, value in self.seen:
            newest = bisect_right(self.acknowledged, began)
            if value < newest:
                worst = max(worst, began - self.acknowledged[value])
        return worst


async def measure(seconds: float) -> int:
    """Break things for so long; return whether a value was too old."""
    async with RedisServer() as server, FaultProxy(server.host, server.port) as proxy:
        trial = Trial(server, proxy)
        faults: list[Callable[[], Awaitable[None]]] = [
            *(trial.kill, trial.stop, trial.reset, trial.kill_lane, trial.swallow),
        ]
        met: Counter[str] = Counter()
        async with RedisManager(url=proxy.url) as manager:
            tasks = [asyncio.create_task(each) for each in (trial.write(), trial.read(manager))]
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                await asyncio.sleep(CHANCE.uniform(0.5, 3.0))
                fault = CHANCE.choice(faults)
                met[getattr(fault, "__name__", "?")] += 1
                await fault()
            await asyncio.sleep(2)
            trial.over = True
            await asyncio.gather(*tasks)
            stats = manager.stats().cache
    worst = trial.greatest()
    sys.stdout.write(f"{dict(met)}, {len(trial.seen)} reads, {dict(trial.refused)}\n{stats}\n")
    sys.stdout.write(f"greatest staleness: {worst:.3f} s, of {BOUND} s that are promised\n")
    return int(worst > BOUND + 0.1)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/client-cache faults", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=600.0)
    return asyncio.run(measure(parser.parse_args().seconds))


if __name__ == "__main__":
    sys.exit(main())
