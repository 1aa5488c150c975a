"""The page and the pictures in `docs/`."""

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import tables
from benchmarks.apps import VALUE
from benchmarks.chart import Panel, grouped_bars
from benchmarks.cluster import KEYS, TEN
from benchmarks.commands import TASKS, CommandResults
from benchmarks.http_routes import CLIENTS, CONNECTIONS, HTTPResults
from benchmarks.large_values import CALLERS
from benchmarks.plan import Plan
from benchmarks.shard_loss import AFTER, QUIET, RATE
from benchmarks.targets import Results, findings

PAGE, COMMANDS, ROUTES = "benchmarks.md", "benchmarks-commands.svg", "benchmarks-routes.svg"


def files(plan: Plan, results: Results) -> dict[str, str]:
    """Return every file of the report, by name."""
    made = {PAGE: page(plan, results)}
    if results.commands:
        made[COMMANDS] = _commands_picture(results.commands)
    if results.http is not None and results.http.clients:
        made[ROUTES] = _routes_picture(results.http)
    return made


def write(directory: Path, made: dict[str, str]) -> None:
    """Write the files."""
    for name, text in made.items():
        (directory / name).write_text(text)


def page(plan: Plan, results: Results) -> str:
    """Return the Markdown page."""
    blocks = [
        "# Benchmarks",
        "This page shows how many commands and requests a second the library handles, next to"
        " other clients and a bare protocol.",
        f"`scripts/bench` wrote this page on {datetime.now(UTC):%Y-%m-%d} with Python"
        f" {platform.python_version()} on {os.cpu_count()} CPUs ({platform.machine()}):"
        f" {', '.join(tables.versions())}. It ran {plan.rounds} interleaved rounds. Each figure is"
        " the median over the rounds, each ratio the median of the ratios within a round.",
        *_left_out(results),
        "## Targets",
        tables.targets_table(findings(results)),
    ]
    if results.commands:
        blocks += _commands(plan, results.commands)
    if results.http is not None and results.http.clients:
        blocks += _routes(plan, results.http)
    if results.cluster:
        blocks += _cluster(plan, results.cluster)
    if results.shard_loss is not None:
        blocks += [
            "## A Cluster that loses a primary",
            f"Three primaries have a replica each. Two of the shards get {RATE} GETs a second while"
            f" the third's primary is killed. *Before* covers the {QUIET:g} s before the kill,"
            f" *meanwhile* the time from the kill until {AFTER:g} s after the third shard answers"
            " again.",
            tables.shard_loss_table(results.shard_loss),
        ]
    if results.large is not None:
        blocks += [
            "## Next to large values",
            f"{CALLERS} callers request a route that does one small GET, while another route in"
            " the same process reads 8 MB values one after another without a pause. The time of"
            " the small GET is taken inside its route.",
            tables.large_values_table(results.large),
        ]
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def _commands(plan: Plan, commands: list[CommandResults]) -> Iterator[str]:
    yield "## Commands"
    yield (
        f"Each client runs in a separate process for {plan.command_seconds:g} s a round and sends"
        f" GET of {len(VALUE)} bytes to a server on the same machine. The ratio to redis-py is in"
        " brackets. redis-py has two rows: one with a `ConnectionPool` that has a connection for"
        " each task, and one with a `BlockingConnectionPool` of 50, its default. The other clients"
        " have their default settings. The bare protocol packs, writes once per turn of the event"
        " loop and parses; it has no deadline, no bound and no healing."
    )
    yield f"![Commands per second by number of tasks]({COMMANDS})"
    for results in commands:
        yield f"### {results.name}"
        yield tables.rates_table(results)
        yield tables.latency_table(results)
        yield tables.cpu_table(results)


def _cluster(plan: Plan, cluster: list[CommandResults]) -> Iterator[str]:
    yield "## Cluster"
    yield (
        f"Three primaries run on the same machine and hold {KEYS:,} random keys of {len(VALUE)}"
        f" bytes. Each client runs for {plan.command_seconds:g} s a round in one process on"
        " asyncio. In brackets is the ratio to redis-py's `RedisCluster`, which may have 256"
        f" connections to each node. Of {TEN} commands that a task gathers, the rate counts each,"
        " and the latency is that of all."
    )
    for results in cluster:
        yield f"### {results.name} on a Cluster"
        yield tables.rates_table(results)
        yield tables.latency_table(results)


def _routes(plan: Plan, http: HTTPResults) -> Iterator[str]:
    yield "## Routes"
    yield (
        f"FastAPI runs under one uvicorn worker (uvloop, httptools, no access log), and wrk sends"
        f" requests over {CONNECTIONS} connections for {plan.http_seconds} s a round. Every route"
        " answers with the same body. The table has the requests per second with a good answer, and"
        " in brackets their share of the same app's route without Redis. redis-py is one client"
        " over a `BlockingConnectionPool` of 50, its default, which an `async def` dependency"
        " returns. fastapi-redis-sdk has its default settings. The bare protocol is returned like"
        " redis-py; it shows the least that such routes cost."
    )
    yield f"![Share of the route without Redis]({ROUTES})"
    yield tables.http_table(http)
    yield tables.connections_table(http)


def _left_out(results: Results) -> Iterator[str]:
    missing = {
        f"{commands.titles[peer]} ({commands.name})": why
        for commands in (*results.commands, *results.cluster)
        for peer, why in commands.left_out.items()
    }
    if results.http is not None:
        missing |= {CLIENTS.get(name, name): why for name, why in results.http.left_out.items()}
    if missing:
        yield "Left out: " + "; ".join(f"{name}: {why}" for name, why in missing.items()) + "."


def _commands_picture(commands: list[CommandResults]) -> str:
    panels = []
    for results in commands:
        rates = {
            results.titles[peer]: [results.middle(peer, tasks, "rate") / 1000 for tasks in TASKS]
            for peer in results.peers
        }
        labels = {name: [f"{rate:.0f}" for rate in values] for name, values in rates.items()}
        panels.append(Panel(results.name, [str(tasks) for tasks in TASKS], dict(rates), labels))
    title = f"GET of {len(VALUE)} bytes: commands per second"
    return grouped_bars(title, "thousand commands/s", "concurrent tasks", panels)


def _routes_picture(http: HTTPResults) -> str:
    shares = {
        CLIENTS[client]: [http.share(client, route) for route in ("one", "ten")]
        for client in http.clients
    }
    labels = {name: [f"{share:.2f}" for share in values] for name, values in shares.items()}
    panel = Panel("one uvicorn worker", ["one GET", "ten gathered GETs"], dict(shares), labels)
    title = "Requests per second, as a share of the same route without Redis"
    return grouped_bars(title, "share of no Redis", "commands per request", [panel])
