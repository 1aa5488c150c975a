"""What a killed cache costs the routes that can do without it.

`python -m benchmarks.optional_cache [ROUNDS]` kills the cache of an app under one uvicorn worker
while 100 requests a second come, in turn for a route with the cache and for one without, and
asks for readiness ten times a second.  It prints how much longer the first route took, from the
kill on.
"""

import asyncio
import statistics
import sys
import time
from collections import Counter

import httpx

from benchmarks.processes import served
from redis_manager_fastapi.testing import RedisServer

RATE = 100
BEFORE, AFTER = 1.0, 5.0
ROUTES = ("/cached", "/plain")
READINESS = "/readyz"


class Load:
    """Requests at a steady rate, whatever became of those before.

    Attributes:
        answers: Path, when it was asked for (monotonic clock), seconds, status and text.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.answers: list[tuple[str, float, float, int, str]] = []
        self._http = http

    async def run(self, seconds: float) -> None:
        """Ask for each route in turn, and for readiness."""
        async with asyncio.TaskGroup() as group:
            for number in range(round(seconds * RATE)):
                group.create_task(self._ask(ROUTES[number % len(ROUTES)], number / RATE))
            for number in range(round(seconds * 10)):
                group.create_task(self._ask(READINESS, number / 10))

    async def _ask(self, path: str, due: float) -> None:
        await asyncio.sleep(due)
        began = time.monotonic()
        answer = await self._http.get(path)
        took = time.monotonic() - began
        self.answers.append((path, began, took, answer.status_code, answer.text))


async def one_round() -> tuple[list[float], Counter[tuple[str, int]]]:
    """Return by how much the median, the p95, the p99 and the slowest are longer; the statuses."""
    async with (
        RedisServer() as cache,
        served("optional_cache", cache.url) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        await Load(http).run(1.0)
        load = Load(http)
        running = asyncio.create_task(load.run(BEFORE + AFTER))
        await asyncio.sleep(BEFORE)
        killed = time.monotonic()
        await cache.kill()
        await running
    after = [each for each in load.answers if each[1] >= killed]
    cached, plain = (_marks([each[2] for each in after if each[0] == route]) for route in ROUTES)
    longer = [with_cache - without for with_cache, without in zip(cached, plain, strict=True)]
    return longer, Counter((path, status) for path, _, _, status, _ in after)


def _marks(took: list[float]) -> list[float]:
    hundredths = statistics.quantiles(took, n=100)
    return [statistics.median(took), hundredths[94], hundredths[98], max(took)]


async def main(rounds: int) -> None:
    """Measure, and print a line for each round."""
    for number in range(rounds):
        longer, statuses = await one_round()
        names = ("median", "p95", "p99", "slowest")
        marks = ", ".join(
            f"{name} {1000 * seconds:+.2f} ms" for name, seconds in zip(names, longer, strict=True)
        )
        shown = ", ".join(f"{path} {status}: {n}" for (path, status), n in sorted(statuses.items()))
        print(f"{number + 1}: {marks}; {shown}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
