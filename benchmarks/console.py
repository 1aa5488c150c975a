"""What the console costs an app at 1,000 requests per second: `scripts/console`.

The app's processor time per request with ten pages open, against the mean of the turns before
and after it, in which nobody looks: so what drifts on the machine falls out, and a tenth of the
difference is told from noise.  First it measures
how long one report of each kind of deployment takes to make, and what a page costs an app that
has nothing else to do, which is exact on a busy machine too.  It exits with 1 if the page costs
more than 1 %.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import timeit
from contextlib import suppress
from pathlib import Path

from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.console.router import report
from redis_manager_fastapi.demo.load import Load
from redis_manager_fastapi.tasks import end
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.server import RedisServer
from tests.kit.serving import ROOT, environment, server_process

BOUND = 0.01
RATE = 1000
PAGES = 10

_APP = """
from redis_manager_fastapi import console_router
from redis_manager_fastapi.demo.minimal import app
app.include_router(console_router, prefix="/redis")
"""


def processor_time(pid: int) -> float:
    """The processor time (seconds) that a process has used."""
    # Linux's number of another process's clock, which counts nanoseconds; /proc has ticks.
    return time.clock_gettime(~pid << 3 | 2)


def written(directory: str) -> None:
    """Write the app."""
    Path(directory, "watched.py").write_text(_APP)


async def look(url: str) -> None:
    """Read the page's events as a browser does, at no cost that would disturb the load."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET /redis/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        while await reader.read(65536):
            pass
    finally:
        writer.close()


async def measure_reports() -> None:
    """Print how long one report takes to make, of a server and of a Cluster."""
    async with RedisServer() as server, ClusterDeployment() as cluster:
        for kind, url in (("one server", server.url), ("a Cluster of three shards", cluster.url)):
            async with RedisManager(url) as manager:
                best = min(timeit.repeat(lambda: report([manager], [0]), number=200, repeat=5))
            print(f"a report of {kind}: {best / 200 * 1e6:.0f} us of the app's processor")


async def idle(pid: int, seconds: float) -> float:
    """Return the processor time of an app for each second, without requests."""
    before = processor_time(pid)
    await asyncio.sleep(seconds)
    return (processor_time(pid) - before) / seconds


async def measure_idle(pid: int, url: str, seconds: float) -> None:
    """Print what an open page costs each second, sending included."""
    alone = await idle(pid, seconds)
    looking = asyncio.create_task(look(url))
    await asyncio.sleep(1)
    watched = await idle(pid, seconds)
    looking.cancel()
    print(f"an open page: {(watched - alone) * 1e3:.2f} ms of the app's processor each second")


async def turn(pid: int, load: Load, seconds: float) -> float:
    """Return the processor time (seconds) of the app for each request."""
    before, answered = processor_time(pid), load.total[200]
    await asyncio.sleep(seconds)
    return (processor_time(pid) - before) / (load.total[200] - answered)


async def measure(turns: int, seconds: float) -> float:
    """Return how much more of its processor a request costs while the page is open."""
    extra = []
    with tempfile.TemporaryDirectory() as directory:
        written(directory)
        async with RedisServer() as server:
            env = environment(REDIS_URL=server.url, PYTHONPATH=str(ROOT))
            arguments = ("--no-access-log", "--log-level", "info")
            async with server_process(
                "watched:app", *arguments, directory=Path(directory), env=env
            ) as process:
                url = await process.url()
                await measure_idle(process.pid, url, 2 * seconds)
                load = Load(int(url.rpartition(":")[2]))
                load.rate = RATE
                visits = asyncio.create_task(load.run())
                await turn(process.pid, load, seconds)
                before = await turn(process.pid, load, seconds)
                for number in range(turns):
                    looking = [asyncio.create_task(look(url)) for _ in range(PAGES)]
                    await asyncio.sleep(1)
                    watched = await turn(process.pid, load, seconds)
                    await end(looking)
                    await asyncio.sleep(1)
                    after = await turn(process.pid, load, seconds)
                    alone, before = (before + after) / 2, after
                    extra.append((watched / alone - 1) / PAGES)
                    print(
                        f"turn {number + 1}: {alone * 1e6:.1f} us a request,"
                        f" {watched * 1e6:.1f} us with {PAGES} pages open: {extra[-1]:+.2%} each",
                        flush=True,
                    )
                visits.cancel()
                with suppress(asyncio.CancelledError):
                    await visits
    return statistics.median(extra)


def main() -> None:
    """Measure, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args()
    began = time.monotonic()
    asyncio.run(measure_reports())
    extra = asyncio.run(measure(given.turns, given.seconds))
    print(f"median {extra:+.2%} ({BOUND:.0%} asked), {time.monotonic() - began:.0f} s in all")
    sys.exit(extra > BOUND)


if __name__ == "__main__":
    main()
