"""Small commands on one route while another route reads 8 MB values without a pause."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.plan import Plan
from benchmarks.processes import served
from redis_manager_fastapi.testing.server import RedisServer

SIZE = 8 * 1024 * 1024
CALLERS = 8
READERS = {
    "quiet": None,
    "dedicated": "/large?dedicated=1",
    "shared": "/large?dedicated=0",
}


@dataclass(slots=True)
class LargeValueResults:
    """Medians of the small commands' time, in seconds.

    Attributes:
        p50: By reader, one for each round.
        reads: By reader, large values read per second, one for each round.
    """

    p50: dict[str, list[float]] = field(default_factory=dict)
    reads: dict[str, list[float]] = field(default_factory=dict)

    def middle(self, reader: str) -> float:
        """Return the median over the rounds."""
        return median(self.p50[reader])

    def ratio(self, reader: str) -> float:
        """Return the median ratio to quiet in the same round."""
        return median(
            busy / quiet for busy, quiet in zip(self.p50[reader], self.p50["quiet"], strict=True)
        )


async def measure_large_values(plan: Plan, server: RedisServer) -> LargeValueResults:
    """Measure in turns: no reader, one on a connection of its own, one on the shared one."""
    results = LargeValueResults()
    async with server.client() as client:
        await client.set("bench:large", b"x" * SIZE)
    async with served("ours", server.url) as port:
        await _small_commands(port, 0.5)
        for _ in range(plan.rounds):
            for reader, path in READERS.items():
                plan.progress(f"8 MB values, {reader}")
                async with _reading(port, path) as reads:
                    times = await _small_commands(port, plan.http_seconds / 2)
                results.p50.setdefault(reader, []).append(median(times))
                results.reads.setdefault(reader, []).append(len(reads) / (plan.http_seconds / 2))
    return results


async def _small_commands(port: int, seconds: float) -> list[float]:
    """Return each command's time as the route itself took it."""
    end = asyncio.get_running_loop().time() + seconds
    times: list[float] = []

    async def caller() -> None:
        async with _connected(port) as ask:
            while asyncio.get_running_loop().time() < end:
                times.append((await ask("/timed"))["seconds"])

    await asyncio.gather(*[caller() for _ in range(CALLERS)])
    return times


@asynccontextmanager
async def _reading(port: int, path: str | None) -> AsyncIterator[list[int]]:
    """Read large values, one after another, until the block ends."""
    sizes: list[int] = []

    async def read(path: str) -> None:
        async with _connected(port) as ask:
            while True:
                sizes.append((await ask(path))["bytes"])

    task = asyncio.create_task(read(path)) if path else None
    try:
        yield sizes
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[Any]:
    """Yield a function that asks for a path over one kept connection and returns the JSON."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def ask(path: str) -> Any:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return json.loads(await reader.readexactly(length))

    try:
        yield ask
    finally:
        writer.close()


def steps(plan: Plan) -> int:
    """How many measurements this takes."""
    return plan.rounds * len(READERS)
