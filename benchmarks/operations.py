"""What one version of the package costs per operation, in a process of its own.

`scripts/bench --against` runs this file with the package of one commit or the
other first in the path, so it imports nothing else of this repository. Each
line of standard input, `{"seconds": 0.2}`, is answered by one JSON line: the
microseconds of this process's CPU per operation, by name.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis_manager_fastapi import RedisManager

KEY = "bench:0"
Operation = Callable[[], Awaitable[Any]]


async def main(url: str, only: str) -> None:
    """Open a manager and measure as often as it is asked to."""
    loop = asyncio.get_running_loop()
    manager = RedisManager(url=url)
    async with manager, manager.client() as r:
        tasks = _operations(manager, r, r.with_options(dedicated=True))
        tasks = {name: task for name, task in tasks.items() if only in name}
        for operation, callers in tasks.values():
            await _cost(operation, callers, 0.1)
        print(json.dumps({"ready": True}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            seconds = json.loads(line)["seconds"]
            costs = {
                name: await _cost(operation, callers, seconds)
                for name, (operation, callers) in tasks.items()
            }
            print(json.dumps(costs), flush=True)


def _operations(manager: Any, r: Any, dedicated: Any) -> dict[str, tuple[Operation, int]]:
    large = b"x" * 100_000

    async def scoped() -> None:
        async with manager.client() as scope:
            await scope.get(KEY)

    async def gathered() -> None:
        await asyncio.gather(*[r.get(KEY) for _ in range(10)])

    async def pipelined() -> None:
        pipe = r.pipeline(transaction=False)
        for _ in range(10):
            pipe.get(KEY)
        await pipe.execute()

    async def transacted() -> None:
        pipe = r.pipeline()
        pipe.incr("bench:n")
        pipe.incr("bench:n")
        await pipe.execute()

    async def pushed_and_popped() -> None:
        await r.lpush("bench:q", 1)
        await r.blpop("bench:q", timeout=1)

    async def watched() -> None:
        async with r.pipeline() as pipe:
            await pipe.watch("bench:w")
            pipe.multi()
            pipe.set("bench:w", 1)
            await pipe.execute()

    return {
        "GET, 1 task": (lambda: r.get(KEY), 1),
        "GET, 16 tasks": (lambda: r.get(KEY), 16),
        "GET, 64 tasks": (lambda: r.get(KEY), 64),
        "SET, 64 tasks": (lambda: r.set("bench:s", "v"), 64),
        "EVAL, 64 tasks": (lambda: r.eval("return 1", 0), 64),
        "ten gathered GETs, 16 tasks": (gathered, 16),
        "a client and one GET, 16 tasks": (scoped, 16),
        "pipeline of ten GETs, 16 tasks": (pipelined, 16),
        "transaction of two INCRs, 16 tasks": (transacted, 16),
        "SET of 100 kB, 4 tasks": (lambda: r.set("bench:l", large), 4),
        "dedicated GET, 1 task": (lambda: dedicated.get(KEY), 1),
        "dedicated GET, 16 tasks": (lambda: dedicated.get(KEY), 16),
        "LPUSH and BLPOP, 8 tasks": (pushed_and_popped, 8),
        "WATCH, SET, EXEC, 1 task": (watched, 1),
    }


async def _cost(operation: Operation, callers: int, seconds: float) -> float:
    count = 0
    cpu, end = time.process_time(), time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await operation()
            count += 1

    await asyncio.gather(*[caller() for _ in range(callers)])
    return (time.process_time() - cpu) / count * 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=("asyncio", "uvloop"))
    parser.add_argument("url")
    parser.add_argument("only")
    arguments = parser.parse_args()
    factory = None
    if arguments.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(arguments.url, arguments.only))
