"""Commands per second, latency and CPU, each client in a process of its own.

Rounds are interleaved: in each, every client works for a moment, one after
another, so that whatever else the machine does meets all of them.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks.peers import PEERS, REDIS_PY
from benchmarks.plan import Plan, rotated
from benchmarks.processes import LeftOutError, Worker
from benchmarks.worker import Sample

TASKS = (1, 16, 64, 256)

Series = dict[tuple[str, int], list[Sample]]


@dataclass(slots=True)
class CommandResults:
    """The samples of one command on one event loop.

    Attributes:
        name: What tells these results from the others: the event loop, or the command.
        titles: The clients' names in tables and pictures, in their order.
        samples: By client and number of tasks, one for each round.
        left_out: Clients that could not take part, and why.
        tasks: With how many tasks it was measured.
    """

    name: str
    titles: dict[str, str]
    samples: Series = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    tasks: tuple[int, ...] = TASKS

    @property
    def peers(self) -> list[str]:
        """The clients that took part, in the table's order."""
        return [peer for peer in self.titles if (peer, TASKS[0]) in self.samples]

    def middle(self, peer: str, tasks: int, attribute: str) -> float:
        """Return the median over the rounds of one figure."""
        return median(getattr(sample, attribute) for sample in self.samples[peer, tasks])

    def ratio(self, peer: str, tasks: int, attribute: str = "rate", to: str = REDIS_PY) -> float:
        """Return the median over the rounds of the ratio to another client in the same round."""
        pairs = zip(self.samples[peer, tasks], self.samples[to, tasks], strict=True)
        return median(getattr(mine, attribute) / getattr(its, attribute) for mine, its in pairs)


async def measure_commands(plan: Plan, url: str, loop: str) -> CommandResults:
    """Measure every client on that event loop."""
    results = CommandResults(loop, {name: peer.title for name, peer in PEERS.items()})
    async with AsyncExitStack() as stack:
        workers: dict[str, Worker] = {}
        for peer in PEERS:
            try:
                workers[peer] = await stack.enter_async_context(Worker(peer, loop, url))
            except LeftOutError as error:
                results.left_out[peer] = str(error)
        for number in range(plan.rounds):
            for tasks in TASKS:
                for peer in rotated(list(workers), number):
                    plan.progress(f"{loop}, {tasks} tasks, {PEERS[peer].title}")
                    reply = await workers[peer].ask(tasks=tasks, seconds=plan.command_seconds)
                    results.samples.setdefault((peer, tasks), []).append(Sample(**reply))
    return results


def steps(plan: Plan) -> int:
    """How many measurements one event loop takes."""
    return plan.rounds * len(TASKS) * len(PEERS)
