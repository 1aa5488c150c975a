"""What OpenTelemetry's SDK collects, by its semantic conventions."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import redis.exceptions
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from redis_manager_fastapi import RedisManager, RedisRegistry
from redis_manager_fastapi.metrics.otel import observe_metrics
from redis_manager_fastapi.pool.counters import BOUNDS
from redis_manager_fastapi.testing import RedisServer
from tests.kit.caching import cache_of, until_cached
from tests.kit.servers import needs

POOL = "db.client.connection.pool.name"


def collected(reader: InMemoryMetricReader) -> dict[str, Any]:
    """Return each metric by its name."""
    data = reader.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def values(metric: Any) -> dict[frozenset[tuple[str, str]], float]:
    """Return a metric's values by their attributes."""
    return {frozenset(point.attributes.items()): point.value for point in metric.data.data_points}


async def test_the_time_of_commands_can_be_left_out(redis_server: RedisServer) -> None:
    reader, manager = InMemoryMetricReader(), RedisManager(url=redis_server.url)
    observe_metrics(manager, meter_provider=MeterProvider([reader]), duration=False)
    async with manager:
        await manager.redis.set("key", 1)
        metrics = collected(reader)

    assert "redis.client.commands" in metrics
    assert "db.client.operation.duration" not in metrics


@pytest.mark.usefixtures("pipelining")
@needs("CLIENT TRACKING with RESP3", redis="7.0")
async def test_the_cache_s_metrics_have_redis_py_s_names(redis_server: RedisServer) -> None:
    reader, manager = InMemoryMetricReader(), RedisManager(url=redis_server.url)
    observe_metrics(manager, meter_provider=MeterProvider([reader]))
    async with manager:
        assert "redis.client.csc.items" not in collected(reader)
        cached = manager.redis.with_options(cache=60.0)
        await until_cached(manager, cached)
        misses = cache_of(manager).stats().misses
        for _ in range(3):
            await cached.get("key")
        metrics = collected(reader)

    name = (POOL, "default")
    results = {
        dict(attributes)["redis.client.csc.result"]: count
        for attributes, count in values(metrics["redis.client.csc.requests"]).items()
    }
    assert results == {"hit": 2, "miss": misses + 1, "joined": 0}
    assert values(metrics["redis.client.csc.items"]) == {frozenset({name}): misses + 1}
    full = frozenset({name, ("redis.client.csc.reason", "full")})
    assert values(metrics["redis.client.csc.evictions"])[full] == 0
    assert metrics["redis.client.csc.items"].unit == "{item}"


@pytest.mark.usefixtures("pipelining")
async def test_metrics_have_the_conventions_names(redis_server: RedisServer) -> None:
    reader = InMemoryMetricReader()
    registry = RedisRegistry(cache=redis_server.url, queue=redis_server.url)
    observe_metrics(registry, meter_provider=MeterProvider([reader]))
    assert registry["cache"].name in str(collected(reader))
    async with registry:
        r = registry["cache"].redis
        await asyncio.gather(*(r.set("key", n) for n in range(10)))
        with suppress(redis.exceptions.ResponseError):
            await r.lpush("key", 1)
        async with registry["cache"].connection():
            metrics = collected(reader)
        stats = registry["cache"].stats()

    cache = (POOL, "cache")
    used = frozenset({cache, ("db.client.connection.state", "used")})
    assert values(metrics["db.client.connection.count"])[used] == 1
    assert values(metrics["db.client.connection.max"])[frozenset({cache})] == 20
    assert values(metrics["db.client.connection.pending_requests"])[frozenset({cache})] == 0
    assert values(metrics["db.client.connection.timeouts"])[frozenset({cache})] == 0
    assert values(metrics["redis.client.commands"])[frozenset({cache})] == stats.commands == 11
    errors = values(metrics["redis.client.errors"])
    assert errors == {frozenset({cache, ("error.type", "WRONGTYPE")}): 1}
    duration = metrics["db.client.operation.duration"]
    (point,) = duration.data.data_points
    assert duration.unit == "s"
    assert point.attributes == {"db.system.name": "redis", POOL: "cache"}
    assert point.count == stats.latency.count == 11
    assert tuple(point.explicit_bounds) == BOUNDS
    assert tuple(point.bucket_counts) == stats.latency.buckets
    assert point.sum == pytest.approx(stats.latency.total)
