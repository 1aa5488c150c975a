"""A collector for Prometheus; needs the extra `prometheus`."""

from collections.abc import Iterator
from itertools import accumulate

from redis_manager_fastapi.metrics.families import DURATION, FAMILIES, Family
from redis_manager_fastapi.metrics.seen import Seen, Source, managers_of, see
from redis_manager_fastapi.pool.counters import BOUNDS, Latency

try:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    message = "metrics for Prometheus need: pip install 'redis_manager_fastapi[prometheus]'"
    raise ImportError(message) from error

PREFIX = "redis_client"


class RedisCollector(Collector):
    """Reads the stats of managers when Prometheus asks, and does nothing in between.

    `prometheus_client.REGISTRY.register(RedisCollector(manager))`.

    Args:
        sources: Managers and registries.

    Raises:
        TypeError, ValueError: They are none, or two managers have the same name.
    """

    def __init__(self, *sources: Source) -> None:
        self._managers = managers_of(sources)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, of all managers."""
        seen = [see(manager) for manager in self._managers]
        for family in FAMILIES:
            yield _metric(family, seen)
        yield _histogram(DURATION, seen)


def _metric(family: Family, seen: list[Seen]) -> Metric:
    make = CounterMetricFamily if family.grows else GaugeMetricFamily
    name = f"{PREFIX}_{family.name}"
    metric = make(name, family.words, labels=family.labels, unit=family.unit)
    for each in seen:
        for sample in family.read(each):
            metric.add_metric(sample.labels, float(sample.value))
    return metric


def _histogram(family: Family, seen: list[Seen]) -> Metric:
    name = f"{PREFIX}_{family.name}"
    metric = HistogramMetricFamily(name, family.words, labels=family.labels, unit=family.unit)
    for each in seen:
        for labels, latency in family.read(each):
            metric.add_metric(labels, _buckets(latency), latency.total)
    return metric


def _buckets(latency: Latency) -> list[tuple[str, float]]:
    """Return how many took no longer than each bound: for Prometheus, each has those before it."""
    bounds = [*map(str, BOUNDS), "+Inf"]
    return list(zip(bounds, accumulate(latency.buckets), strict=True))
