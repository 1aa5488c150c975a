"""Keys that stay stale behind a network with jitter: `scripts/client-cache jitter`.

Two writers, one in this process and one elsewhere, and eight readers that read by way of the
cache, over a proxy that delays what passes by 0 to 4 ms, each direction and each connection by
itself.  After every thousand writes all is quiet for a moment; a key that still differs from the
server's is stale for good, unless its time to live ends it.
"""

import argparse
import asyncio
import multiprocessing
import random
import sys
from typing import Any

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer

CHANCE = random.Random()  # noqa: S311 (a load, no secret)
KEYS, READERS, BATCH, JITTER, QUIET = 200, 8, 1000, 0.004, 0.05


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


async def _write(client: Any, numbers: range, own: bool) -> int:
    """Write random keys; with *own*, count those that are not read back as written."""
    wrong = 0
    for number in numbers:
        key = f"key:{CHANCE.randrange(KEYS)}" if not own else f"own:{CHANCE.randrange(KEYS)}"
        await client.set(key, number)
        if own:
            wrong += await client.get(key) != str(number)
    return wrong


async def _read(cached: Any, until: asyncio.Event) -> int:
    reads = 0
    while not until.is_set():
        for _ in range(20):
            name = CHANCE.choice(("key", "own"))
            await cached.get(f"{name}:{CHANCE.randrange(KEYS)}")
            reads += 1
        await asyncio.sleep(0)
    return reads


async def measure(rounds: int) -> int:
    """Run so many rounds; return how many keys stayed stale or were misread."""
    ours, theirs = multiprocessing.Pipe()
    async with RedisServer() as server, server.client(60) as truth:
        process = multiprocessing.Process(target=proxied, args=(server.port, theirs), daemon=True)
        process.start()
        url = f"redis://127.0.0.1:{await asyncio.to_thread(ours.recv)}"
        stale = wrong = reads = 0
        async with RedisManager(url=url) as manager, RedisManager(url=server.url) as elsewhere:
            cached = manager.redis.with_options(cache=3600.0)
            names = [f"{kind}:{number}" for kind in ("key", "own") for number in range(KEYS)]
            for start in range(0, rounds, BATCH):
                quiet = asyncio.Event()
                readers = [asyncio.create_task(_read(cached, quiet)) for _ in range(READERS)]
                half = BATCH // 2
                wrong += sum(
                    await asyncio.gather(
                        *(
                            _write(elsewhere.redis, range(start + n, start + half, 10), False)
                            for n in range(10)
                        ),
                        *(
                            _write(cached, range(start + half + n, start + BATCH, 50), n < 1)
                            for n in range(50)
                        ),
                    )
                )
                quiet.set()
                reads += sum(await asyncio.gather(*readers))
                await asyncio.sleep(QUIET)
                for name, value in zip(names, await truth.mget(names), strict=True):
                    stale += await cached.get(name) != value
            stats = manager.stats().cache
        process.terminate()
    sys.stdout.write(f"{rounds} writes, {reads} reads, {stats}\n")
    sys.stdout.write(f"stale for good: {stale}; own writes not read back: {wrong}\n")
    return stale + wrong


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/client-cache jitter", description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=1_000_000)
    return int(asyncio.run(measure(parser.parse_args().rounds)) > 0)


if __name__ == "__main__":
    sys.exit(main())
