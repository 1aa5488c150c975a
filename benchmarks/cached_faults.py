"""The greatest staleness under faults: `scripts/client-cache faults`.

One server, one that Sentinels watch, and a Cluster are broken side by side: processes are killed
and stopped, with and without a fail-over, slots are moved, connections are reset, and packets are
swallowed on the tracked connection, on the shared ones, on both, or on the way to a server.
Meanwhile writers next to the servers raise numbers every few milliseconds, and note what is true
when (`benchmarks/staleness/truth.py` says what that is across a fail-over), and readers ask for
the same keys by way of the cache, over proxies.  How old a value was when it was asked for is
known to a few milliseconds, and to a tenth of a second where a new primary ended it.

Reads without the cache are held against the same truth, for comparison: where a deployment leaves
a primary that does not know of it yet, they are behind as well.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.staleness.faults import Faults
from benchmarks.staleness.grounds import Alone, Ground, Sharded, Watched
from benchmarks.staleness.reading import Readers

GROUNDS: dict[str, Callable[[], Ground]] = {
    "standalone": Alone,
    "sentinel": Watched,
    "cluster": Sharded,
}
SLACK = 0.1  # for what the machine and the measuring add
COOL_DOWN = 2.0


async def broken(ground: Ground, seconds: float) -> tuple[str, float]:
    """Break a deployment that is open; return the report, and by how much a value was too old."""
    cached, plain = Readers(), Readers()
    faults = Faults(ground, (cached, plain))
    client: Any = ground.manager.redis
    tasks = [asyncio.create_task(each.run()) for each in ground.writers]
    tasks += [
        asyncio.create_task(cached.read(ground.cached, ground.writers)),
        asyncio.create_task(plain.read(client.with_options(grace=0.2), ground.writers)),
    ]
    try:
        await faults.run(seconds)
        await asyncio.sleep(COOL_DOWN)
    finally:
        cached.over = plain.over = True
        for writer in ground.writers:
            writer.over = True
        await asyncio.gather(*tasks)
    text, excess = report(ground, cached, plain)
    return f"{text}  could not be made: {dict(faults.unmade)}\n", excess


def report(ground: Ground, cached: Readers, plain: Readers) -> tuple[str, float]:
    """Return what came of it in words, and by how much a value was older than is promised."""
    health = ground.manager.settings.health
    bound = health.interval + health.timeout
    ages, others = cached.oldest(), plain.oldest()
    lines = [f"{ground.name}: {cached.faults.total()} faults, {cached.reads.total()} cached reads"]
    for fault, reads in sorted(cached.reads.items()):
        made = f"{cached.faults[fault]:4} x {fault:50}"
        lines.append(f"  {made} {reads:7} reads, oldest {ages[fault]:.3f} s")
        lines[-1] += f" (without the cache {others.get(fault, 0.0):.3f} s)"
    greatest = max(ages.values())
    lines.append(f"  greatest staleness: {greatest:.3f} s, of {bound} s that are promised")
    lines.append(f"  gave no value: {dict(cached.refused)}")
    lines.append(f"  {ground.manager.stats().cache}")
    return "\n".join(lines) + "\n", greatest - bound


async def measure(seconds: float, names: list[str]) -> bool:
    """Break each of the deployments for so long; return whether no value was too old."""

    async def run(name: str) -> float:
        async with GROUNDS[name]().open() as ground:
            text, excess = await broken(ground, seconds)
        sys.stdout.write(text)
        sys.stdout.flush()
        return excess

    return max(await asyncio.gather(*map(run, names))) <= SLACK


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/client-cache faults", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=600.0)
    parser.add_argument("--only", choices=GROUNDS, nargs="+", default=list(GROUNDS))
    arguments = parser.parse_args()
    return int(not asyncio.run(measure(arguments.seconds, arguments.only)))


if __name__ == "__main__":
    sys.exit(main())
