"""What a hit, a miss and a cached route cost: `scripts/client-cache speed`.

All ratios are of one run, in which what is compared takes turns; the figures are medians.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from benchmarks.apps import KEYS, VALUE
from benchmarks.bare import BareProtocol
from benchmarks.processes import served
from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer

CHANCE = random.Random()  # noqa: S311 (a load, no secret)
TASKS, ROUTES = 64, ("none", "one", "cached/one", "ten", "cached/ten")
CONNECTIONS = 16


def say(line: str) -> None:
    """Write one line of results at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _seconds(get: Callable[[str], Awaitable[Any]], tasks: int, each: int) -> float:
    """Return how long one call takes, with so many tasks at once."""

    async def caller(key: str) -> None:
        for _ in range(each):
            await get(key)

    began = time.perf_counter()
    await asyncio.gather(*(caller(KEYS[n % len(KEYS)]) for n in range(tasks)))
    return (time.perf_counter() - began) / (tasks * each)


async def _until_hit(manager: RedisManager, cached: Any) -> None:
    while not (stats := manager.stats().cache) or not stats.hits:
        await cached.mget(KEYS)
        await asyncio.sleep(0.01)


async def hits(server: RedisServer, rounds: int) -> None:
    """Compare hits with our uncached GET, and with a bare protocol."""
    loop = asyncio.get_running_loop()
    async with RedisManager(url=server.url) as manager:
        cached = manager.redis.with_options(cache=3600.0)
        await _until_hit(manager, cached)
        _, bare = await loop.create_connection(BareProtocol, server.host, server.port)
        took: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, get, tasks, each in (
                ("uncached", manager.redis.get, 1, 2000),
                ("hit", cached.get, 1, 50_000),
                ("bare, 64 tasks", bare.get, TASKS, 300),
                ("uncached, 64 tasks", manager.redis.get, TASKS, 300),
                ("hit, 64 tasks", cached.get, TASKS, 3000),
            ):
                took.setdefault(name, []).append(await _seconds(get, tasks, each))
        made = []
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(20_000):
                manager.redis.with_options(cache=30.0)
            made.append((time.perf_counter() - began) / 20_000)
        bare.close()
    for name, values in took.items():
        say(f"{name:24} {median(values) * 1e6:8.2f} us")
    say(f"{'with_options(cache=)':24} {median(made) * 1e6:8.2f} us")
    one = [a / b for a, b in zip(took["uncached"], took["hit"], strict=True)]
    many = [a / b for a, b in zip(took["bare, 64 tasks"], took["hit, 64 tasks"], strict=True)]
    say(f"hit to an uncached GET of ours: {median(one):.1f} times as fast")
    say(f"hits at 64 tasks to a bare protocol: {median(many):.2f} times as fast")


async def break_even(server: RedisServer, rounds: int) -> None:
    """Compare a cached client with a plain one, by the part of reads that are hits."""
    async with RedisManager(url=server.url) as manager:
        cached = manager.redis.with_options(cache=3600.0)
        await _until_hit(manager, cached)
        say("hits   cached to plain, 64 tasks")
        for part in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99):
            ratios = []
            for _ in range(rounds):
                plain = await _seconds(manager.redis.get, TASKS, 200)

                async def get(key: str, part: float = part) -> None:
                    if CHANCE.random() >= part:
                        key = f"miss:{CHANCE.random()}"
                    await cached.get(key)

                async def as_plain(key: str) -> None:
                    CHANCE.random()
                    await manager.redis.get(key)

                plain = await _seconds(as_plain, TASKS, 200)
                ratios.append(plain / await _seconds(get, TASKS, 200))
            say(f"{part:4.0%}   {median(ratios):.2f}")


async def server_time(server: RedisServer, rounds: int) -> None:
    """Compare the server's processor time for a miss with that for a plain GET."""
    count = 20_000
    keys = [f"cpu:{number}" for number in range(count)]
    async with (
        RedisManager(url=server.url, client_cache={"max_bytes": 2**20}) as manager,
        server.client() as asked,
    ):
        await manager.redis.mset(dict.fromkeys(keys, VALUE))
        cached = manager.redis.with_options(cache=3600.0)
        await _until_hit(manager, cached)

        async def used() -> float:
            cpu = await asked.info("cpu")
            return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

        async def all_of(client: Any) -> float:
            before = await used()
            for start in range(0, count, TASKS):
                await asyncio.gather(*(client.get(key) for key in keys[start : start + TASKS]))
            return await used() - before

        ratios = []
        for _ in range(rounds):
            plain = await all_of(manager.redis)
            cached = manager.redis.with_options(cache=1e-9)  # each read is asked
            ratios.append(await all_of(cached) / plain)
    say(f"server's time for a miss to that for a plain GET: {median(ratios):.2f}")


async def _asks(port: int, path: str, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET /{path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    count = 0
    while time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        count += head.startswith(b"HTTP/1.1 200")
    writer.close()
    return count


async def routes(server: RedisServer, rounds: int) -> None:
    """Compare routes with cached and uncached GETs with the same route without Redis."""
    rates: dict[str, list[float]] = {path: [] for path in ROUTES}
    async with served("ours", server.url) as port:
        for path in (*ROUTES, *(ROUTES * rounds)):
            until = time.perf_counter() + 1.0
            asks = (_asks(port, path, until) for _ in range(CONNECTIONS))
            rates[path].append(float(sum(await asyncio.gather(*asks))))
    for path, values in rates.items():
        shares = [a / b for a, b in zip(values[1:], rates["none"][1:], strict=True)]
        say(f"/{path:12} {median(values[1:]):7.0f} requests/s, {median(shares):.2f} of /none")


PARTS = {"hits": hits, "server": server_time, "even": break_even, "routes": routes}


async def measure(parts: list[str], rounds: int) -> None:
    """Run the chosen parts."""
    async with RedisServer() as server:
        async with server.client() as client:
            await client.mset(dict.fromkeys(KEYS, VALUE))
        os.environ.setdefault("REDIS_URL", server.url)
        for part in parts:
            await PARTS[part](server, rounds)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/client-cache speed", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.parts or list(PARTS), chosen.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
