"""What Prometheus sees of a page of metrics."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from redis_manager_fastapi import RedisManager, RedisRegistry
from redis_manager_fastapi.metrics.prometheus import RedisCollector

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Page:
    """One scrape.

    Attributes:
        text: The page.
        values: Each sample, by its name and its sorted labels.
        labels: Which labels each name has.
        counters: The names that only grow.
    """

    text: str
    values: dict[Key, float] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, text: str) -> "Page":
        """Read a page as Prometheus does."""
        page = cls(text)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                assert key not in page.values, key
                page.values[key] = sample.value
                page.labels.setdefault(sample.name, set()).update(sample.labels)
                if family.type in ("counter", "histogram"):
                    page.counters.add(sample.name)
        return page

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name that have these labels."""
        wanted = set(labels.items())
        return sum(
            value for (each, has), value in self.values.items() if each == name and wanted <= {*has}
        )

    def names(self) -> set[str]:
        """Return the names of all samples of ours."""
        return {name for name, _ in self.values if name.startswith("redis_client_")}


def scrape(*sources: RedisManager | RedisRegistry) -> Page:
    """Return what Prometheus sees of managers."""
    registry = CollectorRegistry()
    registry.register(RedisCollector(*sources))
    return Page.of(generate_latest(registry).decode())


def shrunk(before: Page, after: Page) -> dict[Key, tuple[float, float]]:
    """Return the counters that went down from one scrape to the next."""
    return {
        key: (value, after.values.get(key, 0.0))
        for key, value in before.values.items()
        if key[0] in before.counters and after.values.get(key, 0.0) < value
    }
