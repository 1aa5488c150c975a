"""What a hit, a miss and a cached route cost: `scripts/client-cache speed`.

All ratios are of one run, in which what is compared takes turns; the figures are medians.
"""

import argparse
import asyncio
import os
import random
import socket
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


def _reads(part: float, prefix: str) -> list[list[str]]:
    """Return what each task reads: that part are known keys, and the others are new ones."""
    return [
        [
            CHANCE.choice(KEYS) if CHANCE.random() < part else f"{prefix}:{task}:{number}"
            for number in range(100)
        ]
        for task in range(TASKS)
    ]


async def _seconds_for(get: Callable[[str], Awaitable[Any]], reads: list[list[str]]) -> float:
    """Return how long it takes until each task has read its keys, one after the other."""

    async def caller(keys: list[str]) -> None:
        for key in keys:
            await get(key)

    began = time.perf_counter()
    await asyncio.gather(*map(caller, reads))
    return time.perf_counter() - began


async def _begin_anew(plain: Any, cached: Any, reads: list[list[str]]) -> None:
    """Have the known keys in the cache alone, and all that is read at the server."""
    await plain.flushall()
    await plain.mset(dict.fromkeys([*KEYS, *(key for keys in reads for key in keys)], VALUE))
    await asyncio.gather(*map(cached.get, KEYS))


async def break_even(server: RedisServer, rounds: int) -> None:
    """Compare a cached client with a plain one that reads the same keys, by the part of hits."""
    async with (
        RedisManager(url=server.url) as manager,
        RedisManager(url=server.url, client_cache={"max_bytes": 256 * 1024}) as crowded,
    ):
        plain, cached = manager.redis, manager.redis.with_options(cache=3600.0)
        expired = plain.with_options(cache=1e-9)
        evicting = crowded.redis.with_options(cache=3600.0)
        await _until_hit(manager, cached)
        await _until_hit(crowded, evicting)
        rows: dict[str, list[float]] = {}
        for number in range(rounds):
            for part in (0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.99):
                reads = _reads(part, f"{part}:{number}")
                await _begin_anew(plain, cached, reads)
                took = await _seconds_for(plain.get, reads)
                compared = [(f"{part:4.0%}", cached)]
                if not part:
                    compared += [("  0%, each reply known and too old", expired)]
                    compared += [("  0%, each evicts another", evicting)]
                for name, client in compared:
                    ratio = took / await _seconds_for(client.get, reads)
                    rows.setdefault(name, []).append(ratio)
        say("hits   cached to plain, 64 tasks")
        for name in sorted(rows):
            say(f"{name:36} {median(rows[name]):.2f}")


class RawReads:
    """A socket that reads keys in batches, and does nothing else."""

    def __init__(self, server: RedisServer, *hello: str) -> None:
        self._socket = socket.create_connection((server.host, server.port))
        for command in hello:
            self._socket.sendall(f"{command}\r\n".encode())
            self._socket.recv(65536)

    async def read(self, keys: list[str]) -> None:
        """Read all of *keys*, so many at once."""
        for start in range(0, len(keys), TASKS):
            batch = keys[start : start + TASKS]
            packed = [f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n" for key in batch]
            self._socket.sendall("".join(packed).encode())
            left = len(batch) * len(f"${len(VALUE)}\r\n{VALUE}\r\n")
            while left:
                left -= len(self._socket.recv(left))

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()


async def server_time(server: RedisServer, rounds: int) -> None:
    """Compare the server's processor time for tracked reads with that for plain ones.

    All come in batches of 64; a key is new to the server's table, or in it already.
    """
    count = 20_000
    async with (
        RedisManager(url=server.url, client_cache={"max_bytes": 2**20}) as manager,
        server.client() as asked,
    ):
        ours = manager.redis
        cached, expired = (ours.with_options(cache=seconds) for seconds in (3600.0, 1e-9))
        await _until_hit(manager, cached)

        def by(client: Any) -> Callable[[list[str]], Awaitable[None]]:
            async def read(keys: list[str]) -> None:
                for start in range(0, len(keys), TASKS):
                    await asyncio.gather(*map(client.get, keys[start : start + TASKS]))

            return read

        async def used() -> float:
            cpu = await asked.info("cpu")
            return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

        took: dict[str, list[float]] = {}
        for number in range(rounds):
            untracked = RawReads(server)
            tracked = RawReads(server, "HELLO 3", "CLIENT TRACKING ON")
            for kind, rows in (
                (
                    "raw",
                    (
                        ("untracked", untracked.read),
                        ("tracked, new", tracked.read),
                        ("tracked, known", tracked.read),
                    ),
                ),
                (
                    "ours",
                    (("plain", by(ours)), ("miss, new", by(cached)), ("miss, known", by(expired))),
                ),
            ):
                keys = [f"cpu:{kind}:{number}:{each}" for each in range(count)]
                await ours.mset(dict.fromkeys(keys, VALUE))
                await rows[0][1](keys)  # as warm for the first as for those after it
                for name, read in rows:
                    before = await used()
                    await read(keys)
                    spent = await used() - before
                    took.setdefault(f"{kind} {name}", []).append(spent / count * 1e6)
            untracked.close()
            tracked.close()
    for name, values in took.items():
        first = took["raw untracked" if name.startswith("raw") else "ours plain"]
        ratio = median(a / b for a, b in zip(values, first, strict=True))
        say(f"the server's time, {name:20} {median(values):6.2f} us   {ratio:.2f}")


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
