"""Keys that stay stale behind a network with jitter: `scripts/client-cache jitter`.

A group is two managers, two writers and eight readers, with a few keys of their own: one writer
and the readers are in one process and reach the server over a proxy that delays what passes by 0
to 4 ms, each direction and each connection by itself; the other writer is next to the server.
They write and read the same keys at the same time, so that replies, pushes and writes overtake one
another.  After every hundred writes the group is quiet for a moment.  A key that differs from the
server's then, and still does after two seconds, is stale for good, unless its time to live ends it.

One writer's own keys are written by nobody else.  Whoever reads one by way of the cache, itself or
a reader, must find what it had written, or something newer.

A round is one write, and what is read meanwhile.  The groups share the rounds; they run side by
side, because a round is nearly all waiting.
"""

import argparse
import asyncio
import multiprocessing
import random
import sys
import time
from collections import Counter
from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.observe.events import CacheChanged
from redis_manager_fastapi.testing import RedisServer

CHANCE = random.Random()  # noqa: S311 (a load, no secret)
KEYS, OWN, READERS, BATCH, JITTER, QUIET, FOR_GOOD = 20, 10, 8, 100, 0.004, 0.05, 2.0


async def _flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, in its order, each piece after a delay of its own."""
    spread = random.Random()  # noqa: S311 (its own, in its own process)
    while data := await reader.read(65536):
        await asyncio.sleep(spread.uniform(0, JITTER))
        writer.write(data)
    writer.close()


async def _proxy(port: int, ready: Any) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_flow(reader, there[1]), _flow(there[0], writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def proxied(port: int, ready: Any) -> None:
    """Run the proxy, in a process of its own."""
    asyncio.run(_proxy(port, ready))


async def _pause() -> None:
    await asyncio.sleep(CHANCE.uniform(0, 2 * JITTER))


class Group:
    """Two writers, eight readers and their keys.

    Attributes:
        found: How many writes, reads, checked keys there were, and what was wrong.
    """

    def __init__(self, number: int, cached: Any, elsewhere: Any, truth: Any) -> None:
        self.found: Counter[str] = Counter()
        self._cached, self._elsewhere, self._truth = cached, elsewhere, truth
        self._shared = [f"{number}:key:{each}" for each in range(KEYS)]
        self._own = [f"{number}:own:{each}" for each in range(OWN)]
        self._written = dict.fromkeys(self._own, -1)

    async def run(self, rounds: int) -> None:
        """Write and read for so many rounds, and look at every key whenever all is quiet."""
        for start in range(0, rounds, BATCH):
            over = asyncio.Event()
            readers = [asyncio.create_task(self._read(over)) for _ in range(READERS)]
            numbers = range(start, start + BATCH)
            await asyncio.gather(self._write_here(numbers[::2]), self._write_there(numbers[1::2]))
            over.set()
            await asyncio.gather(*readers)
            await asyncio.sleep(QUIET)
            await self._look()

    async def _write_here(self, numbers: range) -> None:
        """Write by way of the proxy: a key that the other one writes too, or one's own."""
        for number in numbers:
            self.found["writes"] += 1
            if CHANCE.random() < 0.5:
                await self._cached.set(CHANCE.choice(self._shared), number)
                continue
            key = CHANCE.choice(self._own)
            await self._cached.set(key, number)
            self._written[key] = number
            self.found["not read back"] += await self._cached.get(key) != str(number)

    async def _write_there(self, numbers: range) -> None:
        """Write next to the server."""
        for number in numbers:
            self.found["writes"] += 1
            await self._elsewhere.set(CHANCE.choice(self._shared), number)
            await _pause()

    async def _read(self, over: asyncio.Event) -> None:
        while not over.is_set():
            self.found["reads"] += 1
            key = CHANCE.choice(self._shared + self._own)
            least = self._written.get(key, -1)
            value = await self._cached.get(key)
            self.found["older than an own write"] += int(value or -1) < least
            await _pause()

    async def _look(self) -> None:
        """Compare every key with the server's."""
        names = [*self._shared, *self._own]
        self.found["keys looked at"] += len(names)
        ends = time.monotonic() + FOR_GOOD
        while names:
            values = await self._truth.mget(names)
            seen = await asyncio.gather(*map(self._cached.get, names))
            pairs = zip(names, seen, values, strict=True)
            names = [name for name, mine, value in pairs if mine != value]
            if time.monotonic() > ends:
                self.found["stale for good"] += len(names)
                return
            if names:
                self.found["late"] += len(names)
                await asyncio.sleep(QUIET)


async def measure(rounds: int, groups: int) -> Counter[str]:
    """Run so many rounds; return what was found."""
    began, found = time.monotonic(), Counter[str]()
    ours, theirs = multiprocessing.Pipe()

    def heard(event: Any) -> None:
        found["lanes lost"] += isinstance(event, CacheChanged) and not event.serving

    async def run(number: int, url: str, server: RedisServer) -> None:
        async with (
            RedisManager(url=url, listeners=[heard]) as manager,
            RedisManager(url=server.url) as elsewhere,
            server.client(60) as truth,
        ):
            cached = manager.redis.with_options(cache=3600.0)
            group = Group(number, cached, elsewhere.redis, truth)
            await group.run(rounds // groups)
            found.update(group.found)
            stats = manager.stats().cache
            found["lanes lost"] -= 1  # by the end that follows
        sys.stdout.write(f"group {number}: {dict(group.found)}, {stats}\n")

    async with RedisServer() as server:
        process = multiprocessing.Process(target=proxied, args=(server.port, theirs), daemon=True)
        process.start()
        url = f"redis://127.0.0.1:{await asyncio.to_thread(ours.recv)}"
        await asyncio.gather(*(run(number, url, server) for number in range(groups)))
        process.terminate()
    sys.stdout.write(f"{groups} groups in {time.monotonic() - began:.0f} s: {dict(found)}\n")
    return found


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/client-cache jitter", description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--groups", type=int, default=4, help="how many run side by side")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.rounds, arguments.groups))
    wrong = ("stale for good", "not read back", "older than an own write")
    return int(any(found[each] for each in wrong) or found["writes"] < arguments.rounds)


if __name__ == "__main__":
    sys.exit(main())
