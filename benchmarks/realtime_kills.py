"""Consumers while their server is killed again and again, and one of their processes once.

100,000 entries, two processes with two consumers each, ten kills of the server with an
append-only file that is synced at each write, and one kill of a process:
`scripts/realtime kills`.  Each entry must be handled, and only what was in hand
at a break may be handled twice.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer

STREAM, GROUP = "orders", "billing"
ENTRIES, KILLS, DOWN, BATCH, CLAIM_AFTER = 100_000, 10, 0.3, 100, 2.0
DURABLE: dict[str, Any] = {"appendonly": "yes", "appendfsync": "always"}

# What is through is acknowledged within so many seconds, if nothing breaks meanwhile.
ACKNOWLEDGED = 0.5


async def consume(manager: RedisManager, log: TextIO) -> None:
    """Write each entry's number, and when its body was through, on a clock of all processes."""
    async with manager.consume(
        STREAM, group=GROUP, batch=BATCH, claim_after=CLAIM_AFTER
    ) as entries:
        async for entry in entries:
            await asyncio.sleep(0.0005)
            log.write(f"{entry.fields['n']} {time.monotonic()}\n")
            log.flush()


async def child(url: str, log: TextIO) -> None:
    """Consume twice until the process is ended."""
    async with RedisManager(url=url) as manager:
        await asyncio.gather(consume(manager, log), consume(manager, log))


@asynccontextmanager
async def consumers(url: str, path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process of consumers until the block ends."""
    command = (sys.executable, "-m", "benchmarks.realtime_kills", url, str(path))
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def fill(server: RedisServer) -> None:
    """Add the entries."""
    async with server.client(60) as client:
        for start in range(0, ENTRIES, 1000):
            async with client.pipeline(transaction=False) as pipeline:
                for number in range(start, start + 1000):
                    pipeline.xadd(STREAM, {"n": number})
                await pipeline.execute()


async def finished(server: RedisServer) -> None:
    """Wait until the group has delivered everything, and nothing is pending."""
    while True:
        async with server.client(60) as client:
            [group] = await client.xinfo_groups(STREAM)
            newest = (await client.xinfo_stream(STREAM))["last-generated-id"]
        if group["last-delivered-id"] == newest and not group["pending"]:
            return
        await asyncio.sleep(0.5)


def through(paths: list[Path]) -> list[tuple[int, float]]:
    """Return the numbers of what was handled, and when; a killed process may cut its last line."""
    lines = [line for path in paths for line in path.read_text().split("\n")[:-1]]
    return sorted(
        ((int(n), float(at)) for n, at in map(str.split, lines)), key=lambda each: each[1]
    )


def report(handled: list[tuple[int, float]], breaks: list[tuple[float, float]]) -> bool:
    """Print the counts; return whether they are as they should be."""
    times = Counter(number for number, _ in handled)
    first: dict[int, float] = {}
    strangers = 0
    for number, at in handled:
        if number not in first:
            first[number] = at
            continue
        in_hand = (begin - ACKNOWLEDGED <= first[number] <= end for begin, end in breaks)
        strangers += not any(in_hand)
    lost, doubles = ENTRIES - len(times), len(handled) - len(times)
    sys.stdout.write(
        f"{ENTRIES} entries: {lost} lost, {doubles} handled again,"
        f" of which {strangers} were not in hand at a break; {len(breaks)} breaks\n"
    )
    return not lost and not strangers


async def main() -> bool:
    """Run it all."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("first", "second", "third")]
        async with RedisServer(DURABLE) as server:
            await fill(server)
            breaks: list[tuple[float, float]] = []
            async with consumers(server.url, paths[0]), consumers(server.url, paths[1]) as second:
                for number in range(KILLS):
                    await asyncio.sleep(2.0)
                    began = time.monotonic()
                    await server.restart(DOWN, crash=True)
                    breaks.append((began, time.monotonic() + ACKNOWLEDGED))
                    if number == KILLS // 2:
                        await asyncio.sleep(1.0)
                        breaks.append((time.monotonic(), time.monotonic() + ACKNOWLEDGED))
                        second.kill()
                        await second.wait()
                        async with server.client() as client:
                            left = (await client.xpending(STREAM, GROUP))["pending"]
                        sys.stdout.write(f"killed a process; {left} entries were pending\n")
                        break
                async with consumers(server.url, paths[2]):
                    for _ in range(KILLS - len(breaks) + 1):
                        await asyncio.sleep(2.0)
                        began = time.monotonic()
                        await server.restart(DOWN, crash=True)
                        breaks.append((began, time.monotonic() + ACKNOWLEDGED))
                    await finished(server)
        return report(through([path for path in paths if path.exists()]), breaks)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with Path(sys.argv[2]).open("w") as output:
            asyncio.run(child(sys.argv[1], output))
    else:
        sys.exit(not asyncio.run(main()))
