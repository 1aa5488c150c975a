"""What an operation costs now, relative to an earlier commit: `scripts/bench --against COMMIT`.

Both versions run on one server, each in a process of its own, and are measured
by turns. A figure is CPU per operation; a ratio is the median of those within a round.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles

from benchmarks.apps import KEYS, VALUE
from benchmarks.processes import ROOT
from benchmarks.worker import LOOPS
from redis_manager_fastapi.testing.server import RedisServer

WORKER = Path(__file__).with_name("operations.py")
Costs = dict[str, float]
Ask = Callable[[float], Awaitable[Costs]]


def main() -> None:
    """Read the arguments, check the commit out, compare."""
    parser = argparse.ArgumentParser(prog="scripts/bench --against", description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--loop", choices=LOOPS, default=LOOPS[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each operation in a round")
    parser.add_argument("--only", default="", help="the operations whose name has this in it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _check_out(arguments.commit, Path(folder))
        rounds = asyncio.run(compare(Path(folder), arguments))
    print(f"{arguments.loop}, {arguments.rounds} rounds, to {arguments.commit}:\n")
    print(table(rounds))


async def compare(earlier: Path, arguments: argparse.Namespace) -> list[tuple[Costs, Costs]]:
    """Measure both by turns; return a pair of costs for each round, the earlier first."""
    pairs, rounds = [], arguments.rounds
    async with RedisServer() as server:
        async with server.client() as client:
            await client.mset(dict.fromkeys(KEYS, VALUE))
        options = (arguments.loop, server.url, arguments.only)
        async with _worker(earlier, *options) as old, _worker(ROOT, *options) as new:
            for number in range(rounds):
                order = (old, new) if number % 2 else (new, old)
                costs = {ask: await ask(arguments.seconds) for ask in order}
                pairs.append((costs[old], costs[new]))
                print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return pairs


def table(rounds: list[tuple[Costs, Costs]]) -> str:
    """Return the rows of Markdown: CPU per operation before and now, and the ratio's spread."""
    lines = [
        "| operation | before, us | now, us | ratio | middle half | ratio of the lowest |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in rounds[0][0]:
        ratios = [new[name] / old[name] for old, new in rounds]
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        before, now = ([pair[side][name] for pair in rounds] for side in (0, 1))
        lines.append(
            f"| {name} | {median(before):.1f} | {median(now):.1f} | {median(ratios):.3f} "
            f"| {low:.2f} to {high:.2f} | {min(now) / min(before):.3f} |"
        )
    return "\n".join(lines)


def _check_out(commit: str, folder: Path) -> None:
    git = ("git", "-C", str(ROOT))
    archive = subprocess.run(
        [*git, "archive", commit, "redis_manager_fastapi"], check=True, stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], check=True, input=archive.stdout)


@asynccontextmanager
async def _worker(tree: Path, *options: str) -> AsyncIterator[Ask]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", str(WORKER), *options),
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the worker has no pipes")
    stdin, stdout = process.stdin, process.stdout

    async def ask(seconds: float) -> Costs:
        stdin.write(json.dumps({"seconds": seconds}).encode() + b"\n")
        line = await stdout.readline()
        if not line:
            raise SystemExit(f"scripts/bench: the worker of {tree} ended")
        return dict(json.loads(line))

    if not await stdout.readline():
        raise SystemExit(f"scripts/bench: the worker of {tree} did not start")
    try:
        yield ask
    finally:
        stdin.close()
        await process.wait()


if __name__ == "__main__":
    main()
