"""Last known values while the server is killed: `scripts/client-cache outage`.

150 cached reads per second with `stale=300`; the server is away for a minute, and holds
another value when it is back.
"""

import argparse
import asyncio
import sys
import time
from statistics import quantiles

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer

RATE = 150.0


async def measure(seconds: float) -> int:
    """Be away for so long; return whether anything failed, or was not labelled as it is."""
    took: list[float] = []
    failed = mislabelled = 0
    healed_at = fresh_at = 0.0
    async with RedisServer() as server, RedisManager(url=server.url) as manager:
        await manager.redis.set("key", "old")
        away = False

        async def read() -> None:
            nonlocal failed, mislabelled, fresh_at
            began = time.perf_counter()
            async with manager.client() as client:
                cached = client.with_options(cache=30.0, stale=300.0)
                try:
                    value = await cached.get("key")
                except Exception:
                    failed += 1
                    return
            took.append(time.perf_counter() - began)
            if healed_at and value == "new":
                fresh_at = fresh_at or time.monotonic()
            if away and not manager.is_ready and cached.stale_for == 0.0:
                mislabelled += 1
            if fresh_at and cached.stale_for > 0.0:
                mislabelled += 1

        async def load(until: asyncio.Event) -> None:
            due, running = time.monotonic(), set()
            while not until.is_set():
                due += 1 / RATE
                task = asyncio.create_task(read())
                running.add(task)
                task.add_done_callback(running.discard)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.gather(*running)

        over = asyncio.Event()
        loading = asyncio.create_task(load(over))
        await asyncio.sleep(2)
        await server.kill()
        away = True
        await asyncio.sleep(seconds)
        await server.start()
        away = False
        await server.command("SET", "key", "new")
        healed_at = time.monotonic()
        await asyncio.sleep(3)
        over.set()
        await loading
        stats = manager.stats().cache
    p99 = quantiles(took, n=100)[98] * 1000
    sys.stdout.write(f"{len(took)} reads, {failed} failed, {mislabelled} mislabelled\n{stats}\n")
    sys.stdout.write(f"p99 {p99:.2f} ms, fresh {fresh_at - healed_at:.2f} s after the heal\n")
    return int(bool(failed or mislabelled) or not fresh_at)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/client-cache outage", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=60.0)
    return asyncio.run(measure(parser.parse_args().seconds))


if __name__ == "__main__":
    sys.exit(main())
