"""What a command costs that is a span: `python -m benchmarks.tracing` prints the table of docs.

Each way runs in a process of its own, because most of them cannot be undone, in turn with the
others.  Spans are recorded, and dropped in the place of an exporter.
"""

import argparse
import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import nullcontext
from statistics import median
from typing import Any

from benchmarks.worker import measure
from redis_manager_fastapi import RedisManager
from redis_manager_fastapi.testing import RedisServer

TASKS = 64


def provider() -> Any:
    """Return a provider whose spans are recorded and dropped."""
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    found = TracerProvider()
    found.add_span_processor(SpanProcessor())
    return found


def none(manager: RedisManager) -> None:
    """Observe nothing."""


def own(manager: RedisManager) -> None:
    """Make our own spans."""
    from redis_manager_fastapi.tracing import instrument

    instrument(manager, provider())


def own_unrecorded(manager: RedisManager) -> None:
    """Make our own spans while the app has no tracer provider, or samples none of them."""
    from redis_manager_fastapi.tracing import instrument

    instrument(manager)


def opentelemetry(manager: RedisManager) -> None:
    """Instrument redis-py by OpenTelemetry."""
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    instrumentor: Any = RedisInstrumentor()
    instrumentor.instrument(tracer_provider=provider())


def sentry(manager: RedisManager) -> None:
    """Instrument redis-py by Sentry."""
    import sentry_sdk

    sentry_sdk.init(
        "http://key@127.0.0.1/1",
        transport=lambda _: None,
        traces_sample_rate=1.0,
        _experiments={"max_spans": 1_000_000},  # by default no more than a thousand for each
    )


def metrics(manager: RedisManager) -> None:
    """Turn redis-py's own metrics on."""
    from opentelemetry.metrics import set_meter_provider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from redis.observability import OTelConfig, get_observability_instance
    from redis.observability.config import MetricGroup

    set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    get_observability_instance().init(OTelConfig(metric_groups=[MetricGroup.COMMAND]))


WAYS: dict[str, tuple[str, Callable[[RedisManager], None]]] = {
    "none": ("nothing observes the commands", none),
    "own-unrecorded": ("our own spans, not recorded", own_unrecorded),
    "own": ("our own spans", own),
    "opentelemetry": ("`opentelemetry-instrumentation-redis`", opentelemetry),
    "sentry": ("Sentry's `RedisIntegration`, in a transaction", sentry),
    "metrics": ("redis-py's own metrics", metrics),
}


async def work(way: str, url: str) -> None:
    """Print the CPU time of a command, in microseconds, for each line of standard input."""
    _, begin = WAYS[way]
    async with RedisManager(url=url) as manager:
        get = manager.redis.get
        await get("key")
        begin(manager)
        while await asyncio.to_thread(sys.stdin.readline):
            with transaction() if way == "sentry" else nullcontext():
                sample = await measure(get, TASKS, 0.25)
            print(sample.cpu * 1e6, flush=True)


def transaction() -> Any:
    """Return what a request is to Sentry, without which it makes no span."""
    import sentry_sdk

    return sentry_sdk.start_transaction(name="request")


async def compare(rounds: int) -> None:
    """Print the medians over that many rounds."""
    async with RedisServer() as server:
        workers = {way: await start(way, server.url) for way in WAYS}
        figures: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, worker in workers.items():
                worker.stdin.write(b"\n")
                figures[way].append(float(await worker.stdout.readline()))
        for worker in workers.values():
            worker.stdin.close()
            await worker.wait()
    least = median(figures["none"])
    print("| | CPU per command, µs | of it for the spans |")
    print("| --- | ---: | ---: |")
    for way, (title, _) in WAYS.items():
        value = median(figures[way])
        print(f"| {title} | {value:.1f} | {f'{value - least:.1f}' if way != 'none' else ''} |")


async def start(way: str, url: str) -> Any:
    """Start the process of one way."""
    command = (sys.executable, "-m", "benchmarks.tracing", "--url", url, "--way", way)
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)


def main() -> None:
    """Compare all ways, or work in one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--url")
    arguments = parser.parse_args()
    if arguments.way:
        asyncio.run(work(arguments.way, arguments.url))
    else:
        asyncio.run(compare(arguments.rounds))


if __name__ == "__main__":
    main()
