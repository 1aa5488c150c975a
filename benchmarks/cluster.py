"""GET and SET of random keys on a Cluster of three primaries: ours, redis-py's, valkey-glide's.

Run it by `python -m benchmarks.cluster`.  Every client works for a moment in
each round, one after another, so that whatever else the machine does meets all
of them; each figure is the median over the rounds.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from statistics import median
from typing import Any

from benchmarks.commands import TASKS
from benchmarks.plan import FULL, QUICK, Plan, rotated
from benchmarks.worker import Sample, measure
from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.server import RedisServer

KEYS = [f"bench:{number}" for number in range(10_000)]
VALUE = "x" * 64
COMMANDS = ("GET", "SET")
OURS, REDIS_PY, GLIDE = "redis_manager_fastapi", "redis-py", "valkey-glide"
TARGET = 5.0

Opener = Callable[[list[RedisServer]], AbstractAsyncContextManager[Any]]
Samples = dict[tuple[str, str, int], list[Sample]]


@asynccontextmanager
async def _ours(nodes: list[RedisServer]) -> AsyncIterator[Any]:
    url = ClusterDeployment.url_of(nodes)
    async with RedisManager(url=url) as manager, manager.client() as client:
        yield client


@asynccontextmanager
async def _redis_py(nodes: list[RedisServer]) -> AsyncIterator[Any]:
    from redis.asyncio import RedisCluster

    first = nodes[0]
    client = RedisCluster(first.host, first.port, decode_responses=True, max_connections=256)
    async with client:
        yield client


@asynccontextmanager
async def _glide(nodes: list[RedisServer]) -> AsyncIterator[Any]:
    from glide import GlideClusterClient, GlideClusterClientConfiguration, NodeAddress

    configuration = GlideClusterClientConfiguration(
        [NodeAddress(node.host, node.port) for node in nodes], request_timeout=5_000
    )
    client = await GlideClusterClient.create(configuration)
    try:
        yield client
    finally:
        await client.close()


PEERS: dict[str, Opener] = {OURS: _ours, REDIS_PY: _redis_py, GLIDE: _glide}


async def run(plan: Plan) -> tuple[Samples, dict[str, str]]:
    """Measure every client; return the samples, and who was left out and why."""
    samples: Samples = {}
    left_out: dict[str, str] = {}
    async with ClusterDeployment(replicas=0) as deployment, AsyncExitStack() as stack:
        clients: dict[str, Any] = {}
        for name, opener in PEERS.items():
            try:
                clients[name] = await stack.enter_async_context(opener(deployment.primaries))
            except ImportError as error:
                left_out[name] = str(error)
        await asyncio.gather(*(clients[OURS].set(key, VALUE) for key in KEYS[:1000]))
        await asyncio.gather(*(clients[OURS].set(key, VALUE) for key in KEYS))
        plan.steps = plan.rounds * len(COMMANDS) * len(TASKS) * len(clients)
        for number in range(plan.rounds):
            for command in COMMANDS:
                for tasks in TASKS:
                    for name in rotated(list(clients), number):
                        plan.progress(f"{command}, {tasks} tasks, {name}")
                        call = _call(clients[name], command)
                        await measure(call, tasks, plan.command_seconds / 4)
                        sample = await measure(call, tasks, plan.command_seconds)
                        samples.setdefault((name, command, tasks), []).append(sample)
    print(file=sys.stderr)
    return samples, left_out


def _call(client: Any, command: str) -> Any:
    pick = random.Random(1).choice  # noqa: S311 (picks keys)
    if command == "GET":
        return lambda _: client.get(pick(KEYS))
    return lambda _: client.set(pick(KEYS), VALUE)


def table(samples: Samples) -> str:
    """Return the rates, latencies and ratios as Markdown."""
    names = [name for name in PEERS if (name, COMMANDS[0], TASKS[0]) in samples]
    lines = [
        "| command, tasks | client | commands/s | p50 ms | p99 ms | to redis-py |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for command in COMMANDS:
        for tasks in TASKS:
            for name in names:
                own = samples[name, command, tasks]
                rate, p50, p99 = (
                    median(getattr(s, a) for s in own) for a in ("rate", "p50", "p99")
                )
                lines.append(
                    f"| {command}, {tasks} | {name} | {rate:,.0f} | {p50 * 1000:.2f} |"
                    f" {p99 * 1000:.2f} | {ratio(samples, name, command, tasks):.2f} |"
                )
    return "\n".join(lines)


def ratio(samples: Samples, name: str, command: str, tasks: int) -> float:
    """Return the median over the rounds of the ratio to redis-py in the same round."""
    pairs = zip(samples[name, command, tasks], samples[REDIS_PY, command, tasks], strict=True)
    return median(mine.rate / its.rate for mine, its in pairs)


def main() -> None:
    """Read the arguments, measure, report."""
    parser = argparse.ArgumentParser(prog="benchmarks.cluster", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    sizes: dict[str, Any] = QUICK if parser.parse_args().quick else FULL
    plan = Plan(**sizes)
    samples, left_out = asyncio.run(run(plan))
    print(table(samples))
    for name, why in left_out.items():
        print(f"\n{name} was left out: {why}")
    figure = ratio(samples, OURS, "GET", 64)
    print(f"\nGET at 64 tasks, to redis-py's RedisCluster: {figure:.2f} ({TARGET:g} or more asked)")


if __name__ == "__main__":
    main()
