"""What is asked of the figures, and what a run says about it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.cluster import GATHERED
from benchmarks.commands import CommandResults
from benchmarks.http_routes import CROWD, HTTPResults
from benchmarks.large_values import LargeValueResults
from benchmarks.peers import BARE, OURS, REDIS_PY
from benchmarks.shard_loss import ShardLossResults

_ON_A_CLUSTER = {
    "GET": "Cluster GET at 64 tasks",
    GATHERED: "ten gathered Cluster GETs in each of 64 tasks",
}


@dataclass(slots=True)
class Results:
    """All that a run measured; a part that was not run is None.

    Attributes:
        commands: One for each event loop.
        http: The routes under wrk.
        large: Small commands next to large values.
        cluster: One for each command, on a Cluster.
        shard_loss: A Cluster that loses a primary.
    """

    commands: list[CommandResults]
    http: HTTPResults | None = None
    large: LargeValueResults | None = None
    cluster: list[CommandResults] = field(default_factory=list)
    shard_loss: ShardLossResults | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One target next to its figure.

    Attributes:
        measure: What was measured.
        target: What is asked, in words.
        figure: What was found, in words.
        met: Whether it is enough.
    """

    measure: str
    target: str
    figure: str
    met: bool


def findings(results: Results) -> Iterator[Finding]:
    """Compare what was measured with what is asked."""
    for commands in results.commands:
        yield from _about_commands(commands)
    if results.http is not None and "ours" in results.http.clients:
        yield from _about_http(results.http)
    for commands in results.cluster:
        if commands.name in _ON_A_CLUSTER and {OURS, REDIS_PY} <= set(commands.peers):
            measure = f"{_ON_A_CLUSTER[commands.name]}, relative to redis-py's `RedisCluster`"
            yield _at_least(measure, commands.ratio(OURS, 64), 7.5)
    if results.shard_loss is not None:
        measure = "GET p99 on the other shards while a primary is away, relative to before"
        yield _at_most(measure, results.shard_loss.ratio, 2)
        failed = results.shard_loss.failed
        yield Finding("failed commands on those shards", "0", str(failed), failed == 0)
    if results.large is not None:
        measure = "GET p50 while 8 MB values are read with `dedicated=True`, relative to none"
        yield _at_most(measure, results.large.ratio("dedicated"), 2)


def _about_commands(commands: CommandResults) -> Iterator[Finding]:
    if OURS not in commands.peers:
        return
    if REDIS_PY in commands.peers:
        yield _at_least(
            f"GET at 64 tasks, relative to redis-py's pool ({commands.name})",
            commands.ratio(OURS, 64),
            9,
        )
    if BARE in commands.peers:
        measure = f"GET at 64 tasks, relative to a bare protocol with hiredis ({commands.name})"
        yield _at_least(measure, commands.ratio(OURS, 64, to=BARE), 0.75)
    if REDIS_PY in commands.peers:
        measure = f"GET p50 at 1 task, relative to redis-py's pool ({commands.name})"
        yield _at_most(measure, commands.ratio(OURS, 1, "p50"), 0.9)


def _about_http(http: HTTPResults) -> Iterator[Finding]:
    yield _at_least(
        "route with one GET, relative to a route without Redis", http.share("ours", "one"), 0.7
    )
    yield _at_least(
        "route with ten GETs, relative to a route without Redis", http.share("ours", "ten"), 0.45
    )
    failed = http.failed("ours", "one") + http.failed("ours", "ten") + http.crowd["ours"].failed
    yield Finding("failed requests", "0", str(failed), failed == 0)
    connections = http.redis_connections["ours"]
    measure = f"connections to Redis under {CROWD} requests at once, ten GETs each"
    yield Finding(measure, "2 or fewer", str(connections), connections <= 2)


def _at_least(measure: str, value: float, limit: float) -> Finding:
    return Finding(measure, f"{limit:g} or more", f"{value:.2f}", value >= limit)


def _at_most(measure: str, value: float, limit: float) -> Finding:
    return Finding(measure, f"{limit:g} or less", f"{value:.2f}", value <= limit)
