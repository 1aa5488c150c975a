"""GET and SET of random keys on a Cluster of three primaries, and GETs that are gathered.

Every client works for a moment in each round, one after another in one process.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from benchmarks.apps import VALUE
from benchmarks.commands import TASKS, CommandResults
from benchmarks.peers import OURS, REDIS_PY
from benchmarks.plan import Plan, rotated
from benchmarks.worker import measure
from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing.cluster import ClusterDeployment
from redis_manager_fastapi.testing.server import RedisServer

KEYS = 10_000
GLIDE = "glide"
TITLES = {OURS: "redis_manager_fastapi", REDIS_PY: "redis-py", GLIDE: "valkey-glide"}
GATHERED, TEN = "Ten gathered GETs", 10
COMMANDS = ("GET", GATHERED, "SET")

_NAMES = [f"bench:{number}" for number in range(KEYS)]
_AT_ONCE = 1000

Opener = Callable[[list[RedisServer]], AbstractAsyncContextManager[Any]]


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


_OPENERS: dict[str, Opener] = {OURS: _ours, REDIS_PY: _redis_py, GLIDE: _glide}


async def measure_cluster(plan: Plan) -> list[CommandResults]:
    """Measure every client; return the results by command."""
    results = [CommandResults(command, dict(TITLES), tasks=_tasks(command)) for command in COMMANDS]
    async with ClusterDeployment(replicas=0) as deployment, AsyncExitStack() as stack:
        clients: dict[str, Any] = {}
        for name, opener in _OPENERS.items():
            try:
                clients[name] = await stack.enter_async_context(opener(deployment.primaries))
            except ImportError as error:
                for each in results:
                    each.left_out[name] = str(error)
        await _fill(clients[OURS])
        for number in range(plan.rounds):
            for each in results:
                for tasks in each.tasks:
                    for name in rotated(list(clients), number):
                        plan.progress(f"Cluster {each.name}, {tasks} tasks, {TITLES[name]}")
                        call = _call(clients[name], each.name)
                        await measure(call, tasks, plan.command_seconds / 4)
                        sample = await measure(call, tasks, plan.command_seconds)
                        if each.name == GATHERED:
                            sample = replace(sample, rate=sample.rate * TEN, cpu=sample.cpu / TEN)
                        each.samples.setdefault((name, tasks), []).append(sample)
    return results


def steps(plan: Plan) -> int:
    """How many measurements this takes."""
    return plan.rounds * sum(len(_tasks(command)) for command in COMMANDS) * len(_OPENERS)


def _tasks(command: str) -> tuple[int, ...]:
    """With more tasks, each of which gathers, redis-py's connections do not suffice."""
    return TASKS[:-1] if command == GATHERED else TASKS


async def _fill(client: Any) -> None:
    for start in range(0, KEYS, _AT_ONCE):
        names = _NAMES[start : start + _AT_ONCE]
        await asyncio.gather(*(client.set(name, VALUE) for name in names))


def _call(client: Any, command: str) -> Callable[[str], Any]:
    pick = random.Random(1).choice  # noqa: S311 (picks keys)
    if command == GATHERED:
        return lambda _: asyncio.gather(*(client.get(pick(_NAMES)) for _ in range(TEN)))
    if command == "GET":
        return lambda _: client.get(pick(_NAMES))
    return lambda _: client.set(pick(_NAMES), VALUE)
