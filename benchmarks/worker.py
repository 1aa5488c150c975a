"""One client on one event loop, in a process of its own.

Reads a JSON request per line from standard input, `{"tasks": 64, "seconds":
0.5}`, calls GET that long and answers with a `Sample` as a JSON line.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from benchmarks.peers import PEERS, Get

KEY = "bench:0"
LOOPS = ("asyncio", "uvloop")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one client did in one round.

    Attributes:
        rate: Commands per second.
        p50: Median seconds from call to reply.
        p99: Seconds that 99 of 100 commands stayed below.
        cpu: This process's CPU seconds per command.
    """

    rate: float
    p50: float
    p99: float
    cpu: float


async def measure(get: Get, tasks: int, seconds: float) -> Sample:
    """Call *get* from that many tasks, each one command after another."""
    clock = time.perf_counter
    latencies: list[float] = []
    cpu, began = time.process_time(), clock()
    end = began + seconds

    async def caller() -> None:
        now = began
        while not latencies or now < end:
            sent = clock()
            await get(KEY)
            now = clock()
            latencies.append(now - sent)

    await asyncio.gather(*[caller() for _ in range(tasks)])
    cpu, elapsed, count = time.process_time() - cpu, clock() - began, len(latencies)
    latencies.sort()
    return Sample(count / elapsed, latencies[count // 2], latencies[int(count * 0.99)], cpu / count)


async def serve(peer: str, url: str) -> None:
    """Answer requests until standard input ends."""
    loop = asyncio.get_running_loop()
    async with PEERS[peer].open(url) as get:
        await measure(get, 256, 0.2)
        print(json.dumps({"ready": True}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            request = json.loads(line)
            await measure(get, request["tasks"], min(0.05, request["seconds"] / 4))
            sample = await measure(get, request["tasks"], request["seconds"])
            print(json.dumps(asdict(sample)), flush=True)


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what `asyncio.Runner` needs for that event loop."""
    if name == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


def main() -> None:
    """Run the worker; what stops it is one JSON line too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("loop", choices=LOOPS)
    parser.add_argument("url")
    arguments = parser.parse_args()
    try:
        with asyncio.Runner(loop_factory=loop_factory(arguments.loop)) as runner:
            runner.run(serve(arguments.peer, arguments.url))
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        raise


if __name__ == "__main__":
    main()
