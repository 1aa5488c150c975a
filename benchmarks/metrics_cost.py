"""What metrics cost: processor time for each command, with a system that reads them and without.

`python -m benchmarks.metrics_cost`; needs the extras `prometheus` and `otel`, and uvicorn.  The
two ways run in turn in one process, a few seconds each, and are compared pair by pair: the
machine's speed drifts.  Prometheus is another process that asks for the page each second.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.metrics.otel import observe_metrics
from redis_manager_fastapi.metrics.prometheus import RedisCollector
from redis_manager_fastapi.testing.ports import ReservedPort
from redis_manager_fastapi.testing.server import RedisServer

SCRAPER = """
import sys, time, urllib.request
while True:
    urllib.request.urlopen(sys.argv[1]).read()
    time.sleep(1)
"""


async def load(manager: RedisManager, tasks: int, seconds: float) -> float:
    """Return how many microseconds of this process a command takes."""
    ends, done = time.monotonic() + seconds, 0

    async def ask() -> None:
        nonlocal done
        while time.monotonic() < ends:
            await manager.redis.get("key")
            done += 1

    began = time.process_time()
    await asyncio.gather(*(ask() for _ in range(tasks)))
    return (time.process_time() - began) / done * 1e6


@contextmanager
def scraped(url: str) -> Iterator[None]:
    """Have the page asked for each second."""
    with subprocess.Popen([sys.executable, "-c", SCRAPER, url]) as scraper:
        try:
            yield
        finally:
            scraper.kill()


def app_of(manager: RedisManager) -> FastAPI:
    """Return an app that serves the metrics of *manager*."""
    registry, app = CollectorRegistry(), FastAPI()
    registry.register(RedisCollector(manager))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app


async def prometheus(manager: RedisManager, arguments: Any) -> list[float]:
    """Return the ratios of each pair, scraped to not."""
    reserved = ReservedPort()
    port = reserved.port
    reserved.close()
    server = uvicorn.Server(uvicorn.Config(app_of(manager), port=port, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    ratios = []
    for _ in range(arguments.pairs):
        without = await load(manager, arguments.tasks, arguments.seconds)
        with scraped(f"http://127.0.0.1:{port}/metrics"):
            ratios.append(await load(manager, arguments.tasks, arguments.seconds) / without)
    server.should_exit = True
    await serving
    return ratios


async def otel(manager: RedisManager, arguments: Any) -> list[float]:
    """Return the ratios of each pair, observed to not: by a second manager on the same server."""
    other = RedisManager(manager.settings, name="observed")
    observe_metrics(other, meter_provider=MeterProvider([InMemoryMetricReader()]))
    ratios = []
    async with other:
        for _ in range(arguments.pairs):
            without = await load(manager, arguments.tasks, arguments.seconds)
            ratios.append(await load(other, arguments.tasks, arguments.seconds) / without)
    return ratios


async def measure(arguments: Any) -> None:
    """Print the median of each."""
    async with RedisServer() as server, RedisManager(url=server.url) as manager:
        await manager.redis.set("key", "x" * 100)
        await load(manager, arguments.tasks, 1)
        for way in (prometheus, otel):
            ratios = sorted(await way(manager, arguments))
            cost = 100 * (median(ratios) - 1)
            print(f"{way.__name__}: {cost:+.1f} % ({ratios[0]:.3f} to {ratios[-1]:.3f})")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(prog="benchmarks.metrics_cost", description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--tasks", type=int, default=64)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
