"""Measure, and write `docs/benchmarks.md` with its pictures."""

import argparse
import asyncio
import sys
from pathlib import Path

from benchmarks import cluster, commands, http_routes, large_values, report, shard_loss
from benchmarks.apps import KEYS, VALUE
from benchmarks.http_routes import measure_http
from benchmarks.large_values import measure_large_values
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.processes import ROOT
from benchmarks.targets import Results
from benchmarks.worker import LOOPS
from redis_manager_fastapi.testing.server import RedisServer

PARTS = (*LOOPS, "http", "large", "cluster", "shard_loss")


def main() -> None:
    """Read the arguments, measure, report."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="measure this part; may be repeated"
    )
    parser.add_argument(
        "--output", type=Path, help="where to write; a quick or partial run only prints without it"
    )
    arguments = parser.parse_args()
    parts = arguments.only or list(PARTS)
    plan = Plan(**(QUICK if arguments.quick else FULL))
    plan.steps = sum(_steps(plan, part) for part in parts)
    results = asyncio.run(measure(plan, parts))
    made = report.files(plan, results)
    print(made[report.PAGE])
    output = arguments.output
    if output is None and not arguments.quick and not arguments.only:
        output = ROOT / "docs"
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        report.write(output, made)
        print(f"scripts/bench: wrote {', '.join(made)} into {output}", file=sys.stderr)


async def measure(plan: Plan, parts: list[str]) -> Results:
    """Measure the named parts on a server of their own."""
    results = Results([])
    async with RedisServer() as server:
        async with server.client() as client:
            await client.mset(dict.fromkeys(KEYS, VALUE))
        for loop in LOOPS:
            if loop in parts:
                results.commands.append(await commands.measure_commands(plan, server.url, loop))
        if "http" in parts:
            results.http = await measure_http(plan, server)
        if "large" in parts:
            results.large = await measure_large_values(plan, server)
    if "cluster" in parts:
        results.cluster = await cluster.measure_cluster(plan)
    if "shard_loss" in parts:
        results.shard_loss = await shard_loss.measure_shard_loss(plan)
    print(file=sys.stderr)
    return results


def _steps(plan: Plan, part: str) -> int:
    rooms = {"http": http_routes, "large": large_values, "cluster": cluster}
    rooms["shard_loss"] = shard_loss
    return rooms.get(part, commands).steps(plan)


if __name__ == "__main__":
    main()
