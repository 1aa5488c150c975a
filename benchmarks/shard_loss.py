"""What the other shards of a Cluster feel while one loses its primary."""

import asyncio
import itertools
from dataclasses import dataclass, field
from statistics import median

from benchmarks.plan import Plan
from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.client.cluster.keys import slot_of
from redis_manager_fastapi.testing.cluster import ClusterDeployment

RATE = 500
QUIET = 3.0
AFTER = 1.0

# Longer than an election: a read on the lost shard returns when the shard serves again.
_PATIENT = {"outage": {"grace": 20.0}, "timeout": {"command": 20.0}}


@dataclass(slots=True)
class ShardLossResults:
    """GET on two shards of three, before and while the third has no primary.

    Attributes:
        quiet: Each round's p99 before, in seconds.
        losing: Each round's p99 from the kill until a second after the election.
        away: Each round's seconds from the kill until the lost shard answered.
        failed: Errors on the two shards, in all rounds.
    """

    quiet: list[float] = field(default_factory=list)
    losing: list[float] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def ratio(self) -> float:
        """The median ratio to quiet in the same round."""
        return median(b / a for a, b in zip(self.quiet, self.losing, strict=True))


async def measure_shard_loss(plan: Plan) -> ShardLossResults:
    """Kill a primary in each round, on a Cluster of its own."""
    results = ShardLossResults()
    for _ in range(plan.rounds):
        plan.progress("a Cluster loses a primary")
        async with ClusterDeployment() as deployment:
            url = ClusterDeployment.url_of(deployment.nodes)
            async with RedisManager(url=url, **_PATIENT) as manager:
                await _round(deployment, manager, results)
    return results


async def _round(
    deployment: ClusterDeployment, manager: RedisManager, results: ShardLossResults
) -> None:
    lost, *spared = ([_key(deployment.slots_of(i), n) for n in range(20)] for i in range(3))
    loop = asyncio.get_running_loop()
    load = _Load(manager, [key for keys in spared for key in keys])
    await load.run(until=loop.time() + 1.0)
    results.quiet.append(await load.run(until=loop.time() + QUIET))
    killed = loop.time()
    await deployment.primaries[0].kill()
    losing = asyncio.create_task(load.run())
    await manager.redis.get(lost[0])
    results.away.append(loop.time() - killed)
    await asyncio.sleep(AFTER)
    load.ends = loop.time()
    results.losing.append(await losing)
    results.failed += load.failed


class _Load:
    """GETs at a steady rate, each in a task of its own, whatever became of the last one."""

    def __init__(self, manager: RedisManager, keys: list[str]) -> None:
        self.failed = 0
        self.ends = float("inf")
        self._redis = manager.redis
        self._keys = itertools.cycle(keys)

    async def run(self, until: float = float("inf")) -> float:
        """Run until then, or until `ends` has come; return the p99 in seconds."""
        loop = asyncio.get_running_loop()
        self.ends, due = until, loop.time()
        times: list[float] = []
        async with asyncio.TaskGroup() as group:
            while loop.time() < self.ends:
                group.create_task(self._get(times))
                due += 1 / RATE
                await asyncio.sleep(due - loop.time())
        return sorted(times)[int(len(times) * 0.99)]

    async def _get(self, times: list[float]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            await self._redis.get(next(self._keys))
        except Exception:
            self.failed += 1
        times.append(clock() - began)


def _key(slots: range, number: int) -> str:
    """Return a key of those slots."""
    names = (f"bench:{number}:{attempt}" for attempt in itertools.count())
    return next(name for name in names if slot_of(name) in slots)


def steps(plan: Plan) -> int:
    """How many measurements this takes."""
    return plan.rounds
