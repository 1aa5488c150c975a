"""Metrics for OpenTelemetry, by its semantic conventions; needs the extra `otel`.

https://opentelemetry.io/docs/specs/semconv/database/database-metrics/ has the names that begin
with `db.client`; what it has no name for begins with `redis.client`.  `redis.client.csc` are
redis-py's names.
"""

from collections.abc import Callable, Iterator, Sequence

from redis_manager_fastapi.manager import RedisManager
from redis_manager_fastapi.metrics.families import DURATION, FAMILIES, Family
from redis_manager_fastapi.metrics.samples import Labels
from redis_manager_fastapi.metrics.seen import WHOLE, Source, managers_of, see
from redis_manager_fastapi.pool.counters import BOUNDS

try:
    from opentelemetry.metrics import (
        CallbackOptions,
        Histogram,
        Meter,
        MeterProvider,
        Observation,
        get_meter,
    )
except ImportError as error:
    message = "metrics for OpenTelemetry need: pip install 'redis_manager_fastapi[otel]'"
    raise ImportError(message) from error

PREFIX = "redis.client"
POOL_NAME = "db.client.connection.pool.name"

_UNITS = {
    "bytes": "By",
    "seconds": "s",
    "": "1",
    "db.client.connection.count": "{connection}",
    "db.client.connection.max": "{connection}",
    "db.client.connection.pending_requests": "{request}",
    "db.client.connection.timeouts": "{timeout}",
    "redis.client.csc.requests": "{request}",
    "redis.client.csc.items": "{item}",
    "redis.client.csc.evictions": "{eviction}",
}

# What a label is called, where the conventions, or redis-py, have a name for it.
_NAMES = {
    "state": "db.client.connection.state",
    "code": "error.type",
    "result": "redis.client.csc.result",
    "reason": "redis.client.csc.reason",
}

Observe = Callable[[CallbackOptions], Iterator[Observation]]


def observe_metrics(
    *sources: Source, meter_provider: MeterProvider | None = None, duration: bool = True
) -> None:
    """Have the metrics of managers and registries observed by the app's meter provider.

    Call it once, after the provider is set.  All numbers are read when the provider collects;
    `db.client.operation.duration` alone is recorded as commands are answered.

    Args:
        sources: Managers and registries.
        meter_provider: The app's global one if left out.
        duration: Whether the time of each command is recorded, which costs about as much
            as the command.

    Raises:
        TypeError, ValueError: They are none, or two managers have the same name.
    """
    managers = managers_of(sources)
    meter = get_meter("redis_manager_fastapi", meter_provider=meter_provider)
    for family in FAMILIES:
        _instrument(meter, family, _observer(family, managers))
    if not duration:
        return
    histogram = meter.create_histogram(
        DURATION.semantic,
        unit="s",
        description=DURATION.words,
        explicit_bucket_boundaries_advisory=BOUNDS,
    )
    for manager in managers:
        manager.on_answers(_recorder(histogram, manager))


def _instrument(meter: Meter, family: Family, observe: Observe) -> None:
    name = family.semantic or f"{PREFIX}.{family.name}"
    unit = _UNITS[family.semantic or family.unit]
    if family.grows:
        meter.create_observable_counter(name, [observe], unit, family.words)
    elif family.semantic.startswith("db."):  # the conventions add up what is there
        meter.create_observable_up_down_counter(name, [observe], unit, family.words)
    else:
        meter.create_observable_gauge(name, [observe], unit, family.words)


def _observer(family: Family, managers: Sequence[RedisManager]) -> Observe:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for manager in managers:
            for labels, value in family.read(see(manager)):
                yield Observation(float(value), _attributes(family, labels))

    return observe


def _recorder(histogram: Histogram, manager: RedisManager) -> Callable[[float, int], None]:
    attributes = {"db.system.name": "redis", POOL_NAME: manager.name}
    record = histogram.record

    def answered(seconds: float, count: int) -> None:
        for _ in range(count):
            record(seconds, attributes)

    return answered


def _attributes(family: Family, values: Labels) -> dict[str, str]:
    """Return a sample's labels as attributes; a node is a part of the pool's name."""
    labels = dict(zip(family.labels, values, strict=True))
    name, node = labels.pop("redis"), labels.pop("node", WHOLE)
    pool = name if node == WHOLE else f"{name}/{node}"
    return {POOL_NAME: pool, **{_NAMES.get(label, label): value for label, value in labels.items()}}
