"""Where the time of a command goes, by name: `scripts/bench --profile`.

cProfile charges each Python call about as much again, so its figures rank the
costs; what a change gains is measured without it.
"""

import argparse
import asyncio
import cProfile
import pstats

from benchmarks.apps import KEYS, VALUE
from benchmarks.peers import OURS, PEERS
from benchmarks.worker import LOOPS, loop_factory, measure
from redis_manager_fastapi.testing.server import RedisServer


async def profile(peer: str, tasks: int, seconds: float, lines: int) -> None:
    """Print the functions in which that client spends its own time."""
    async with RedisServer() as server:
        async with server.client() as client:
            await client.mset(dict.fromkeys(KEYS, VALUE))
        async with PEERS[peer].open(server.url) as get:
            await measure(get, tasks, 0.2)
            profiler = cProfile.Profile()
            profiler.enable()
            sample = await measure(get, tasks, seconds)
            profiler.disable()
    print(f"{PEERS[peer].title}, {tasks} tasks: {sample.rate:,.0f} commands/s under the profiler")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(lines)


def main() -> None:
    """Read the arguments and profile."""
    parser = argparse.ArgumentParser(prog="scripts/bench --profile", description=__doc__)
    parser.add_argument("--peer", choices=PEERS, default=OURS)
    parser.add_argument("--loop", choices=LOOPS, default=LOOPS[0])
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--lines", type=int, default=25)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory(arguments.loop)) as runner:
        runner.run(profile(arguments.peer, arguments.tasks, arguments.seconds, arguments.lines))


if __name__ == "__main__":
    main()
